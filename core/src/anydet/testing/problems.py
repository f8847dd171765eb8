"""Random problems for engines and evaluators: detections and ground truth with every column that there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry import masks
from anydet.geometry.rotations import random_rotation
from anydet.types import (
    RLE,
    BoolArray,
    ClassTable,
    DetectionColumns,
    FloatArray,
    GroundTruthColumns,
    ImageColumns,
    IntArray,
    Labels,
    ObjectModel,
    Poses,
)

_SIZE_WH = (64, 48)
_CLASSES = ClassTable(("frame", "wheel", "bell", "never seen"))
_STATES = ("intact", "damaged", "absent", "occluded")
_KEYPOINTS = 17


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Detections and the ground truth that they are held against, over the same images."""

    detections: DetectionColumns
    ground_truth: GroundTruthColumns


def random_problem(seed: int = 0, images: int = 9) -> Problem:
    """Few scores, so that many are equal; crowds; images without annotations, detections, or both.

    Keys are not in alphabetical order, and the last class of the table is on no image.
    """
    rng = np.random.default_rng([seed, images])
    there = np.sort(rng.integers(0, images, 4 * images))
    there = there[(there != 1) & (there != 3)]
    classes = rng.integers(0, 3, len(there))
    boxes = _boxes(rng, len(there))
    hit = rng.permutation(np.repeat(np.arange(len(there)), 2))[: len(there)]
    moved = boxes[hit] + rng.integers(-3, 4, (len(hit), 4)) * [1, 1, 0, 0]
    stray = rng.integers(0, images, 2 * images)
    place = np.concatenate([there[hit], stray])
    kept = np.flatnonzero((place != 2) & (place != 3))
    kept = kept[np.argsort(place[kept], kind="stable")]
    found_boxes = np.concatenate([moved, _boxes(rng, len(stray))])[kept]
    found_classes = np.concatenate([classes[hit], rng.integers(0, 3, len(stray))])[kept]
    count, keys = len(kept), tuple(f"{(5 * i) % 97:02}/{i}.png" for i in range(images))
    sizes = np.tile(_SIZE_WH, (images, 1))
    labels = Labels(
        classes,
        boxes,
        boxes[:, 2] * boxes[:, 3],
        rng.random(len(there)) < 0.15,
        annotation_ids=np.arange(1, len(there) + 1),
        segmentations=tuple(map(_mask, boxes)),
        keypoints=_keypoints(rng, boxes, visibility=True),
        states=rng.integers(0, 4, len(there)),
        poses=_poses(rng, len(there)),
    )
    detections = DetectionColumns(
        keys,
        sizes,
        place[kept],
        found_classes,
        found_boxes,
        rng.choice([0.2, 0.4, 0.6, 0.8], count),
        found_boxes[:, 2] * found_boxes[:, 3],
        states=rng.integers(0, 4, count),
        state_scores=rng.dirichlet(np.ones(4), count),
        masks=tuple(map(_mask, found_boxes)),
        keypoints=_keypoints(rng, found_boxes, visibility=False),
        poses=_poses(rng, count),
        about=_about(rng, images, predicted=True),
    )
    truth = GroundTruthColumns(
        keys,
        sizes,
        there,
        labels,
        _CLASSES,
        "a random problem",
        about=_about(rng, images, predicted=False),
        state_names=_STATES,
        objects={i: _cube(i) for i in range(len(_CLASSES))},
    )
    return Problem(detections, truth)


def _boxes(rng: np.random.Generator, count: int) -> FloatArray:
    corners = rng.integers(0, (40, 28), (count, 2))
    return np.concatenate([corners, rng.integers(4, 20, (count, 2))], axis=1).astype(np.float64)


def _mask(box: FloatArray) -> RLE:
    """The ellipse in a box."""
    width, height = _SIZE_WH
    y, x = np.mgrid[:height, :width]
    center, half = box[:2] + box[2:] / 2, np.maximum(box[2:], 2) / 2
    inside: BoolArray = ((x + 0.5 - center[0]) / half[0]) ** 2 + ((y + 0.5 - center[1]) / half[1]) ** 2 <= 1
    return masks.encode(inside)


def _keypoints(rng: np.random.Generator, boxes: FloatArray, *, visibility: bool) -> FloatArray:
    shape = (len(boxes), _KEYPOINTS, 1)
    points = boxes[:, None, :2] + np.linspace(0, 1, _KEYPOINTS)[None, :, None] * boxes[:, None, 2:]
    last = rng.integers(0, 3, shape).astype(np.float64) if visibility else rng.random(shape)
    found: FloatArray = np.concatenate([points, last], axis=2)
    return found


def _poses(rng: np.random.Generator, count: int) -> Poses:
    rotations = np.array([random_rotation(rng) for _ in range(count)]).reshape(-1, 3, 3)
    translations = np.concatenate([rng.normal(0, 0.1, (count, 2)), rng.uniform(1, 2, (count, 1))], axis=1)
    return Poses(log_z=np.log(translations[:, 2]), rotations=rotations, translations_m=translations)


def _about(rng: np.random.Generator, images: int, *, predicted: bool) -> ImageColumns:
    classes: IntArray = rng.integers(0, 3, images)
    scores = rng.dirichlet(np.ones(len(_CLASSES)), images)
    whole = np.zeros(_SIZE_WH[::-1], np.bool_)
    halves = whole.copy(), whole.copy()
    halves[0][:, :30], halves[1][:, 34:] = True, True
    areas = tuple({int(c): masks.encode(halves[0]), 3: masks.encode(halves[1])} for c in classes)
    return ImageColumns(
        class_ids=classes,
        confidences=scores[np.arange(images), classes] if predicted else None,
        class_scores=scores if predicted else None,
        semantic_masks=areas,
        cameras=np.tile([60.0, 60.0, 32.0, 24.0], (images, 1)),
        part_states=None if predicted else rng.integers(0, 4, (images, len(_CLASSES))),
    )


def _cube(number: int) -> ObjectModel:
    corners = np.array(np.meshgrid(*[(-0.05, 0.05)] * 3)).reshape(3, -1).T
    return ObjectModel(f"cube {number}", corners, float(0.1 * np.sqrt(3)), np.eye(4)[None])
