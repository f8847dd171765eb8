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


def write_pair(layout, root, **second):
    few = SyntheticDataset(3, seed=6, image_wh=(96, 72))
    WRITERS[layout](SCENES, root, "train")
    WRITERS[layout](few, root, "val", **second)
    return few


@pytest.mark.parametrize("layout", WRITERS)
def test_a_second_split_goes_into_the_same_folder(layout, tmp_path):
    few = write_pair(layout, tmp_path / "scenes")
    for split, written in (("train", SCENES), ("val", few)):
        opened = open_dataset(tmp_path / "scenes", split)
        assert [record.key for record in opened] == list(written.keys)
        assert np.array_equal(opened[0].image(), written[0].image())
        assert np.allclose(opened[0].labels.boxes_xywh_px, written[0].labels.boxes_xywh_px, atol=1e-3)
    assert not [path for path in (tmp_path / "scenes").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("layout", WRITERS)
def test_a_split_that_is_there_or_of_other_classes_is_left_alone(layout, tmp_path):
    write_pair(layout, tmp_path)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    with pytest.raises(OptionError, match=r"images.val: already there"):
        WRITERS[layout](SCENES, tmp_path, "val")
    names = next(iter((tmp_path / "annotations").glob("*_train.json")), tmp_path / "data.yaml")
    names.write_text(names.read_text().replace("circle", "moon"))
    with pytest.raises(OptionError, match="its classes are not circle, "):
        WRITERS[layout](SCENES, tmp_path, "test")
    after = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    assert [path for path, _ in after] == [path for path, _ in before]
    assert {path for path, time in after if (path, time) not in before} == {names}


@pytest.mark.parametrize("layout", WRITERS)
def test_an_interrupted_second_split_leaves_the_first_as_it_was(layout, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_pair(layout, tmp_path / "scenes", report=explode)
    alone = tmp_path / "alone"
    WRITERS[layout](SCENES, alone, "train")
    for path in alone.rglob("*"):
        there = tmp_path / "scenes" / path.relative_to(alone)
        assert there.is_dir() if path.is_dir() else there.read_bytes() == path.read_bytes()
    assert len([*alone.rglob("*")]) == len([*(tmp_path / "scenes").rglob("*")])


def test_what_else_a_data_yaml_says_stays_when_it_gets_a_split(tmp_path):
    write_yolo(SCENES, tmp_path, "train")
    file = tmp_path / "data.yaml"
    file.write_text(f"path: .\n{file.read_text()}download: nothing\n")
    write_yolo(SCENES, tmp_path, "val")
    text = file.read_text()
    assert "val: images/val" in text
    assert "train: images/train" in text
    assert "download: nothing" in text
    file.write_text(f"{text}kpt_shape: [3, 3]\n")
    with pytest.raises(OptionError, match=r"kpt_shape is \(3, 3\), not None"):
        write_yolo(SCENES, tmp_path, "test")
