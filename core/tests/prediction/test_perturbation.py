"""Detections mirrored by chance after prediction: what moves, what stays, and what the file says of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.errors import OptionError
from anydet.geometry import masks
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import Perturbation
from anydet.prediction.export import export_predictions
from anydet.prediction.perturbation import PERTURBED, RunningPerturbation
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.recipe import Recipe
from anydet.testing.comparison import same_columns
from anydet.types import Classification, ImagePredictions, Intrinsics, Poses

SIZE = (40, 30)
CAMERA = Intrinsics(50.0, 60.0, 17.0, 14.0)


def perturb(result, flip_prob=1.0, *, norm_only=False, pairs=(), seed=0):
    return RunningPerturbation(Perturbation(seed, flip_prob, norm_only), pairs).apply(result)


def which(result):
    """(N,) the detections that were mirrored."""
    return np.array(["mirrored" in extra for extra in result.detection_extra], np.bool_)


def rich(count=3, key="a.jpg"):
    """Detections with all that a detection can have."""
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 15, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 14, (count, 2))], axis=1)
    places = rng.uniform(0.5, 2, (count, 3))
    pixels = [rng.random((30, 40)) < 0.3 for _ in range(count)]
    return ImagePredictions(
        key,
        SIZE,
        boxes,
        rng.uniform(0.1, 1, count),
        np.arange(count),
        states=np.arange(count),
        state_scores=rng.random((count, 3)),
        masks=tuple(map(masks.encode, pixels)),
        keypoints=rng.uniform(1, 20, (count, 3, 3)) * np.array([1, 1, 0.01]),
        keypoint_visibility=np.tile(np.array([0, 1, 2]), (count, 1)),
        poses=Poses(
            log_z=np.log(places[:, 2]),
            rotations=np.tile(np.eye(3), (count, 1, 1)),
            rot6d=np.tile(np.eye(3)[:, :2].T.reshape(6), (count, 1)),
            translations_m=places,
            offsets_px=rng.normal(size=(count, 2)),
            k_delta=rng.uniform(-0.1, 0.1, (count, 4)),
            log_sigma_z=rng.normal(size=count),
            log_sigma_rot=rng.normal(size=count),
        ),
        detection_extra=({"number": 1},) * count,
        classification=Classification(1, 0.5),
        semantic_mask={0: masks.encode(rng.random((30, 40)) < 0.3)},
        intrinsics=CAMERA,
        extra={"own": 1},
    )


def test_everything_of_a_mirrored_detection_is_in_its_mirror():
    found = rich()
    mirrored = perturb(found, pairs=((0, 1),))
    assert mirrored.detection_extra == ({"number": 1, "mirrored": True},) * 3
    np.testing.assert_array_equal(
        mirrored.boxes_xyxy_px, (40, 0, 40, 0) - found.boxes_xyxy_px[:, [2, 1, 0, 3]] * (1, -1, 1, -1)
    )
    for old, new in zip(found.masks, mirrored.masks, strict=True):
        np.testing.assert_array_equal(masks.decode(new), masks.decode(old)[:, ::-1])
    swapped = found.keypoints[:, [1, 0, 2]]
    np.testing.assert_array_equal(mirrored.keypoints[..., 0], 40 - swapped[..., 0])
    np.testing.assert_array_equal(mirrored.keypoints[..., 1:], swapped[..., 1:])
    np.testing.assert_array_equal(mirrored.keypoint_visibility, found.keypoint_visibility[:, [1, 0, 2]])


def test_what_a_mirror_does_not_change_stays():
    found, mirrored = rich(), perturb(rich())
    for name in ("scores", "class_ids", "states", "state_scores"):
        np.testing.assert_array_equal(getattr(mirrored, name), getattr(found, name))
    for name in ("classification", "semantic_mask", "intrinsics", "size_wh", "extra"):
        assert getattr(mirrored, name) == getattr(found, name)


def test_a_mirrored_pose_projects_to_the_mirrored_place_at_the_same_depth():
    old, new = rich().poses, perturb(rich()).poses
    np.testing.assert_array_equal(new.log_z, old.log_z)
    np.testing.assert_array_equal(new.k_delta, old.k_delta)
    np.testing.assert_array_equal(new.offsets_px, old.offsets_px * (-1, 1))
    dfx, dfy, dcx, dcy = old.k_delta.T

    def projected(places):
        x, y, z = places.T
        u = CAMERA.fx * (1 + dfx) * x / z + CAMERA.cx + dcx
        return np.stack([u, CAMERA.fy * (1 + dfy) * y / z + CAMERA.cy + dcy, z], axis=1)

    before, after = projected(old.translations_m), projected(new.translations_m)
    np.testing.assert_allclose(after, np.stack([40 - before[:, 0], *before.T[1:]], axis=1), rtol=1e-12)


def test_a_mirrored_object_has_no_rotation_and_without_a_camera_no_translation():
    found = rich(8)
    chosen = perturb(found, 0.5, seed=1)
    moved = which(chosen)
    assert 0 < moved.sum() < 8
    for name in ("rotations", "rot6d", "log_sigma_rot"):
        column = getattr(chosen.poses, name).reshape(8, -1)
        assert np.isnan(column[moved]).all()
        np.testing.assert_array_equal(column[~moved], getattr(found.poses, name).reshape(8, -1)[~moved])
    blind = perturb(replace(found, intrinsics=None), 0.5, seed=1).poses.translations_m
    assert np.isnan(blind[moved]).all()
    np.testing.assert_array_equal(blind[~moved], found.poses.translations_m[~moved])


def test_norm_only_leaves_masks_and_poses_alone():
    found, mirrored = rich(), perturb(rich(), norm_only=True)
    both = perturb(rich())
    np.testing.assert_array_equal(mirrored.boxes_xyxy_px, both.boxes_xyxy_px)
    np.testing.assert_array_equal(mirrored.keypoints, both.keypoints)
    assert mirrored.masks == found.masks
    for name in ("rotations", "translations_m", "offsets_px", "log_z"):
        np.testing.assert_array_equal(getattr(mirrored.poses, name), getattr(found.poses, name))


@pytest.mark.slow
@given(st.integers(0, 9), st.floats(0, 1), st.integers(0, 5))
def test_each_detection_is_itself_or_its_mirror(count, flip_prob, seed):
    found = rich(count)
    chosen, every = perturb(found, flip_prob, seed=seed), perturb(found)
    moved = which(chosen)
    expected = np.where(moved[:, None], every.boxes_xyxy_px, found.boxes_xyxy_px)
    np.testing.assert_array_equal(chosen.boxes_xyxy_px, expected)


def test_a_probability_of_zero_changes_no_column():
    found = rich()
    assert same_columns(perturb(found, 0.0), found)


@pytest.mark.slow
def test_the_share_of_mirrored_detections_is_the_probability():
    keys = [f"{i}.jpg" for i in range(400)]
    moved = [which(perturb(rich(5, key), 0.3)).tolist() for key in keys]
    assert np.mean(moved) == pytest.approx(0.3, abs=0.04)  # four standard deviations of 2000 draws
    assert moved != [which(perturb(rich(5, key), 0.3, seed=1)).tolist() for key in keys]


def run(make_adapter, spots, tmp_path, batch_size):
    out = tmp_path / f"{batch_size}.json"
    tta = RunningPerturbation(Perturbation(2, 0.5))
    pipeline = Pipeline(make_adapter(batch_size), Limits(), tta)
    export_predictions(pipeline, spots(12), out, wrap=True)
    return json.loads(out.read_text("utf-8"))


def test_the_file_says_what_was_done_whatever_the_chunks(make_adapter, spots, tmp_path):
    one, many = run(make_adapter, spots, tmp_path, 1), run(make_adapter, spots, tmp_path, 5)
    assert one["predictions"] == many["predictions"]
    tta = one["meta"]["tta"]
    assert (tta["enabled"], tta["mode"], tta["views"], tta["fusion"]) == (True, "prediction", [], None)
    assert (tta["seed"], tta["flip_prob"], tta["norm_only"]) == (2, 0.5, False)
    assert tta["warnings"] == [PERTURBED]


def test_limits_come_before_so_that_the_same_detections_are_written(make_adapter, spots):
    plain = [p for chunk in Pipeline(make_adapter(), Limits(max_detections=1)).run(spots(6)) for p in chunk]
    tta = RunningPerturbation(Perturbation(0, 1.0))
    moved = [p for c in Pipeline(make_adapter(), Limits(max_detections=1), tta).run(spots(6)) for p in c]
    for old, new in zip(plain, moved, strict=True):
        np.testing.assert_array_equal(old.scores, new.scores)
        np.testing.assert_array_equal(new.boxes_xyxy_px[:, 0], 8 - old.boxes_xyxy_px[:, 2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Perturbation(seed=-1), "seed: -1"),
        (Perturbation(flip_prob=1.5), "flip_prob: 1.5"),
        (Perturbation(norm_only=1), "norm_only: 1"),
    ],
)
def test_a_recipe_refuses_settings_out_of_range(wrong, message):
    with pytest.raises(OptionError, match=message):
        Recipe("toy", tta=wrong).resolve(Plugins.from_env())
