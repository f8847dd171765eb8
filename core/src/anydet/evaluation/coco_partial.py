"""``CocoPartial``: what COCO's metrics keep of some of the images, and how those are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from anydet.dataclass import dataclass
from anydet.evaluation.counted_annotations import CountedAnnotations, join_counted_annotations
from anydet.evaluation.matches import Matches, join_matches
from anydet.evaluation.partial import JoinedImages, PartialResult
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How much there is, for protocols; each is summed over partial results.

    Attributes:
        annotations: (C,) of each class.
        annotated_images: (C,) images with annotations of each class.
        detections: (C,) of each class.
        crowds: annotations of crowds.
        invented: annotations that keypoints are scored for without an area of the source.
        first_invented: image of the first of them.
        unstated: annotations without an area of the source, counted as width x height of their boxes.
    """

    annotations: IntArray
    annotated_images: IntArray
    detections: IntArray
    crowds: int
    invented: int = 0
    first_invented: str = ""
    unstated: int = 0

    @classmethod
    def of(cls, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Self:
        """Those of some columns."""
        classes, labels = len(ground_truth.classes), ground_truth.labels
        # np.unique would do, but it imports numpy.ma, which takes as long as many evaluations.
        pairs = np.sort(labels.class_ids * max(1, len(ground_truth.images)) + ground_truth.image_index)
        annotated = pairs[np.diff(pairs, prepend=-1) > 0] // max(1, len(ground_truth.images))
        return cls(
            np.bincount(labels.class_ids, minlength=classes),
            np.bincount(annotated, minlength=classes),
            np.bincount(detections.class_ids, minlength=classes),
            int(np.count_nonzero(labels.iscrowd)),
            unstated=0 if labels.area_stated is None else int(np.count_nonzero(~labels.area_stated)),
        )

    def plus(self, other: Self) -> Self:
        """The sums."""
        return type(self)(
            self.annotations + other.annotations,
            self.annotated_images + other.annotated_images,
            self.detections + other.detections,
            self.crowds + other.crowds,
            self.invented + other.invented,
            self.first_invented or other.first_invented,
            self.unstated + other.unstated,
        )

    def with_invented(self, compared: GroundTruthColumns) -> Self:
        """The same with the annotations that no area is stated of, among those that are scored."""
        from anydet.evaluation.keypoint_areas import first_image, invented_areas

        rows = invented_areas(compared.labels)
        if rows is None:
            return self
        return replace(self, invented=int(np.count_nonzero(rows)), first_invented=first_image(compared, rows))


@dataclass(frozen=True, slots=True, eq=False)
class CocoPartial(PartialResult):
    """No box and no mask, only what curves are made of.

    Attributes:
        source: where the ground truth comes from.
        counts: how much there was.
        matches: what came of the detections, or ``None`` where nothing was matched.
        positives: the annotations that count.
    """

    source: str
    counts: Counts
    matches: Matches | None
    positives: CountedAnnotations


def join_coco(partials: Sequence[CocoPartial], images: JoinedImages) -> CocoPartial:
    """One partial result of all images; rows of one image keep their order."""
    counts = partials[0].counts
    for partial in partials[1:]:
        counts = counts.plus(partial.counts)
    matches = [partial.matches for partial in partials if partial.matches is not None]
    return CocoPartial(
        images.keys,
        images.ids,
        source="; ".join(dict.fromkeys(partial.source for partial in partials)),
        counts=counts,
        matches=join_matches(matches, images.places) if len(matches) == len(partials) else None,
        positives=join_counted_annotations([partial.positives for partial in partials], images.places),
    )
