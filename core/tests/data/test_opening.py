from __future__ import annotations

from random import Random

import pytest

from anydet.data.opening import BUILTIN, builtin_formats, in_order, open_dataset
from anydet.errors import DatasetError
from anydet.plugins.manager import Plugins


class Foreign:
    name = "foreign"

    def matches(self, path):
        return True

    def open(self, path, split, images):
        return "opened by a plugin"


def test_core_registers_every_built_in_format():
    plugins = Plugins(points=[])
    assert set(plugins.specs("datasets")) == {name for name, _, _ in BUILTIN}
    loaded = [plugins.load("datasets", name) for name, _, _ in BUILTIN]
    assert [known.name for known in loaded] == [name for name, _, _ in BUILTIN]


def test_formats_are_tried_in_their_order_however_they_are_given():
    formats = builtin_formats()
    shuffled = [*formats, Foreign()]
    Random(0).shuffle(shuffled)
    assert [known.name for known in in_order(shuffled)] == ["foreign", *(known.name for known in formats)]


def test_a_plugins_format_goes_first(paint, tmp_path):
    paint("a.jpg")
    assert open_dataset(tmp_path, formats=[*builtin_formats(), Foreign()]) == "opened by a plugin"


def test_a_missing_data_set_is_reported(tmp_path):
    with pytest.raises(DatasetError, match="no such data set"):
        open_dataset(tmp_path / "nowhere")


def test_an_unknown_layout_lists_what_is_there_and_what_was_tried(put, tmp_path):
    put("notes.txt")
    put("sub/x.csv")
    tried = ", ".join(known.name for known in builtin_formats()).replace(".", r"\.")
    with pytest.raises(DatasetError, match=rf"{tried}.*notes\.txt, sub/"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"not a data set of a known format"):
        open_dataset(tmp_path / "notes.txt")
