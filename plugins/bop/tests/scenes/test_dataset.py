"""Pose scenes as a data set, and written as BOP and as YOLO."""

from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import astuple, replace

import numpy as np
import pytest
from PIL import Image

from anydet import open_dataset
from anydet.data.record.depth import depth_map_m
from anydet.errors import DatasetError, ImageError, OptionError
from anydet.evaluation.pose import pose_evaluator
from anydet.types import DetectionColumns
from anydet_bop.models import read_models
from anydet_bop.posed_yolo import write_posed_yolo
from anydet_bop.scenes.dataset import PoseScenes
from anydet_bop.scenes.scene import paint_scene
from anydet_bop.scenes.solids import CLASSES, object_models
from anydet_bop.writing import write_bop

SCENES = PoseScenes(5, seed=2, image_wh=(96, 80), split="train")


@pytest.fixture(scope="module")
def bop(tmp_path_factory):
    root = tmp_path_factory.mktemp("pose") / "bop"
    write_bop(SCENES, root, "train")
    return root


@pytest.fixture(scope="module")
def yolo(tmp_path_factory):
    root = tmp_path_factory.mktemp("pose") / "yolo"
    write_posed_yolo(SCENES, root, "train")
    return root


def content(record):
    labels = record.labels
    poses = labels.poses
    return [labels.class_ids, labels.boxes_xywh_px, poses.rotations, poses.translations_m]


@pytest.mark.slow
def test_a_scene_is_the_same_in_another_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.starmap(PoseScenes.__getitem__, [(SCENES, 3)])
    assert np.array_equal(there[0].image(), SCENES[3].image())
    assert all(np.array_equal(a, b) for a, b in zip(content(there[0]), content(SCENES[3]), strict=True))


def test_a_scene_is_the_same_whatever_the_number_of_scenes_and_another_for_other_seeds():
    many = PoseScenes(500, seed=2, image_wh=(96, 80))
    assert np.array_equal(many[4].image(), SCENES[4].image())
    assert all(np.array_equal(a, b) for a, b in zip(content(many[4]), content(SCENES[4]), strict=True))
    assert not np.array_equal(PoseScenes(5, seed=3, image_wh=(96, 80))[4].image(), SCENES[4].image())
    assert not np.array_equal(SCENES[3].image(), SCENES[4].image())


def test_pixels_show_all_of_more_objects():
    crowded = PoseScenes(4, seed=2, image_wh=(96, 80), most_objects=30)
    assert max(len(record.labels) for record in crowded) > 4
    for index, record in enumerate(crowded):
        painted = paint_scene(crowded.scene(index), np.random.default_rng([2, index, 1]))
        assert np.array_equal(record.image(), painted)


def test_records_survive_pickling_and_end_with_the_dataset():
    copy = pickle.loads(pickle.dumps(SCENES[1]))
    assert np.array_equal(copy.image(), SCENES[1].image())
    assert [record.key for record in SCENES] == list(SCENES.keys)
    with pytest.raises(IndexError):
        SCENES[5]


def test_fingerprints_differ_by_seed_size_and_counts():
    more = PoseScenes(2, most_objects=20)
    others = [PoseScenes(2), PoseScenes(2, 1), PoseScenes(3), PoseScenes(2, 0, (64, 64)), more]
    assert len({one.fingerprint() for one in others}) == 5
    assert PoseScenes(2).fingerprint() == PoseScenes(2).fingerprint()


def as_detections(truth):
    labels = truth.labels
    return DetectionColumns(
        truth.images,
        truth.sizes_wh,
        truth.image_index,
        labels.class_ids,
        labels.boxes_xywh_px,
        np.full(len(labels), 0.9),
        labels.areas,
        classes=truth.classes.names,
        poses=labels.poses,
    )


@pytest.mark.parametrize("layout", ["memory", "bop"])
def test_the_truth_as_predictions_is_perfect_and_measured_with_models_and_symmetries(layout, bop):
    truth = (SCENES if layout == "memory" else open_dataset(bop)).ground_truth()
    evaluator = pose_evaluator(truth)
    evaluator.add(as_detections(truth), truth)
    result = evaluator.result()
    assert result.metrics["AR_MSPD"] == result.metrics["AR_MSSD"] == result.metrics["ADD-or-S_0.1d"] == 1
    assert result.protocol["symmetric"] == ["beam", "bottle"]
    assert result.protocol["poses_with_model_and_camera"] == len(truth)


def test_bop_comes_back_as_it_was(bop):
    opened = open_dataset(bop, "train")
    assert opened.keys == tuple(f"000000/rgb/{index:06d}.png" for index in range(5))
    assert opened.classes == CLASSES
    assert opened.source == "BOP train/*/scene_gt.json"
    for index, (there, here) in enumerate(zip(opened, SCENES, strict=True)):
        assert np.array_equal(there.image(), here.image())
        for one, other in zip(content(there), content(here), strict=True):
            assert np.allclose(one, other, atol=1e-12)
        assert tuple(there.labels.segmentations) == here.labels.segmentations
        assert np.array_equal(there.labels.areas, here.labels.areas)
        assert astuple(there.camera) == pytest.approx(astuple(here.camera))
        assert np.allclose(depth_map_m(there), SCENES.scene(index).depth_m(), atol=0.5e-4 + 1e-9)
        assert there.extra["visibility"] == pytest.approx(here.extra["visibility"], abs=1e-4)


def test_yolo_with_sidecars_comes_back_as_it_was(yolo):
    opened = open_dataset(yolo, "train")
    assert opened.classes.names == CLASSES.names
    for index, (there, here) in enumerate(zip(opened, SCENES, strict=True)):
        assert (there.key, there.size_wh) == (here.key, here.size_wh)
        assert np.array_equal(there.image(), here.image())
        for one, other in zip(content(there), content(here), strict=True):
            assert np.allclose(one, other, atol=1e-6)
        assert there.camera == here.camera
        assert np.allclose(depth_map_m(there), SCENES.scene(index).depth_m(), atol=0.5e-4 + 1e-9)
        assert there.extra["visibility"] == here.extra["visibility"]


@pytest.mark.parametrize("layout", ["bop", "yolo"])
def test_models_come_back_with_their_symmetries(layout, bop, yolo):
    written = read_models(bop if layout == "bop" else yolo)
    for class_id, wanted in object_models().items():
        model = written[CLASSES.source_ids[class_id]]
        assert model.name == wanted.name
        assert model.diameter_m == pytest.approx(wanted.diameter_m)
        assert np.allclose(model.points_m, wanted.points_m, atol=1e-7)
        assert np.allclose(model.symmetries, wanted.symmetries)
        assert model.axes == wanted.axes
        apart = model.points_m[:, None] - model.points_m
        assert np.sqrt((apart**2).sum(axis=2).max()) == pytest.approx(wanted.diameter_m, rel=1e-6)


def test_an_image_without_objects_has_no_poses_and_can_be_read(tmp_path):
    tiny = PoseScenes(40, seed=0, image_wh=(16, 16))
    empty = next(index for index in range(40) if not tiny.scene(index).objects)
    few = PoseScenes(empty + 1, seed=0, image_wh=(16, 16))
    write_posed_yolo(few, tmp_path / "yolo")
    write_bop(few, tmp_path / "bop")
    for layout in ("yolo", "bop"):
        labels = open_dataset(tmp_path / layout)[empty].labels
        assert len(labels) == 0


def test_a_second_split_goes_into_the_same_folder_and_the_first_stays(tmp_path):
    root = tmp_path / "both"
    write_bop(PoseScenes(1, seed=1, image_wh=(48, 48)), root, "train")
    write_bop(PoseScenes(1, seed=2, image_wh=(48, 48)), root, "val")
    assert [len(open_dataset(root, split)) for split in ("train", "val")] == [1, 1]
    with pytest.raises(OptionError, match="already there"):
        write_bop(PoseScenes(1), root, "val")
    assert sorted(path.name for path in root.iterdir()) == ["models", "train", "val"]


def test_models_of_other_objects_are_not_written_over(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "models_info.json").write_text('{"1": {"diameter": 10}}')
    with pytest.raises(OptionError, match="models of other objects"):
        write_bop(PoseScenes(1), tmp_path, "val")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_depth_maps_that_are_none_are_refused_by_name(bop, tmp_path):
    record = open_dataset(bop)[0]
    assert depth_map_m(replace(record, depth_path=None)) is None
    with pytest.raises(DatasetError, match="depth_scale: 'much'"):
        depth_map_m(replace(record, extra={"depth_scale": "much"}))
    with pytest.raises(ImageError, match=r"none\.png"):
        depth_map_m(replace(record, depth_path=tmp_path / "none.png"))
    Image.new("RGB", (4, 4)).save(tmp_path / "color.png")
    with pytest.raises(DatasetError, match="one number a pixel"):
        depth_map_m(replace(record, depth_path=tmp_path / "color.png"))
