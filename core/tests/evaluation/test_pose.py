"""The pose evaluator: closed forms, and BOP's recall written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.columns import boxes_only
from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation import bop
from anydet.evaluation.pose import PoseEvaluator, pose_evaluator
from anydet.geometry.pose_errors import Shape, move, pose, project
from anydet.geometry.rotations import matrix_to_rot6d
from anydet.types import (
    ClassTable,
    DetectionColumns,
    GroundTruthColumns,
    ImageColumns,
    Intrinsics,
    ObjectModel,
    Poses,
    SymmetryAxis,
)

CAMERA = Intrinsics(608.268, 608.179, 310.899, 238.641)
SIZE = (640, 480)
CUBE = np.array([[x, y, z] for x in (-0.05, 0.05) for y in (-0.05, 0.05) for z in (-0.05, 0.05)])


def about_z(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return pose(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.zeros(3))


def at(x, y, z):
    return pose(np.eye(3), np.array([x, y, z], np.float64))


def thing(symmetries=(), axes=()):
    motions = np.concatenate([np.eye(4)[None], *(one[None] for one in symmetries)])
    return ObjectModel("cube", CUBE, 0.1 * np.sqrt(3), motions, axes)


def boxes_of(poses, points):
    """(N, 4) x, y, width, height around the projected points."""
    spots = [project(move(one, cloud), CAMERA) for one, cloud in zip(poses, points, strict=True)]
    low, high = (np.array([getattr(s, f)(axis=0) for s in spots]).reshape(-1, 2) for f in ("min", "max"))
    return np.concatenate([low, high - low], axis=1)


def scene(true, estimated, *, models, image=None, class_ids=None, scores=None, matched=None, boxes=None):
    """Columns of (N, 4, 4) true poses and their estimates; each has its true one's box, unless unmatched."""
    true, estimated = np.asarray(true), np.asarray(estimated)
    count = len(true)
    index = np.zeros(count, np.int64) if image is None else np.asarray(image)
    ids = np.zeros(count, np.int64) if class_ids is None else np.asarray(class_ids)
    if boxes is None:
        boxes = boxes_of(true, [models[i].points_m for i in ids.tolist()])
    images = tuple(f"{i}.png" for i in range(int(index.max(initial=0)) + 1))
    sizes = np.tile(SIZE, (len(images), 1))
    cameras = np.tile([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy], (len(images), 1))
    labels = boxes_only(ids, boxes, poses=Poses(rotations=true[:, :3, :3], translations_m=true[:, :3, 3]))
    truth = GroundTruthColumns(
        images,
        sizes,
        index,
        labels,
        ClassTable(tuple(f"object{i}" for i in range(max(models) + 1))),
        "test",
        about=ImageColumns(cameras=cameras),
        objects=models,
    )
    moved = boxes if matched is None else np.where(np.asarray(matched)[:, None], boxes, boxes + 1000.0)
    found = DetectionColumns(
        images,
        sizes,
        index,
        ids,
        moved,
        np.ones(count) if scores is None else np.asarray(scores),
        moved[:, 2] * moved[:, 3],
        poses=Poses(rotations=estimated[:, :3, :3], translations_m=estimated[:, :3, 3]),
    )
    return found, truth


def measured(found, truth):
    evaluator = pose_evaluator(truth)
    assert evaluator.applies(found, truth) is None
    evaluator.add(found, truth)
    return evaluator.result().metrics


def test_perfect_poses_have_perfect_numbers():
    true = [at(0.0, 0.0, 1.0), at(0.3, 0.1, 1.5)]
    metrics = measured(*scene(true, true, models={0: thing()}))
    for name in ("match_rate", "5deg_5cm", "ADD_0.1d", "ADD_AUC", "projection_5px", "AR_MSSD", "AR_MSPD"):
        assert metrics[name] == pytest.approx(1.0), name
    for name in ("rotation_deg_mean", "translation_m_median", "relative_depth_mean"):
        assert metrics[name] == pytest.approx(0.0, abs=1e-9), name


def test_a_shift_has_the_numbers_that_follow_from_it():
    true = [at(0.0, 0.0, 1.0)] * 2
    shifts = [
        at(0.0, 0.0, 1.01),
        at(0.0, 0.0, 1.06),
    ]  # 1 cm and 6 cm too far; a tenth of the diameter is 17 mm
    found, truth = scene(true, shifts, models={0: thing()}, image=[0, 1])
    metrics = measured(found, truth)
    assert metrics["translation_m_mean"] == pytest.approx(0.035)
    assert metrics["depth_m_median"] == pytest.approx(0.035)
    assert metrics["relative_depth_mean"] == pytest.approx(0.035)
    assert metrics["ADD_0.1d"] == pytest.approx(0.5)
    assert metrics["5deg_5cm"] == pytest.approx(0.5)
    assert metrics["ADD_AUC"] == pytest.approx((0.9 + 0.4) / 2)
    diameter = thing().diameter_m
    recalls = [np.mean([e < t * diameter for e in (0.01, 0.06)]) for t in np.arange(0.05, 0.51, 0.05)]
    assert metrics["AR_MSSD"] == pytest.approx(np.mean(recalls))


def test_a_true_pose_without_a_match_by_box_is_wrong_but_bop_finds_it_by_pose():
    true = [at(0.0, 0.0, 1.0), at(0.3, 0.1, 1.5)]
    metrics = measured(*scene(true, true, models={0: thing()}, matched=[True, False]))
    for name in ("match_rate", "5deg_5cm", "ADD_0.1d", "ADD_AUC", "projection_5px"):
        assert metrics[name] == pytest.approx(0.5), name
    assert metrics["AR_MSSD"] == 1.0
    assert metrics["rotation_deg_mean"] == pytest.approx(0.0, abs=1e-6)


def test_symmetry_turns_177_degrees_into_3():
    true = [at(0.0, 0.0, 1.0)]
    estimated = [true[0] @ about_z(177.0)]
    plain = measured(*scene(true, estimated, models={0: thing()}))
    assert plain["rotation_deg_mean"] == pytest.approx(177.0)
    assert plain["5deg_5cm"] == 0.0
    aware = measured(*scene(true, estimated, models={0: thing([about_z(180.0)])}))
    assert aware["rotation_deg_mean"] == pytest.approx(3.0)
    assert aware["rotation_without_symmetry_deg_mean"] == pytest.approx(177.0)
    assert aware["5deg_5cm"] == 1.0
    around = measured(
        *scene(true, estimated, models={0: thing(axes=(SymmetryAxis((0.0, 0.0, 1.0), (0.0, 0.0, 0.0)),))})
    )
    assert around["rotation_deg_mean"] == pytest.approx(0.0, abs=1e-5)


def test_symmetric_objects_are_measured_by_add_s_and_others_by_add():
    true = [at(0.0, 0.0, 1.0)]
    estimated = [true[0] @ about_z(90.0)]  # a cube's vertices fall on each other
    for symmetries, expected in (((), 0.0), ((about_z(180.0),), 1.0)):
        metrics = measured(*scene(true, estimated, models={0: thing(symmetries)}))
        assert (metrics["ADD_0.1d"], metrics["ADD-S_0.1d"]) == (0.0, 1.0)
        assert metrics["ADD-or-S_0.1d"] == expected


def test_without_models_or_camera_what_can_be_measured_still_is():
    true = [at(0.0, 0.0, 1.0)]
    found, truth = scene(true, [true[0] @ about_z(10)], models={0: thing()})
    bare = measured(found, replace(truth, objects=None))
    assert bare["rotation_deg_mean"] == pytest.approx(10.0)
    assert bare["5deg_5cm"] == 0.0
    assert bare["ADD_0.1d"] is None
    assert bare["AR_MSSD"] is None
    blind = measured(found, replace(truth, about=None))
    assert blind["ADD_0.1d"] == 1.0
    assert blind["projection_5px"] is None
    assert blind["AR_MSPD"] is None


def test_poses_come_from_depth_and_offsets_through_the_camera_of_the_predictions():
    true = [at(0.1, -0.05, 0.8)]
    found, truth = scene(true, true, models={0: thing()})
    center = found.boxes_xywh_px[:, :2] + found.boxes_xywh_px[:, 2:] / 2
    spot = project(true[0][None, :3, 3], CAMERA)
    poses = Poses(
        log_z=np.log([0.8]), rot6d=matrix_to_rot6d(np.eye(3)[None]), offsets_px=spot - center, k_delta=None
    )
    metrics = measured(replace(found, poses=poses), truth)
    assert metrics["translation_m_mean"] == pytest.approx(0.0, abs=1e-12)
    other = ImageColumns(cameras=np.array([[CAMERA.fx, CAMERA.fy, CAMERA.cx + 60.8268, CAMERA.cy]]))
    metrics = measured(replace(found, poses=poses, about=other), truth)
    assert metrics["translation_m_mean"] == pytest.approx(0.08)  # 60.8 px at 0.8 m
    far = replace(found, poses=replace(poses, log_z=np.log([1.0])))
    blind = measured(far, replace(truth, about=None))
    assert blind["depth_m_mean"] == pytest.approx(0.2)
    assert blind["translation_m_mean"] is None
    assert blind["5deg_5cm"] == 0.0


def test_each_object_has_a_row_of_its_own():
    true = [at(0.0, 0.0, 1.0), at(0.3, 0.1, 1.5), at(-0.3, 0.1, 1.5)]
    estimated = [true[0] @ about_z(10), true[1] @ about_z(20), true[2] @ about_z(40)]
    found, truth = scene(true, estimated, models={0: thing(), 1: thing()}, class_ids=[0, 1, 1])
    evaluator = pose_evaluator(truth)
    evaluator.add(found, truth)
    recalls, errors = evaluator.result().tables
    place = errors.header.index("rotation_deg_mean")
    assert [(row[0], row[1], round(row[place], 6)) for row in errors.rows] == [
        ("object0", 1, 10.0),
        ("object1", 2, 30.0),
    ]
    assert {*recalls.header[2:], *errors.header[2:]} == set(evaluator.result().metrics)


def test_reasons_not_to_apply_are_given():
    found, truth = scene([at(0, 0, 1)], [at(0, 0, 1)], models={0: thing()})
    evaluator = pose_evaluator(truth)
    assert evaluator.applies(replace(found, poses=None), truth) == "the predictions have no poses"
    bare = replace(truth, labels=replace(truth.labels, poses=None))
    assert evaluator.applies(found, bare) == "the data set has no poses"
    turned = replace(truth.labels, poses=replace(truth.labels.poses, translations_m=None))
    reason = evaluator.applies(found, replace(truth, labels=turned))
    assert reason == "no annotation has both a rotation and a translation"


def clutter(seed, models, images=5):
    """Several instances of each object; estimates in disorder, some missing, doubled or without pose."""
    rng = np.random.default_rng(seed)
    true, image, ids = [], [], []
    for i in range(images):
        for class_id in models:
            for _ in range(rng.integers(4)):
                turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
                turn *= np.linalg.det(turn)
                spot = [*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.6, 1.2)]
                true.append(pose(turn, np.array(spot)))
                image.append(i)
                ids.append(class_id)
    true = np.array(true)
    noise = np.array([about_z(rng.normal() * 8) for _ in true])
    noise[:, :3, 3] += rng.normal(size=(len(true), 3)) * 0.01
    found, truth = scene(true, true @ noise, models=models, image=image, class_ids=ids)
    rows = np.sort(rng.choice(len(true), 2 * len(true)))
    found = replace(found.take(rows), scores=rng.integers(1, 6, len(rows)) / 5)
    assert found.poses is not None
    translations = np.array(found.poses.translations_m)
    translations[rng.random(len(rows)) < 0.1] = np.nan
    translations += rng.normal(size=translations.shape) * 0.005
    return replace(found, poses=replace(found.poses, translations_m=translations)), truth


def recall_written_out(found, truth, error, thresholds):
    """BOP's average recall with loops: as many estimates as true poses, greedy by score, lowest error."""
    recalls = []
    for threshold in thresholds:
        right = 0
        for image in range(len(truth.images)):
            for class_id in truth.objects:
                ours = np.flatnonzero((found.image_index == image) & (found.class_ids == class_id))
                ours = [row for row in ours if np.isfinite(found.poses.translations_m[row]).all()]
                theirs = np.flatnonzero(
                    (truth.image_index == image) & (truth.labels.class_ids == class_id)
                ).tolist()
                best = sorted(ours, key=lambda row: -found.scores[row])[: len(theirs)]
                for row in best:
                    errors = [error(row, other, class_id) for other in theirs]
                    if errors and min(errors) < threshold:
                        theirs.pop(int(np.argmin(errors)))
                        right += 1
        recalls.append(right / len(truth))
    return np.mean(recalls)


@pytest.mark.parametrize("seed", range(3))
def test_recalls_are_those_of_bop_written_out(seed):
    models = {
        0: thing(),
        1: thing([about_z(180.0)]),
        2: thing(axes=(SymmetryAxis((0.0, 0.0, 1.0), (0, 0, 0)),)),
    }
    found, truth = clutter(seed, models)
    shapes = {class_id: Shape.of(model) for class_id, model in models.items()}
    ours = pose(found.poses.rotations, found.poses.translations_m)
    theirs = pose(truth.labels.poses.rotations, truth.labels.poses.translations_m)

    def worst(view, row, other, class_id):
        targets = view(move(theirs[other] @ shapes[class_id].motions, CUBE))
        return np.linalg.norm(view(move(ours[row], CUBE)) - targets, axis=2).max(axis=1).min()

    metrics = measured(found, truth)
    diameter = 0.1 * np.sqrt(3)
    mssd = recall_written_out(
        found, truth, lambda *a: worst(lambda p: p, *a) / diameter, [0.05 * i for i in range(1, 11)]
    )
    mspd = recall_written_out(
        found, truth, lambda *a: worst(lambda p: project(p, CAMERA), *a), [5 * i for i in range(1, 11)]
    )
    assert metrics["AR_MSSD"] == pytest.approx(mssd)
    assert metrics["AR_MSPD"] == pytest.approx(mspd)
    assert 0.1 < mssd < 0.95
    assert 0.1 < mspd < 0.95


def test_thresholds_in_pixels_grow_with_the_image():
    true = [at(0.0, 0.0, 1.0)]
    found, truth = scene(true, [at(0.0125, 0.0, 1.0)], models={0: thing()})  # about 8 pixels
    narrow = measured(found, truth)["AR_MSPD"]
    wide = np.array([[1280, 960]])
    assert narrow == pytest.approx(0.9)
    assert measured(replace(found, sizes_wh=wide), replace(truth, sizes_wh=wide))["AR_MSPD"] == 1.0


def test_a_true_pose_is_found_by_one_estimate_only():
    errors = np.array([[1.0, 2.0], [0.5, 9.0]])
    assert bop.count_correct(errors, np.array([0.5, 1.5, 3.0, 10.0])).tolist() == [0, 1, 1, 2]
    assert bop.count_correct(np.zeros((0, 2)), np.array([1.0])).tolist() == [0]
    assert bop.count_correct(np.array([[np.inf]]), np.array([1.0])).tolist() == [0]


def test_how_images_are_split_changes_nothing():
    models = {0: thing(), 1: thing([about_z(180.0)])}
    found, truth = clutter(7, models)
    whole = pose_evaluator(truth)
    whole.add(found, truth)
    halves = [pose_evaluator(truth) for _ in range(2)]
    for image in (3, 0, 4, 1, 2):
        halves[image % 2].add(*take_images(found, truth, np.array([image])))
    halves[0].merge(halves[1])
    assert halves[0].result().as_dict() == whole.result().as_dict()
    assert halves[0].result().as_dict() == whole.result().as_dict()
    halves[0].add(*take_images(found, truth, np.array([2])))
    with pytest.raises(EvaluationError, match="was added 2 times"):
        halves[0].result()
    with pytest.raises(EvaluationError, match="cannot be merged"):
        whole.merge(PoseEvaluator(truth.classes))
