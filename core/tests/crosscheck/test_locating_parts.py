"""What is said of masks, keypoints, poses and states that differ, detection by detection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.contract.columns import to_columns
from anydet.crosscheck.joining import Joined
from anydet.crosscheck.locating.parts import explain_parts
from anydet.crosscheck.parity import compare
from anydet.geometry import masks
from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.geometry.cameras import translation_m
from anydet.geometry.placement import Placement
from anydet.geometry.rotations import matrix_to_rot6d, random_rotation, turn_to
from anydet.types import Classification, ImagePredictions, Intrinsics, Poses

SIZE_WH = (160, 120)
PLACE = Placement(SIZE_WH, (96, 72), (0, 12), (96, 96))
CAMERA = Intrinsics(150.0, 150.0, 80.0, 60.0)
COUNT = 12
OPENGL = np.diag([1.0, -1.0, -1.0])


def blob(rng, box):
    """An ellipse in a box, with a notch, so that no mirror image is equal."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]] + 0.5
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    inside = ((x - center[0]) / half[0]) ** 2 + ((y - center[1]) / half[1]) ** 2 < 1
    return inside & ~((x > center[0]) & (y > center[1] + half[1] * rng.uniform(0, 0.3)))


def result(seed):
    rng = np.random.default_rng(seed)
    center, size = rng.uniform(40, 80, (COUNT, 2)), rng.uniform(20, 60, (COUNT, 2))
    boxes = cxcywh_to_xyxy(np.concatenate([center, size], axis=1))
    scores = rng.uniform(0.2, 0.9, (COUNT, 4))
    points = boxes[:, None, :2] + rng.uniform(0, 1, (COUNT, 5, 2)) * size[:, None]
    log_z, offsets = rng.uniform(-1, 1, COUNT), rng.uniform(-9, 9, (COUNT, 2))
    rotations = np.stack([random_rotation(rng) for _ in range(COUNT)])
    translations = translation_m((boxes[:, :2] + boxes[:, 2:]) / 2, log_z, CAMERA, offsets)
    poses = Poses(log_z=log_z, rotations=rotations, rot6d=matrix_to_rot6d(rotations))
    poses = replace(poses, translations_m=translations, offsets_px=offsets)
    classes = np.kron(rng.integers(0, 3, (6, 8)), np.ones((20, 20), np.int64))
    image_scores = rng.dirichlet(np.ones(3))
    return ImagePredictions(
        f"{seed}.png",
        SIZE_WH,
        boxes,
        rng.uniform(0.1, 0.9, COUNT),
        rng.integers(0, 3, COUNT),
        states=scores.argmax(axis=1),
        state_scores=scores / scores.sum(axis=1, keepdims=True),
        masks=tuple(masks.encode(blob(rng, box)) for box in boxes),
        keypoints=np.concatenate([points, rng.uniform(0.1, 0.9, (COUNT, 5, 1))], axis=2),
        poses=poses,
        intrinsics=CAMERA,
        classification=Classification(int(image_scores.argmax()), image_scores.max(), tuple(image_scores)),
        semantic_mask={c: masks.encode(classes == c) for c in range(3)},
    )


RIGHT = [result(seed) for seed in range(4)]


def said(change):
    joined = Joined(to_columns(RIGHT), to_columns([change(one) for one in RIGHT]), ("a", "b"))
    found = explain_parts(joined.a, joined.b, compare(joined).pairs, [PLACE] * len(RIGHT))
    return [(one.step, one.cause) for one in found]


def softmax(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def points_as(change):
    def changed(found):
        points = found.keypoints
        return replace(
            found, keypoints=np.concatenate([change(points[..., :2], found), points[..., 2:]], axis=2)
        )

    return changed


def poses_as(**changes):
    def changed(found):
        made = {name: change(found.poses) for name, change in changes.items()}
        if "rotations" in made:
            made["rot6d"] = matrix_to_rot6d(made["rotations"])
        return replace(found, poses=replace(found.poses, **made))

    return changed


def masks_as(change):
    def changed(found):
        boxes = found.boxes_xyxy_px
        codes = (masks.encode(change(masks.decode(m), b)) for m, b in zip(found.masks, boxes, strict=True))
        return replace(found, masks=tuple(codes))

    return changed


def classes_as(change):
    def changed(found):
        there = masks.class_map(found.semantic_mask, SIZE_WH[::-1])
        made = change(there)
        return replace(found, semantic_mask={int(c): masks.encode(made == c) for c in np.unique(made)})

    return changed


def eroded(mask, _box):
    smaller = mask.copy()
    smaller[1:] &= mask[:-1]
    smaller[:, 1:] &= mask[:, :-1]
    return smaller


def test_equal_parts_are_no_finding():
    assert said(lambda found: found) == []
    assert said(points_as(lambda x, _f: x + 1e-3)) == []
    assert said(poses_as(translations_m=lambda p: p.translations_m * (1 + 1e-6))) == []


@pytest.mark.parametrize(
    ("change", "step", "text"),
    [
        (lambda r: replace(r, state_scores=r.state_scores[:, [1, 0, 2, 3]]), "states", "0 is A's 1"),
        (
            lambda r: replace(r, state_scores=softmax(r.state_scores)),
            "states",
            "softmax is applied once more",
        ),
        (
            lambda r: replace(r, state_scores=softmax(softmax(r.state_scores))),
            "states",
            "decoded differently",
        ),
        (lambda r: replace(r, states=r.states + 1), "states", "state ids are +1"),
        (lambda r: replace(r, states=np.array([2, 1, 0, 3])[r.states]), "states", "another order: 0 is 2"),
        (lambda r: replace(r, states=None, state_scores=None), "states", "states are left out"),
        (lambda r: replace(r, keypoints=r.keypoints[:, [1, 0, 2, 4, 3]]), "keypoints", "0 and 1, 3 and 4"),
        (lambda r: replace(r, keypoints=r.keypoints[:, [1, 2, 0, 3, 4]]), "keypoints", "0 is A's 1"),
        (
            lambda r: replace(r, keypoints=r.keypoints[:, :4]),
            "keypoints",
            "4 keypoints of a detection, not 5",
        ),
        (points_as(lambda x, _r: x[..., ::-1]), "keypoints", "x and y are swapped"),
        (points_as(lambda x, _r: np.rint(x)), "keypoints", "rounded to whole pixels"),
        (points_as(lambda x, r: x - r.boxes_xyxy_px[:, None, :2]), "keypoints", "corner of the box"),
        (points_as(lambda x, _r: x / np.array(SIZE_WH)), "keypoints", "fractions of the image"),
        (
            points_as(lambda x, _r: x / PLACE.scale_xy + PLACE.offset_xy),
            "keypoints",
            "left in pixels of the input",
        ),
        (
            points_as(lambda x, _r: x + PLACE.offset_xy * PLACE.scale_xy),
            "keypoints",
            "offset of the image in the input is not subtracted",
        ),
        (points_as(lambda x, _r: 1.1 * x + 3), "keypoints", "scaled by 1.1 and 1.1, and moved by +3"),
        (
            lambda r: replace(r, keypoints=r.keypoints ** np.array([1, 1, 2])),
            "keypoints",
            "squared, of keypoint scores",
        ),
    ],
)
def test_states_and_keypoints_are_explained(change, step, text):
    first = said(change)[0]
    assert first[0] == step
    assert text in first[1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (poses_as(rotations=lambda p: p.rotations.transpose(0, 2, 1)), "transposed"),
        (poses_as(rotations=lambda p: OPENGL @ p.rotations), "OpenGL's camera"),
        (poses_as(rotations=lambda p: p.rotations @ OPENGL), "an object whose y and z axes are reversed"),
        (
            poses_as(rotations=lambda p: turn_to(p.translations_m).transpose(0, 2, 1) @ p.rotations),
            "allocentric",
        ),
        (poses_as(rotations=lambda p: turn_to(p.translations_m) @ p.rotations), "once more"),
        (poses_as(rotations=lambda p: p.rotations @ random_rotation(np.random.default_rng(9))), "the object"),
        (poses_as(translations_m=lambda p: 1000 * p.translations_m), "millimeters"),
        (poses_as(translations_m=lambda p: 1.3 * p.translations_m), "multiplied by 1.3"),
        (poses_as(translations_m=lambda p: p.translations_m @ OPENGL), "y and z reversed"),
        (
            poses_as(translations_m=lambda p: p.translations_m * (np.array(SIZE_WH) / (96, 72)).mean()),
            "not scaled to the input",
        ),
        (
            poses_as(translations_m=lambda p: p.translations_m * np.array([2.0, 2.0, 1.0])),
            "a camera with 0.5 and 0.5 of A's focal lengths",
        ),
        (poses_as(offsets_px=lambda p: 0 * p.offsets_px), "offset of the projected center"),
        (poses_as(log_z=lambda p: p.log_z + 0.5), "logarithms of depths are multiplied by 1, plus 0.5"),
        (lambda r: replace(r, poses=None), "poses are left out"),
    ],
)
def test_poses_are_explained(change, text):
    (step, cause), *_ = said(change)
    assert step == "poses"
    assert text in cause


@pytest.mark.parametrize(
    ("change", "step", "text"),
    [
        (masks_as(lambda m, _b: m[:, ::-1]), "masks", "mirrored left to right"),
        (masks_as(lambda m, _b: ~m), "masks", "inverted"),
        (masks_as(lambda m, _b: np.roll(m, 1, axis=0)), "masks", "1 px down"),
        (masks_as(eroded), "masks", "their threshold is higher"),
        (masks_as(lambda m, _b: m[::4, ::4].repeat(4, 0).repeat(4, 1)), "masks", "nearest pixel"),
        (
            masks_as(lambda m, _b: m | (np.indices(m.shape).sum(axis=0) < 12)),
            "masks",
            "not cropped to their boxes",
        ),
        (classes_as(lambda c: c[:, ::-1]), "masks", "mirrored left to right"),
        (classes_as(lambda c: np.array([2, 1, 0])[c]), "masks", "another order: 0 is 2"),
        (classes_as(lambda c: c + 1), "masks", "class ids of pixels are +1"),
        (
            lambda r: replace(
                r,
                classification=replace(
                    r.classification, scores=tuple(softmax(np.array(r.classification.scores)))
                ),
            ),
            "activation",
            "softmax is applied once more, of image class scores",
        ),
    ],
)
def test_masks_and_classes_of_images_are_explained(change, step, text):
    first = said(change)[0]
    assert first[0] == step
    assert text in first[1]
