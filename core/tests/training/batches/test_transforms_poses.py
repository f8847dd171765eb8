"""A pose stays true: what a network must predict on a changed image leads back to the object's translation.

The way is the contract's: box center plus offset is the projected center, and ``log_z`` its depth; training
and inference see the image through the same camera.
"""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from anydet.data.record.letterbox import Letterbox
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import Crop, HorizontalFlip, Resize
from anydet.geometry.cameras import translation_m
from anydet.geometry.pose_errors import project
from anydet.geometry.poses import resolve
from anydet.geometry.rotations import matrix_to_rot6d, random_rotation
from anydet.training.batches import transforms
from anydet.training.batches.augment import Augmentation
from anydet.training.batches.sample import Sample
from anydet.training.config.settings import TrainSettings
from anydet.types import ImagePredictions, Intrinsics, Poses

pytestmark = pytest.mark.slow

SIZE = (48, 36)
CAMERA = Intrinsics(51.0, 53.0, 22.0, 19.5)
MIRROR = np.diag([-1.0, 1.0, 1.0])
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None)


@st.composite
def steps(draw):
    """Up to four steps, as (for records, for samples), and how many of them mirror."""
    found, size, mirrored = [], SIZE, 0
    for kind in draw(st.lists(st.sampled_from(["flip", "resize", "crop", "letterbox"]), max_size=4)):
        if kind == "flip":
            found.append((HorizontalFlip(), transforms.hflip))
            mirrored += 1
        elif kind == "crop":
            x, y = draw(st.integers(0, size[0] // 3)), draw(st.integers(0, size[1] // 3))
            wide, high = (
                draw(st.integers(size[0] // 2, size[0] - x)),
                draw(st.integers(size[1] // 2, size[1] - y)),
            )
            window = (x, y, x + wide, y + high)
            found.append((Crop(x, y, (wide, high)), lambda s, w=window: transforms.crop(s, w, min_share=0)))
            size = (wide, high)
        else:
            size = draw(st.integers(8, 90)), draw(st.integers(8, 90))
            if kind == "resize":
                found.append((Resize(size), lambda s, wh=size: transforms.resize(s, wh)))
            else:
                centered = draw(st.booleans())
                found.append(
                    (
                        Letterbox(size, centered),
                        lambda s, wh=size, c=centered: transforms.letterbox(s, wh, centered=c),
                    )
                )
    return found, mirrored % 2


def objects(seed):
    """(3, 3, 3) rotations and (3, 3) translations that project into the image."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.3, 2.0, 3)
    spots = rng.uniform([0, 0], SIZE, (3, 2))
    rays = (spots - (CAMERA.cx, CAMERA.cy)) / (CAMERA.fx, CAMERA.fy)
    rotations = np.stack([random_rotation(rng) for _ in range(3)])
    return rotations, np.concatenate([rays, np.ones((3, 1))], axis=1) * depth[:, None]


def sample(seed):
    rotations, translations = objects(seed)
    return Sample(
        key="a",
        image=torch.zeros(3, SIZE[1], SIZE[0], dtype=torch.uint8),
        boxes=torch.tensor([[0.0, 0.0, *SIZE]]).repeat(3, 1),  # no crop cuts it away
        class_ids=torch.arange(3),
        iscrowd=torch.zeros(3, dtype=torch.bool),
        rotations=torch.from_numpy(rotations),
        translations_m=torch.from_numpy(translations),
        intrinsics=torch.tensor(astuple(CAMERA), dtype=torch.float64),
    )


def recovered(seen):
    """(N, 3) translations from what a network is taught: box, offset, log depth; and from the camera."""
    camera = Intrinsics(*seen.intrinsics.tolist())
    translations, boxes = seen.translations_m.numpy(), seen.boxes.double().numpy()
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    offsets = project(translations, camera) - centers
    return translation_m(centers, np.log(translations[:, 2]), camera, offsets)


@quick
@given(seeds, steps())
def test_training_targets_lead_back_to_the_translation(seed, chain):
    before = seen = sample(seed)
    for _, change in chain[0]:
        seen = change(seen)
    turn = MIRROR if chain[1] else np.eye(3)
    rows = seen.class_ids.numpy()
    assume(len(rows))  # a window beside a letterboxed image holds none of the objects
    translations, rotations = before.translations_m.numpy()[rows], before.rotations.numpy()[rows]
    assert np.allclose(recovered(seen), translations @ turn, rtol=0, atol=1e-6)
    assert np.allclose(seen.rotations.numpy(), turn @ rotations @ turn, rtol=0, atol=1e-12)


@quick
@given(seeds, steps())
def test_training_and_inference_see_through_the_same_camera(seed, chain):
    record, seen = Record("a", ImageArray(np.zeros((*SIZE[::-1], 3), np.uint8)), camera=CAMERA), sample(seed)
    for step, change in chain[0]:
        record, seen = record.derive(step), change(seen)
        assert record.size_wh == seen.size_wh
        assert np.allclose(astuple(record.intrinsics), seen.intrinsics.numpy(), rtol=0, atol=1e-9)


@quick
@given(seeds, steps(), st.booleans())
def test_predictions_on_the_derived_image_come_back_with_the_true_pose(seed, chain, corrected):
    """A network that is right on what it sees is right on the source image, its camera correction too."""
    rng = np.random.default_rng(seed)
    record = Record("a", ImageArray(np.zeros((*SIZE[::-1], 3), np.uint8)), camera=CAMERA)
    for step, _ in chain[0]:
        record = record.derive(step)
    rotations, translations = objects(seed)
    turn = MIRROR if chain[1] else np.eye(3)
    delta = rng.uniform(-0.2, 0.2, (3, 4)) if corrected else np.zeros((3, 4))
    camera = record.intrinsics
    focal = np.array([camera.fx, camera.fy]) * (1 + delta[:, :2])
    middle = np.array([camera.cx, camera.cy]) + delta[:, 2:]
    there = translations @ turn
    spots = there[:, :2] / there[:, 2:] * focal + middle
    corners = rng.uniform(0, 40, (3, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 20, (3, 2))], axis=1)
    poses = Poses(
        log_z=np.log(there[:, 2]),
        rot6d=matrix_to_rot6d(turn @ rotations @ turn),
        offsets_px=spots - (boxes[:, :2] + boxes[:, 2:]) / 2,
        k_delta=delta,
    )
    seen = ImagePredictions(
        "a", record.size_wh, boxes, np.ones(3), np.zeros(3, np.int64), poses=poses, intrinsics=camera
    )
    back = record.undo(seen)
    found_rotations, found = resolve(back.poses, back.boxes_xyxy_px, CAMERA)
    assert np.allclose(found, translations, rtol=0, atol=1e-6)
    if any(isinstance(step, HorizontalFlip) for step, _ in chain[0]):
        assert np.isnan(found_rotations).all()
    else:
        assert np.allclose(found_rotations, rotations, rtol=0, atol=1e-6)


@quick
@given(seeds, seeds)
def test_augmentation_keeps_poses_true(seed, choice):
    """A point on the object moves with the object's pixels, whatever was done to the image."""
    change = Augmentation.from_settings(
        TrainSettings(scale_jitter=0.5, crop_prob=0.7, hflip_prob=0.5, color_jitter=0.2)
    )
    before = sample(seed)
    marked = replace(before, keypoints=projected_centers(before))
    after = change(marked, np.random.default_rng(choice), lambda _: marked)
    points = after.keypoints.numpy()[:, 0]
    seen = points[:, 2] > 0
    there = project(after.translations_m.numpy(), Intrinsics(*after.intrinsics.tolist()))
    assert np.allclose(there[seen], points[seen, :2], rtol=0, atol=1e-4)
    original = before.translations_m.numpy()[after.class_ids.numpy()]
    assert np.allclose(np.abs(recovered(after)), np.abs(original), rtol=0, atol=1e-6)


def projected_centers(one):
    """(N, 1, 3) keypoints: the projected origin of each object."""
    spots = project(one.translations_m.numpy(), CAMERA)
    return torch.from_numpy(np.concatenate([spots, np.full((len(spots), 1), 2.0)], axis=1))[:, None].float()
