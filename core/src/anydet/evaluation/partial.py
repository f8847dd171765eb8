"""Whole images seen in parts, put together again: what makes evaluators mergeable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from anydet.errors import EvaluationError
from anydet.evaluation.counted_annotations import CountedAnnotations, join_counted_annotations
from anydet.evaluation.matches import Matches, join_matches
from anydet.types import DetectionColumns, Federation, GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How much there is, for protocols; each is added up over parts.

    Attributes:
        annotations: (C,) of each class.
        annotated_images: (C,) images with annotations of each class.
        detections: (C,) of each class.
        crowds: annotations of crowds.
    """

    annotations: IntArray
    annotated_images: IntArray
    detections: IntArray
    crowds: int

    @classmethod
    def of(cls, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Self:
        """What these columns hold."""
        classes, labels = len(ground_truth.classes), ground_truth.labels
        # By hand what np.unique does, because that imports numpy.ma, which takes as long as many evaluations.
        pairs = np.sort(labels.class_ids * max(1, len(ground_truth.images)) + ground_truth.image_index)
        annotated = pairs[np.diff(pairs, prepend=-1) > 0] // max(1, len(ground_truth.images))
        return cls(
            np.bincount(labels.class_ids, minlength=classes),
            np.bincount(annotated, minlength=classes),
            np.bincount(detections.class_ids, minlength=classes),
            int(np.count_nonzero(labels.iscrowd)),
        )

    def plus(self, other: Self) -> Self:
        """The sums."""
        return type(self)(
            self.annotations + other.annotations,
            self.annotated_images + other.annotated_images,
            self.detections + other.detections,
            self.crowds + other.crowds,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PartialResult:
    """What an evaluator remembers of the images it has seen; no box, no mask.

    Attributes:
        images: their keys.
        image_ids: their ids in the source, or ``None``.
        source: where the ground truth comes from.
        counts: how much there was.
        matches: what came of the detections, or ``None`` where nothing was matched.
        positives: the annotations that count.
    """

    images: tuple[str, ...]
    image_ids: IntArray | None
    source: str
    counts: Counts
    matches: Matches | None
    positives: CountedAnnotations


def join_partial_results(parts: Sequence[PartialResult]) -> PartialResult:
    """One part with all images, in an order that does not depend on how they were split.

    Images are ordered by the source's image ids where all parts have them, as pycocotools orders them, else
    by key; rows of one image keep their order. Raises ``EvaluationError`` for an image seen twice.
    """
    images = tuple(chain.from_iterable(part.images for part in parts))
    ids = [part.image_ids for part in parts]
    order, places = place_images(images, ids, [len(part.images) for part in parts])
    known = [one for one in ids if one is not None]
    counts = parts[0].counts
    for part in parts[1:]:
        counts = counts.plus(part.counts)
    matches = [part.matches for part in parts if part.matches is not None]
    return PartialResult(
        images=images if len(parts) == 1 and _ascending(order) else tuple(images[i] for i in order.tolist()),
        image_ids=np.concatenate(known)[order] if len(known) == len(parts) else None,
        source="; ".join(dict.fromkeys(part.source for part in parts)),
        counts=counts,
        matches=join_matches(matches, places) if len(matches) == len(parts) else None,
        positives=join_counted_annotations([part.positives for part in parts], places),
    )


def place_images(
    images: Sequence[str], ids: Sequence[IntArray | None], sizes: Sequence[int]
) -> tuple[IntArray, list[IntArray]]:
    """The order that does not depend on parts.

    Args:
        images: keys of the images of all parts, one part after the other.
        ids: their ids in the source, a part; or ``None``.
        sizes: number of images of each part.

    Returns:
        (I,) positions in ``images`` in their order, and the place of each image of each part in it. Raises
        ``EvaluationError`` for an image seen twice.
    """
    refuse_duplicates(images)
    known = [one for one in ids if one is not None]
    by_id = len(known) == len(ids)
    order = np.argsort(np.concatenate(known), kind="stable") if by_id else _by_key(images)
    place = np.empty(len(images), np.int64)
    place[order] = np.arange(len(images))
    return order, np.split(place, np.cumsum(sizes)[:-1])


def take_images(
    found: DetectionColumns, truth: GroundTruthColumns, order: IntArray
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Only the images at ``order``, in that order, with their rows; all others are dropped."""
    images = tuple(truth.images[i] for i in order.tolist())
    place = np.full(len(truth.images), -1, np.int64)
    place[order] = np.arange(len(order))
    sizes = truth.sizes_wh[order]
    rows, index = _sorted_rows(place[found.image_index])
    about = None if found.about is None else found.about.take(order)
    found = replace(found.take(rows), images=images, sizes_wh=sizes, image_index=index, about=about)
    rows, index = _sorted_rows(place[truth.image_index])
    return found, replace(
        truth,
        images=images,
        sizes_wh=sizes,
        image_index=index,
        labels=truth.labels.take(rows),
        image_ids=None if truth.image_ids is None else truth.image_ids[order],
        federation=None if truth.federation is None else _taken(truth.federation, place),
        about=None if truth.about is None else truth.about.take(order),
    )


def _taken(federation: Federation, place: IntArray) -> Federation:
    """The pairs whose images have a place."""
    absent, incomplete = (
        np.stack([place[pairs[:, 0]], pairs[:, 1]], axis=1)[place[pairs[:, 0]] >= 0]
        for pairs in (federation.absent, federation.incomplete)
    )
    return replace(federation, absent=absent, incomplete=incomplete)


def _sorted_rows(index: IntArray) -> tuple[IntArray, IntArray]:
    """Positions of the rows to keep (``index`` >= 0) by image, in their old order within one; and images."""
    order = np.argsort(index, kind="stable")
    order = order[np.count_nonzero(index < 0) :]
    return order, index[order]


def _ascending(order: IntArray) -> bool:
    return bool((np.diff(order) > 0).all())


def _by_key(images: Sequence[str]) -> IntArray:
    return np.array(sorted(range(len(images)), key=images.__getitem__), np.int64)


def refuse_duplicates(images: Sequence[str]) -> None:
    """Raise ``EvaluationError`` where an image was added twice."""
    if len(set(images)) == len(images):
        return
    counts = Counter(images)
    twice = [image for image, count in counts.items() if count > 1]
    raise EvaluationError(
        f"image {twice[0]!r} was added {counts[twice[0]]} times ({len(twice)} such images)",
        fix="add every image once; parts that are merged must not share images",
    )
