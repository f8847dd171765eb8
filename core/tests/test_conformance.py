"""All that core itself registers is held to the kits, as plugins are."""

from __future__ import annotations

import pytest

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.yolo import write_yolo
from anydet.plugins.manager import Plugins
from anydet.testing import KITS, DatasetConformance
from anydet.testing.chosen import choose

PLUGINS = Plugins([])
OPTIONS = {"scale": {"factor": 0.5}, "precomputed": None}
"""Options of what has no defaults; the adapter ``precomputed`` needs a file, and is checked with one beside
its own tests."""
CHOSEN = [one for one in choose(PLUGINS, "anydet") if OPTIONS.get(one.name, {}) is not None]


@pytest.mark.slow
@pytest.mark.parametrize("one", CHOSEN, ids=str)
def test_what_core_registers_conforms(one, tmp_path):
    kit = KITS[one.kind]
    subject = kit.subject.installed(PLUGINS, one.name, tmp_path, OPTIONS.get(one.name))
    outcomes = list(kit.run(subject))
    assert not [outcome for outcome in outcomes if outcome.state == "FAIL"]
    assert [outcome for outcome in outcomes if outcome.state == "ok"]


@pytest.fixture
def scenes(tmp_path):
    folder = tmp_path / "scenes"
    write_yolo(SyntheticDataset(3, image_wh=(96, 72)), folder)
    return folder


class TestFolder(DatasetConformance):
    dataset = "folder"

    @pytest.fixture
    def example(self, scenes):
        return scenes / "images" / "val"


class TestUltralytics(DatasetConformance):
    dataset = "ultralytics"

    @pytest.fixture
    def example(self, scenes):
        names = ", ".join(SyntheticDataset.classes.names)
        (scenes / "data.yaml").write_text(f"path: .\nval: images/val\nnames: [{names}]\n")
        return scenes / "data.yaml"
