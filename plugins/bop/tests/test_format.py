"""BOP data sets as others write them: what is optional, what is left out, and what is wrong."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import polar

from anydet import open_dataset
from anydet.data.dataset.oddities import OddityWarning
from anydet.data.opening import open_dataset as open_any
from anydet.errors import DatasetError, ImageError, SplitError
from anydet.geometry import masks
from anydet_bop.files import HALF_PIXEL
from anydet_bop.format import FORMAT

IDENTITY = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
CUBE = "ply\nformat ascii 1.0\nelement vertex 8\n"
CUBE += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
CUBE += "".join(f"{x} {y} {z}\n" for x in (-10, 10) for y in (-10, 10) for z in (-10, 10))
CAMERA = {"cam_K": [50.0, 0, 19.5, 0, 50.0, 14.5, 0, 0, 1], "depth_scale": 0.5}


def truth(number=5, at=(0, 0, 210)):
    return {
        "obj_id": number,
        "cam_R_m2c": IDENTITY,
        "cam_t_m2c": list(at),
        "note": "more keys do not disturb",
    }


def info(box=(15, 10, 10, 9), visible=0.8, count=80):
    return {
        "bbox_visib": list(box),
        "bbox_obj": [0, 0, 9, 9],
        "visib_fract": visible,
        "px_count_visib": count,
    }


TRUTHS, INFOS = [truth()], [info()]


@pytest.fixture
def build(tmp_path):
    """Writes a data set with one scene of image 7; files that are ``None`` are left out."""

    def write(*, camera=CAMERA, truths=TRUTHS, infos=INFOS, models=("5", "8"), split="train_pbr", image=True):
        scene = tmp_path / "bop" / split / "000003"
        (scene / "rgb").mkdir(parents=True)
        for name, content in (("camera", camera), ("gt", truths), ("gt_info", infos)):
            if content is not None:
                (scene / f"scene_{name}.json").write_text(json.dumps({"7": content}))
        if image:
            Image.new("RGB", (40, 30)).save(scene / "rgb" / "000007.jpg")
        folder = tmp_path / "bop" / "models"
        if models:
            folder.mkdir(exist_ok=True)
            (folder / "models_info.json").write_text(json.dumps({n: {"diameter": 34.6} for n in models}))
        for number in models or ():
            (folder / f"obj_{int(number):06d}.ply").write_text(CUBE)
        return tmp_path / "bop"

    return write


def test_an_image_has_the_labels_of_its_scene(build):
    root = build(truths=[truth(8), truth(5, (20, -10, 400))], infos=[info(), info((1, 2, 3, 4), 0.3, 11)])
    scene = root / "train_pbr" / "000003"
    (scene / "depth").mkdir()
    Image.fromarray(np.full((30, 40), 420, np.uint16)).save(scene / "depth" / "000007.png")
    (scene / "mask_visib").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[2:6, 1:4] = 255
    Image.fromarray(mask).save(scene / "mask_visib" / "000007_000001.png")
    dataset = open_dataset(root)
    record = dataset[0]
    assert (dataset.keys, dataset.split) == (("000003/rgb/000007.jpg",), "train_pbr")
    assert dataset.classes.names == ("obj_000005", "obj_000008")
    assert dataset.classes.source_ids == (5, 8)
    labels = record.labels
    assert labels.class_ids.tolist() == [1, 0]
    assert labels.boxes_xywh_px.tolist() == [[15, 10, 10, 9], [1, 2, 3, 4]]
    assert labels.areas.tolist() == [80, 11]
    assert labels.poses.translations_m.tolist() == [[0, 0, 0.21], [0.02, -0.01, 0.4]]
    assert labels.poses.rotations.shape == (2, 3, 3)
    assert labels.segmentations[0] is None
    assert np.array_equal(masks.decode(labels.segmentations[1]), mask > 0)
    assert [record.camera.fx, record.camera.cx] == [50.0, 19.5 + HALF_PIXEL]
    assert record.extra == {"scene_id": 3, "im_id": 7, "depth_scale": 0.5, "visibility": [0.8, 0.3]}
    assert record.depth_path == scene / "depth" / "000007.png"
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[0].labels.boxes_xywh_px, labels.boxes_xywh_px)


def test_ground_truth_has_cameras_models_and_sizes(build):
    columns = open_dataset(build()).ground_truth()
    assert columns.sizes_wh.tolist() == [[40, 30]]
    assert columns.about.cameras.tolist() == [[50, 50, 20, 15]]
    assert sorted(columns.objects) == [0, 1]
    assert columns.objects[0].diameter_m == pytest.approx(0.0346)


def test_hardly_visible_objects_do_not_count_and_hidden_ones_are_left_out(build):
    infos = [info(visible=0.05), info(box=(-1, -1, -1, -1), visible=0.0, count=0), info(visible=0.1)]
    record = open_dataset(build(truths=[truth()] * 3, infos=infos))[0]
    assert record.labels.iscrowd.tolist() == [True, False]
    assert record.extra["visibility"] == [0.05, 0.1]


def test_without_boxes_those_around_the_projected_model_are_taken(build):
    """The cube's front face is 20 mm wide, 200 mm away, seen with a focal length of 50 pixels."""
    record = open_dataset(build(infos=None))[0]
    assert record.labels.boxes_xywh_px[0] == pytest.approx([20 - 2.5, 15 - 2.5, 5, 5])
    assert record.labels.areas[0] == pytest.approx(25)


@pytest.mark.parametrize(
    ("at", "count"), [((-80, 0, 210), 1), ((900, 0, 210), 0), ((0, 0, 5), 0), ((0, 0, -99), 0)]
)
def test_projected_boxes_end_at_the_image_and_objects_beyond_it_are_left_out(build, at, count):
    labels = open_dataset(build(truths=[truth(at=at)], infos=None))[0].labels
    assert len(labels) == count
    assert (labels.boxes_xywh_px[:, :2] >= 0).all()


def test_without_models_objects_are_called_by_their_numbers(build):
    dataset = open_dataset(build(truths=[truth(9)], models=None))
    assert dataset.classes.names == ("obj_000009",)
    assert dataset.ground_truth().objects is None


def test_a_split_without_truth_can_be_predicted_on_and_not_measured(build):
    dataset = open_dataset(build(truths=None, infos=None, split="test"))
    assert dataset[0].labels is None
    assert dataset[0].camera is not None
    assert dataset.source == "none"
    with pytest.raises(DatasetError, match=r"test: no scene has a scene_gt\.json"):
        dataset.ground_truth()


@pytest.mark.slow
def test_scenes_of_a_split_follow_each_other_and_splits_are_chosen(build):
    root = build()
    shutil.copytree(root / "train_pbr" / "000003", root / "train_pbr" / "000012")
    shutil.copytree(root / "train_pbr", root / "test")
    with pytest.raises(DatasetError, match="none given"):
        open_dataset(root)
    with pytest.raises(SplitError, match=r"no split 'tset'.*did you mean 'test'"):
        open_dataset(root, "tset")
    assert open_dataset(root, "test").keys == ("000003/rgb/000007.jpg", "000012/rgb/000007.jpg")
    inside = open_dataset(root / "test")
    assert inside.keys == open_dataset(root, "test").keys
    assert inside.models_file == root / "models" / "models_info.json"
    assert inside.fingerprint() == open_dataset(root, "test").fingerprint()


def test_a_change_of_the_truth_changes_the_fingerprint(build):
    root = build()
    before = open_dataset(root).fingerprint()
    (root / "train_pbr" / "000003" / "scene_gt.json").write_text(json.dumps({"7": [truth(at=(0, 0, 211))]}))
    assert open_dataset(root).fingerprint() != before


def test_an_image_that_is_not_there_is_named_when_it_is_read(build):
    dataset = open_dataset(build(image=False))
    assert dataset.keys == ("000003/rgb/000007.png",)
    with pytest.raises(ImageError, match=r"000003/rgb/000007\.png"):
        dataset[0].image()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"truths": [truth(6)]}, r"objects 6 are not in .*models_info\.json"),
        ({"truths": [{"obj_id": 5}]}, r"scene_gt\.json: Object missing required field `cam_R_m2c`"),
        ({"truths": [truth() | {"cam_R_m2c": [2.0] * 9}]}, "image 7: object 0: cam_R_m2c is not a rotation"),
        ({"truths": [truth() | {"cam_R_m2c": [-1.0, 0, 0, 0, 1, 0, 0, 0, 1]}]}, "not a rotation"),
        ({"truths": [truth() | {"cam_R_m2c": [1.0] * 8}]}, "length >= 9"),
        ({"infos": [info(), info()]}, "image 7: 2 objects, but 1 in scene_gt"),
        ({"camera": {"cam_K": [0.0] * 9}}, r"scene_camera\.json: image 7: cam_K: expected fx"),
        ({"camera": {"cam_K": [50.0, 3, 20, 0, 50, 15, 0, 0, 1]}}, "cam_K"),
        ({"camera": CAMERA | {"depth_scale": 0}}, "depth_scale"),
    ],
)
def test_what_is_wrong_is_named_with_file_image_and_object_and_a_way_out(build, change, problem):
    with pytest.raises(DatasetError, match=problem) as error:
        open_dataset(build(**change))
    assert error.value.fix


def test_an_object_without_a_box_is_named(build):
    dataset = open_dataset(build(infos=None, models=None))
    with pytest.raises(DatasetError, match="object 5: it has no box") as error:
        dataset[0]
    assert "scene_gt_info.json" in error.value.fix


def test_masks_that_are_none_are_named(build):
    root = build()
    folder = root / "train_pbr" / "000003" / "mask_visib"
    folder.mkdir()
    Image.new("RGB", (40, 30)).save(folder / "000007_000000.png")
    with pytest.raises(DatasetError, match=r"000007_000000\.png: a mask has one number a pixel"):
        open_dataset(root)[0].labels.segmentations[0]
    (folder / "000007_000000.png").write_text("no image")
    with pytest.raises(ImageError, match="cannot be read as a mask"):
        open_dataset(root)[0].labels.segmentations[0]


def test_masks_of_many_images_are_read_on_access(build):
    root = build(truths=[truth(), truth()], infos=[info(), info()])
    shutil.copytree(root / "train_pbr" / "000003", root / "train_pbr" / "000004")
    folder = root / "train_pbr" / "000004" / "mask_visib"
    folder.mkdir()
    Image.fromarray(np.eye(30, 40, dtype=np.uint8)).save(folder / "000007_000001.png")
    found = open_dataset(root).ground_truth().labels.take(np.array([3, 0])).segmentations
    assert [one is None for one in found] == [False, True]
    assert masks.area(found[0]) == 30


def test_the_fingerprint_stays_what_it_is(tmp_path):
    """Predictions files and checkpoints of earlier versions record it; a file that is not there counts."""
    pose = {"obj_id": 5, "cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_m2c": [0, 0, 210]}
    for name, content in (
        ("000003/scene_camera.json", {"7": CAMERA, "9": CAMERA}),
        ("000003/scene_gt.json", {"7": [pose], "9": []}),
        ("000004/scene_camera.json", {"1": CAMERA}),
    ):
        file = tmp_path / "val" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    literal = "sha256:ceb35c71a848184523344cd13d451e6cf1de7e63cdfe1b3780c37055f8ce17a5"
    assert open_dataset(tmp_path).fingerprint() == literal


@pytest.mark.slow
def test_a_pickled_record_is_as_small_as_that_of_an_image_alone(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[2:6, 1:4] = 255

    def build(root, count):
        scene = root / "val" / "000003"
        (scene / "rgb").mkdir(parents=True)
        (scene / "mask_visib").mkdir()
        for name, content in (("camera", CAMERA), ("gt", [truth()] * 2), ("gt_info", [info()] * 2)):
            (scene / f"scene_{name}.json").write_text(json.dumps({str(n): content for n in range(count)}))
        Image.fromarray(mask).save(tmp_path / "mask.png")
        for number in range(count):
            (scene / "rgb" / f"{number:06d}.jpg").touch()
            for row in range(2):
                shutil.copyfile(tmp_path / "mask.png", scene / "mask_visib" / f"{number:06d}_{row:06d}.png")
        return open_dataset(root)

    (alone,) = build(tmp_path / "one", 1)
    many = build(tmp_path / "set", 1000)
    limit = len(pickle.dumps(alone)) + 64  # numbers are longer
    assert max(len(pickle.dumps(record)) for record in many) <= limit
    again = pickle.loads(pickle.dumps(many[700]))
    assert again.labels.boxes_xywh_px.tolist() == many[700].labels.boxes_xywh_px.tolist()
    assert tuple(again.labels.segmentations) == tuple(many[700].labels.segmentations)
    assert masks.decode(again.labels.segmentations[1]).tolist() == (mask > 0).tolist()


def turned(off):
    """A turn about z with its last axis too long, so that R R^T is off the identity by ``off``."""
    return [0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, float(np.sqrt(1 + off))]


def test_rotations_off_by_a_little_become_the_nearest_ones_with_a_count(build):
    exact = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    truths = [truth() | {"cam_R_m2c": turned(off)} for off in (0.0, 0.0009, 0.0096, 0.049)]
    root = build(truths=truths, infos=[info()] * 4)
    said = r"cam_R_m2c is not orthonormal: 2 \(the first: .*object 2: .* 0.0096\); the nearest rotation"
    with pytest.warns(OddityWarning, match=said):
        dataset = open_dataset(root)
    rotations = dataset[0].labels.poses.rotations
    np.testing.assert_allclose(rotations[2:] @ rotations[2:].transpose(0, 2, 1), [np.eye(3)] * 2, atol=1e-12)
    np.testing.assert_allclose(rotations[2:], [scipy_nearest(t["cam_R_m2c"]) for t in truths[2:]], atol=1e-12)
    np.testing.assert_allclose(rotations, [exact] * 4, atol=0.03)
    assert [one.count for one in dataset.oddities] == [2]
    with pytest.raises(DatasetError, match="cam_R_m2c is not orthonormal: 2"), pytest.warns(OddityWarning):
        open_any(root, formats=[FORMAT], refuse_odd=True)


def scipy_nearest(nine):
    """The orthogonal factor of the polar decomposition."""
    return polar(np.array(nine).reshape(3, 3))[0]


@pytest.mark.parametrize("off", [0.051, 0.5, float("inf")])
def test_what_is_further_off_is_no_rotation(build, off):
    with pytest.raises(DatasetError, match=r"object 0: cam_R_m2c is not a rotation|malformed"):
        open_dataset(build(truths=[truth() | {"cam_R_m2c": turned(off)}]))


@pytest.mark.parametrize("where", ["camera.json", "train_pbr/000003/scene_gt_coco.json"])
def test_ground_truth_needs_no_image_files_where_sizes_are_stated(build, where):
    root = build(image=False)
    with pytest.raises(ImageError, match="no such image"):
        open_dataset(root).ground_truth()
    size = {"width": 40, "height": 30}
    (root / where).write_text(json.dumps(size if "camera" in where else {"images": [{"id": 7} | size]}))
    assert open_dataset(root).ground_truth().sizes_wh.tolist() == [[40, 30]]
    # The size of a file that is there is its own.
    (root / "train_pbr" / "000003" / "rgb").mkdir(exist_ok=True)
    Image.new("RGB", (20, 10)).save(root / "train_pbr" / "000003" / "rgb" / "000007.png")
    assert open_dataset(root).ground_truth().sizes_wh.tolist() == [[20, 10]]
