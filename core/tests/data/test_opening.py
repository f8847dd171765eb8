from __future__ import annotations

from random import Random

import pytest

from anydet.data.opening import BUILTIN, DeferredFormat, builtin_formats, in_order, open_dataset
from anydet.errors import DatasetError
from anydet.plugins.manager import Plugins


class Foreign:
    name = "foreign"

    def matches(self, path):
        return True

    def open(self, path, split, images):
        return "opened by a plugin"


class Unmatched:
    name = "bop"

    def matches(self, path):
        return False


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


DELFTBIKES = {
    "a.jpg": {"image": {"width": 4}, "parts": {"bell": {"part_name": "bell", "object_state": "absent"}}}
}


@pytest.mark.parametrize(
    ("name", "content", "inner", "package"),
    [
        ("test/000003/scene_gt.json", {}, "", "anydet-bop"),
        ("test/000003/scene_camera.json", {}, "test", "anydet-bop"),
        ("train_annotations.json", DELFTBIKES, "", "anydet-delftbikes"),
        ("annotations/train_annotations.json", DELFTBIKES, "", "anydet-delftbikes"),
        ("train.json", DELFTBIKES, "", "anydet-delftbikes"),
        ("odd.json", DELFTBIKES, "odd.json", "anydet-delftbikes"),
    ],
)
@pytest.mark.parametrize("image", ["test/000003/rgb/000000.png", None], ids=["images", "no images"])
def test_a_format_of_a_package_that_is_not_installed_is_named(
    paint, put, tmp_path, name, content, inner, package, image
):
    put(name, content)
    if image:
        paint(image)
    with pytest.raises(DatasetError, match=f"pip install {package}"):
        open_dataset(tmp_path / inner)


def test_an_installed_format_is_not_named_and_another_that_matches_goes_first(
    paint, put, tmp_path, instances
):
    paint("val/a.jpg")
    put("val/000001/scene_gt.json", {})
    formats = [*builtin_formats(), DeferredFormat("bop", Unmatched)]
    assert open_dataset(tmp_path, formats=formats).source == "none"
    put("annotations/instances_val.json", instances)
    assert len(open_dataset(tmp_path)) == 2


def test_numbered_folders_of_images_are_images(paint, put, tmp_path):
    paint("0/a.jpg")
    paint("1/b.jpg")
    put("notes_annotations.json", {"a.jpg": {"label": 0}})
    assert open_dataset(tmp_path).keys == ("0/a.jpg", "1/b.jpg")
