"""Accuracy of 6-DoF poses: of detections matched by box, and by pose as the BOP Challenge does."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from anydet.columns import concatenate
from anydet.evaluation import bop
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.pose_matches import PoseMatches, camera_table, is_known, measure, poses_of
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.geometry import pose_errors
from anydet.geometry.pose_errors import Shape
from anydet.types import (
    BoolArray,
    DetectionColumns,
    FloatArray,
    GroundTruthColumns,
    IntArray,
    Intrinsics,
    ObjectModel,
)

AUC_LIMIT_M = 0.1
"""Where the area under the curve of ADD ends (Xiang et al. 2018, "PoseCNN")."""
_ANY, _SHAPED, _SEEN = 0, 1, 2
"""Rows of targets: all, those with a model, those of them on an image whose camera is known."""


@dataclass(frozen=True, slots=True, eq=False)
class PosePartial(PartialResult):
    """What is kept of some images.

    Attributes:
        matches: errors of the detections that are matched by box.
        targets: (3, C) true poses: all, those with a model, those of them whose camera is known.
        correct: (2, T, C) true poses that BOP counts as found, by MSSD and by MSPD, at each threshold.
    """

    matches: PoseMatches
    targets: IntArray
    correct: IntArray


@dataclass(eq=False)
class PoseEvaluator(MergeableEvaluator[PosePartial]):
    """Rotation, translation, depth, ADD, ADD-S, 5 degrees 5 cm and projection of matches; BOP's recalls.

    A detection is matched by its box (COCO's greedy order at one IoU). Fractions ("ADD_0.1d", "5deg_5cm")
    and areas under curves are of all true poses, one that is not matched counting as wrong; means and medians
    are of the matches. Rotation, translation and projection are measured to the nearest pose in which the
    object looks the same. What needs a model is of the objects that have one.

    Attributes:
        classes: the objects.
        models: their shapes by class id.
        iou_threshold: lowest IoU of a match.
    """

    name: ClassVar[str] = "pose"
    most_partials = 64
    models: Mapping[int, ObjectModel] = field(default_factory=dict)
    _: KW_ONLY
    iou_threshold: float = 0.5
    _shapes: dict[int, Shape] = field(default_factory=dict, init=False, repr=False)

    @property
    def settings_key(self) -> Hashable:
        """Classes, which of them have a model, and the threshold."""
        return self.classes, frozenset(self.models), self.iou_threshold

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        labels = ground_truth.labels
        if labels.poses is None:
            return "the data set has no poses"
        if detections.poses is None:
            return "the predictions have no poses"
        _, cameras = camera_table(detections, ground_truth)
        true = poses_of(labels.poses, labels.boxes_xywh_px, ground_truth.image_index, cameras)
        return None if is_known(true).any() else "no annotation has both a rotation and a translation"

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> PosePartial:
        """Errors of matches, and counts.

        Raises ``EvaluationError`` where a model is too large to do without scipy and that is missing.
        """
        labels, index = ground_truth.labels, ground_truth.image_index
        ours, theirs = camera_table(detections, ground_truth)
        found = poses_of(detections.poses, detections.boxes_xywh_px, detections.image_index, ours)
        true = poses_of(labels.poses, labels.boxes_xywh_px, index, theirs)
        targets = is_known(true) & ~labels.iscrowd
        self._prepare(np.unique(labels.class_ids[targets]))
        shaped = targets & np.isin(labels.class_ids, list(self.models))
        seen = shaped & (np.isfinite(theirs).all(axis=1) & (ground_truth.sizes_wh[:, 0] > 0))[index]
        counts = [
            np.bincount(labels.class_ids[rows], minlength=len(self.classes))
            for rows in (targets, shaped, seen)
        ]
        pairs = pair(detections, ground_truth, iou_threshold=self.iou_threshold)
        hits = pairs.hits[targets[pairs.annotations[pairs.hits]]]
        to = pairs.annotations[hits]
        matches = measure(found[hits], true[to], labels.class_ids[to], theirs[index[to]], self._shapes)
        known = np.where(shaped[:, None, None], true, np.nan)
        correct = self._recall(detections, found, ground_truth, known, theirs)
        return PosePartial(ground_truth.images, ground_truth.image_ids, matches, np.stack(counts), correct)

    def join(self, partials: Sequence[PosePartial], images: JoinedImages) -> PosePartial:
        """One partial result of all images; matches stay in the order in which they came."""
        return PosePartial(
            images.keys,
            images.ids,
            # No order is needed: medians have none, and means are of exact sums.
            concatenate([partial.matches for partial in partials]),
            np.sum([partial.targets for partial in partials], axis=0),
            np.sum([partial.correct for partial in partials], axis=0),
        )

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added, or one twice.
        """
        joint = self.joint()
        metrics = self._summarize(joint, np.ones(len(self.classes), np.bool_))
        return Measured(metrics, self._tables(joint, metrics), self._protocol(joint))

    def _tables(self, joint: PosePartial, names: Iterable[str]) -> tuple[Table, ...]:
        """The same numbers of each object that has true poses: errors, and recalls."""
        present = np.flatnonzero(joint.targets[_ANY]).tolist()
        each = [self._summarize(joint, np.arange(len(self.classes)) == class_id) for class_id in present]
        first = [(self.classes.names[i], int(joint.targets[_ANY, i])) for i in present]
        errors = [name for name in names if name.endswith(("_mean", "_median"))]
        recalls = [name for name in names if name not in errors]
        return tuple(
            Table(
                title,
                ("object", "poses", *columns),
                tuple((*start, *(one[c] for c in columns)) for start, one in zip(first, each, strict=True)),
            )
            for title, columns in (("recalls of each object", recalls), ("errors of each object", errors))
        )

    def _prepare(self, class_ids: IntArray) -> None:
        """Make the shapes of these classes, where they have a model."""
        for class_id in class_ids.tolist():
            if class_id in self.models and class_id not in self._shapes:
                self._shapes[class_id] = Shape.of(self.models[class_id])

    def _recall(
        self,
        detections: DetectionColumns,
        found: FloatArray,
        ground_truth: GroundTruthColumns,
        true: FloatArray,
        cameras: FloatArray,
    ) -> IntArray:
        """Count what BOP takes for correct, object by object and image by image."""
        labels, classes = ground_truth.labels, len(self.classes)
        correct = np.zeros((2, len(bop.MSSD_THRESHOLDS), classes), np.int64)
        key = detections.image_index * classes + detections.class_ids
        true_key = ground_truth.image_index * classes + labels.class_ids
        ours, theirs = _rows_by(key, is_known(found)), _rows_by(true_key, is_known(true))
        for both in ours.keys() & theirs.keys():
            image, class_id = divmod(both, classes)
            shape = self._shapes[class_id]
            best = bop.most_likely(detections.scores[ours[both]], len(theirs[both]))
            estimates, poses = found[ours[both]][best], true[theirs[both]]
            mssd = _table(partial(pose_errors.mssd_m, shape=shape), estimates, poses)
            mssd /= shape.model.diameter_m
            correct[0, :, class_id] += bop.count_correct(mssd, bop.MSSD_THRESHOLDS)
            width = int(ground_truth.sizes_wh[image, 0])
            if np.isfinite(cameras[image]).all() and width > 0:
                camera = Intrinsics(*cameras[image].tolist())
                view = partial(pose_errors.mspd_px, shape=shape, camera=camera)
                mspd = _table(view, estimates, poses)
                mspd *= bop.REFERENCE_WIDTH_PX / width
                correct[1, :, class_id] += bop.count_correct(mspd, bop.MSPD_THRESHOLDS_PX)
        return correct

    def _summarize(self, joint: PosePartial, which: BoolArray) -> dict[str, float | None]:
        """The numbers of the classes that are marked."""
        matches = joint.matches.take(which[joint.matches.class_ids])
        every, shaped, seen = joint.targets[:, which].sum(axis=1).tolist()
        near = 0.1 * matches.diameter_m
        metrics = {
            "match_rate": len(matches) / every if every else None,
            **_center("rotation_deg", matches.rotation_deg),
            **_center("rotation_without_symmetry_deg", matches.plain_rotation_deg),
            **_center("translation_m", matches.translation_m),
            **_center("depth_m", matches.depth_m),
            **_center("relative_depth", matches.relative_depth),
            "5deg_5cm": _fraction((matches.rotation_deg < 5) & (matches.translation_m < 0.05), every),
        }
        for name, error in (
            ("ADD", matches.add_m),
            ("ADD-S", matches.adds_m),
            ("ADD-or-S", matches.expected_m),
        ):
            metrics[f"{name}_0.1d"] = _fraction(error < near, shaped)
            metrics[f"{name}_AUC"] = _area(error, shaped)
        metrics["projection_5px"] = _fraction(matches.projection_px < 5, seen)
        correct = joint.correct[:, :, which].sum(axis=2)
        metrics["AR_MSSD"] = bop.average_recall(correct[0], shaped)
        metrics["AR_MSPD"] = bop.average_recall(correct[1], seen)
        return metrics

    def _protocol(self, joint: PosePartial) -> dict[str, Any]:
        return {
            "iou_threshold": self.iou_threshold,
            "images": len(joint.images),
            "poses": int(joint.targets[_ANY].sum()),
            "poses_with_model": int(joint.targets[_SHAPED].sum()),
            "poses_with_model_and_camera": int(joint.targets[_SEEN].sum()),
            "models": {self.classes.names[i]: model.name for i, model in self.models.items()},
            "symmetric": [self.classes.names[i] for i, model in self.models.items() if model.symmetric],
            "AUC_limit_m": AUC_LIMIT_M,
            "MSSD_thresholds": bop.MSSD_THRESHOLDS.tolist(),
            "MSPD_thresholds_px": bop.MSPD_THRESHOLDS_PX.tolist(),
            "symmetry_step": pose_errors.STEP,
        }


def pose_evaluator(ground_truth: GroundTruthColumns) -> PoseEvaluator:
    """The evaluator with the models that the ground truth has; what is registered as ``pose``."""
    return PoseEvaluator(ground_truth.classes, ground_truth.objects or {})


def _rows_by(keys: IntArray, wanted: BoolArray) -> dict[int, IntArray]:
    """The wanted rows of each key."""
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(keys[rows], kind="stable")]
    present, first = np.unique(keys[rows], return_index=True)
    return dict(zip(present.tolist(), np.split(rows, first[1:]), strict=False))


def _table(
    error: Callable[[FloatArray, FloatArray], float], estimates: FloatArray, poses: FloatArray
) -> FloatArray:
    """(E, G) error of each estimate to each true pose."""
    return np.array([[error(one, other) for other in poses] for one in estimates], np.float64)


def _center(name: str, errors: FloatArray) -> dict[str, float | None]:
    """Mean and median of what is known; the sum is exact, so that no order of images changes it."""
    known = errors[np.isfinite(errors)]
    if not len(known):
        return {f"{name}_mean": None, f"{name}_median": None}
    return {f"{name}_mean": math.fsum(known.tolist()) / len(known), f"{name}_median": float(np.median(known))}


def _fraction(right: BoolArray, targets: int) -> float | None:
    return int(np.count_nonzero(right)) / targets if targets else None


def _area(errors: FloatArray, targets: int) -> float | None:
    """Area under the fraction of targets below a threshold, from 0 to the limit, divided by the limit."""
    known = errors[np.isfinite(errors)]
    left = np.maximum(0.0, 1.0 - known / AUC_LIMIT_M)
    return math.fsum(left.tolist()) / targets if targets else None
