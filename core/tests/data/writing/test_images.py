"""Writers fill a folder of their own, or leave nothing."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError, OptionError

SCENES = SyntheticDataset(8, seed=5, image_wh=(96, 72))


WRITERS = {"coco": write_coco, "yolo": write_yolo}


def explode(_count):
    raise KeyboardInterrupt


@pytest.mark.parametrize("layout", WRITERS)
def test_what_was_written_opens_with_the_same_pixels_keys_and_classes(layout, tmp_path):
    WRITERS[layout](SCENES, tmp_path / "scenes")
    opened = open_dataset(tmp_path / "scenes")
    assert opened.split == "val"
    assert opened.classes.names == SCENES.classes.names
    assert [record.key for record in opened] == list(SCENES.keys)
    assert all(np.array_equal(a.image(), b.image()) for a, b in zip(opened, SCENES, strict=True))


@pytest.mark.parametrize("layout", WRITERS)
def test_a_folder_with_something_in_it_is_left_alone(layout, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(OptionError, match="not an empty folder"):
        WRITERS[layout](SCENES, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("layout", WRITERS)
def test_an_interrupted_write_leaves_nothing(layout, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        WRITERS[layout](SCENES, tmp_path / "scenes", report=explode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["../val", "", "a/b", ".."])
@pytest.mark.parametrize("layout", WRITERS)
def test_a_split_is_a_plain_name(layout, split, tmp_path):
    with pytest.raises(DatasetError, match="split"):
        WRITERS[layout](SCENES, tmp_path / "scenes", split)
    assert list(tmp_path.iterdir()) == []
