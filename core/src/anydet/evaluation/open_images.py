"""Average precision of Open Images: group-of boxes, verified image labels, a hierarchy of classes.

Kuznetsova et al. 2020, "The Open Images Dataset V4", section 6. The protocol of its challenges is published
as code: ``object_detection_evaluation.py``, ``per_image_evaluation.py`` and
``oid_hierarchical_labels_expansion.py`` of TensorFlow's Object Detection API.

- Annotations count for all classes above their own, too; detections do not: a detector has to give both.
- Detections of a class that was not verified on their image, as there or as not there, are left out.
- Matching is VOC's (``best_overlap``). A detection that it leaves without an object, and of which at least
  half is inside a group-of box (a crowd here), is ignored.
- The challenges also want group-of boxes to be found: each is one more annotation, and the best detection
  inside is its hit.

AP is the area under the curve, as of VOC2010.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from anydet.evaluation.analysis.pool import ImageRows, Judged, PooledEvaluator, Wanted
from anydet.evaluation.best_overlap import best_annotations, first_claims, select_annotations
from anydet.evaluation.matched_protocol import ProtocolOptions, require_threshold
from anydet.evaluation.ranked import area_under_curve, mean_of, ranked_classes
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.types import BoolArray, ClassTable, DetectionColumns, GroundTruthColumns, IntArray

IOU_THRESHOLD = 0.5


class OpenImagesEvaluator(PooledEvaluator):
    """AP of Open Images V2 (group-of boxes are ignored) and of its challenges (they are to be found).

    Args:
        classes: the class table of the ground truth.
        options: threshold, hierarchy and image labels. Without image labels, those of the data set are taken
            (Open Images, or ``neg_category_ids`` of LVIS); without these, all classes are verified
            everywhere.
    """

    name = "open-images"

    def __init__(self, classes: ClassTable, options: ProtocolOptions | None = None) -> None:
        super().__init__(classes)
        self.use_options(options or ProtocolOptions())

    @property
    def options(self) -> tuple[str, ...]:
        """It has a threshold, a hierarchy and image labels."""
        return "iou_threshold", "parents", "image_labels"

    def use_options(self, options: ProtocolOptions) -> None:
        """Evaluate with these."""
        self.iou_threshold = IOU_THRESHOLD if options.iou_threshold is None else options.iou_threshold
        require_threshold(self.iou_threshold)
        self.parents = {name: tuple(above) for name, above in options.parents.items()}
        self.image_labels = options.image_labels
        self.__dict__.pop("_above", None)

    @property
    def settings_key(self) -> Hashable:
        """Classes, threshold and hierarchy."""
        return self.classes, self.iou_threshold, tuple(sorted(self.parents.items()))

    @cached_property
    def _above(self) -> BoolArray:
        """(C, C) bool, whether the class of the column is above that of the row; nothing is above itself."""
        place = {name: i for i, name in enumerate(self.classes.names)}
        above = np.zeros((len(place), len(place)), np.bool_)
        for name, i in place.items():
            found = [place[one] for one in ancestors(name, self.parents) if one in place]
            above[i, found] = True
        return above

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """Right and wrong detections, the best in each group-of box, annotations, and group-of boxes."""
        truth = self._expanded(ground_truth)
        verified = self._verified(truth)
        if verified is not None:
            detections = detections.take(verified[detections.image_index, detections.class_ids])
        group = truth.labels.iscrowd
        singles, groups = select_annotations(truth, ~group), select_annotations(truth, group)
        right = first_claims(detections, best_annotations(detections, singles, self.iou_threshold))
        inside = np.where(right, -1, best_annotations(detections, groups, self.iou_threshold))
        counted, best = inside < 0, first_claims(detections, inside)
        return (
            _judged(detections, counted, right),
            _judged(detections, best, best),
            Wanted(singles.image_index, singles.labels.class_ids),
            Wanted(groups.image_index, groups.labels.class_ids),
        )

    def _expanded(self, truth: GroundTruthColumns) -> GroundTruthColumns:
        """Each annotation once more for every class above its own."""
        if not self.parents:
            return truth
        rows, above = np.nonzero(self._above[truth.labels.class_ids])
        all_rows = np.concatenate([np.arange(len(truth)), rows])
        labels = truth.labels.take(all_rows)
        class_ids = np.concatenate([truth.labels.class_ids, above])
        return replace(
            truth, image_index=truth.image_index[all_rows], labels=replace(labels, class_ids=class_ids)
        )

    def _verified(self, truth: GroundTruthColumns) -> BoolArray | None:
        """(I, C) bool, whether an image was verified for a class; ``None`` where nothing says so.

        What is there is there for the classes above, too; what is not there is not there for those below.
        """
        if not self.image_labels and truth.federation is None:
            return None
        there, absent = (np.zeros((len(truth.images), len(self.classes)), np.bool_) for _ in range(2))
        if self.image_labels:
            self._mark(truth.images, there, absent)
        elif truth.federation is not None:
            for pairs, marked in ((truth.federation.absent, absent), (truth.federation.incomplete, there)):
                marked[pairs[:, 0], pairs[:, 1]] = True
        if self.parents:
            above = self._above.astype(np.float32)  # numpy multiplies floats by BLAS, and flags one by one
            there |= there.astype(np.float32) @ above > 0
            absent |= absent.astype(np.float32) @ above.T > 0
        # Boxes verify their class, and have been expanded.
        there[truth.image_index, truth.labels.class_ids] = True
        return there | absent

    def _mark(self, images: Sequence[str], there: BoolArray, absent: BoolArray) -> None:
        """Enter the labels of these images, which are named by their key or its stem."""
        place = {name: i for i, name in enumerate(self.classes.names)}
        for row, key in enumerate(images):
            labels = self.image_labels.get(key) or self.image_labels.get(PurePosixPath(key).stem) or {}
            for name, positive in labels.items():
                if name in place:
                    (there if positive else absent)[row, place[name]] = True

    def count(
        self, images: tuple[str, ...], judged: Judged, in_groups: Judged, wanted: Wanted, groups: Wanted
    ) -> Measured:
        """AP of all classes that have annotations, without and with group-of boxes."""
        del images
        both = Judged(
            *(np.concatenate(pair) for pair in zip(_columns(judged), _columns(in_groups), strict=True))
        )
        positives, grouped = (
            np.bincount(one.class_ids, minlength=len(self.classes)) for one in (wanted, groups)
        )
        plain = self._precisions(judged, positives)
        challenge = self._precisions(both, positives + grouped)
        found = np.bincount(judged.class_ids, minlength=len(self.classes))
        columns = (self.classes.names, plain, challenge, positives.tolist(), grouped.tolist(), found.tolist())
        header = ("class", "AP", "AP_challenge", "annotations", "group-of boxes", "detections")
        return Measured(
            {"AP": mean_of(plain), "AP_challenge": mean_of(challenge)},
            (Table("classes", header, tuple(zip(*columns, strict=True))),),
            self._protocol(),
        )

    def _precisions(self, judged: Judged, positives: IntArray) -> list[float | None]:
        ranked = ranked_classes(judged.class_ids, judged.scores, len(self.classes))
        return [
            area_under_curve(judged.right[mine], count)
            for mine, count in zip(ranked, positives.tolist(), strict=True)
        ]

    def _protocol(self) -> Mapping[str, Any]:
        return {
            "iou_threshold": self.iou_threshold,
            "max_detections": None,
            "classes_below_others": int(self._above.any(axis=1).sum()),
            "images_with_labels": len(self.image_labels),
        }


def ancestors(name: str, parents: Mapping[str, Iterable[str]]) -> set[str]:
    """All classes above one; a circle in the hierarchy ends where it began."""
    found: set[str] = set()
    left = list(parents.get(name, ()))
    while left:
        one = left.pop()
        if one not in found and one != name:
            found.add(one)
            left += parents.get(one, ())
    return found


def _judged(detections: DetectionColumns, kept: BoolArray, right: BoolArray) -> Judged:
    return Judged(
        detections.image_index[kept], detections.class_ids[kept], detections.scores[kept], right[kept]
    )


def _columns(judged: Judged) -> tuple[Any, ...]:
    return judged.image_index, judged.class_ids, judged.scores, judged.right


def open_images_evaluator(ground_truth: GroundTruthColumns) -> OpenImagesEvaluator:
    """The evaluator that is registered as ``open-images``."""
    return OpenImagesEvaluator(ground_truth.classes)
