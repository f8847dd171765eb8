"""Panoptic quality: every pixel belongs to one segment at most, on both sides.

Kirillov et al. 2019, "Panoptic Segmentation", and ``pq_compute`` of panopticapi. Two segments of one class
match where their IoU is above one half; at most one can. Of a class,

    PQ = sum of IoU over TP / (TP + FP / 2 + FN / 2) = SQ * RQ

with SQ the mean IoU of matches and RQ = TP / (TP + FP / 2 + FN / 2). Pixels that nobody labeled (void) are
left out of unions. A predicted segment of which more than half is void or a crowd of its class counts neither
way; crowds are not to be found. Means are over the classes that occur on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from anydet.data.coco.panoptic import PanopticMask, read_segment_ids
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.confusion import cells, mean
from anydet.evaluation.figures import Axis, Bar, Bars
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.geometry.masks import decode
from anydet.text import listed
from anydet.types import RLE, BoolArray, ClassTable, FloatArray, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

MATCH_IOU = 0.5
"""IoU above which segments match; at one half and above, no other segment can have as much."""
_GROUPS = ("all", "things", "stuff")


@dataclass(frozen=True, slots=True, eq=False)
class PanopticCounts:
    """What became of segments, (C,) each.

    Attributes:
        iou: sum over the matches.
        matched: segments that match (TP).
        extra: predicted ones that match none and count (FP).
        missed: true ones that match none and are no crowds (FN).
    """

    iou: FloatArray
    matched: IntArray
    extra: IntArray
    missed: IntArray

    @classmethod
    def empty(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(np.zeros(classes), *(np.zeros(classes, np.int64) for _ in range(3)))

    def plus(self, other: Self) -> Self:
        """The sums."""
        return type(self)(
            self.iou + other.iou,
            self.matched + other.matched,
            self.extra + other.extra,
            self.missed + other.missed,
        )

    @property
    def occurring(self) -> BoolArray:
        """(C,) classes that a segment which counts is of."""
        occurring: BoolArray = self.matched + self.extra + self.missed > 0
        return occurring

    @property
    def recognition(self) -> FloatArray:
        """(C,) RQ, the F1 of segments; NaN of classes that do not occur."""
        return _ratio(self.matched, self.matched + (self.extra + self.missed) / 2)

    @property
    def segmentation(self) -> FloatArray:
        """(C,) SQ, the mean IoU of matches, 0 without one; NaN of classes that do not occur."""
        return np.where(self.occurring, np.nan_to_num(_ratio(self.iou, self.matched)), np.nan)

    @property
    def quality(self) -> FloatArray:
        """(C,) PQ; NaN of classes that do not occur."""
        return _ratio(self.iou, self.matched + (self.extra + self.missed) / 2)


class FoundSegments(Protocol):
    """Predicted segments of an image, as ``PanopticMask`` has those of a PNG."""

    @property
    def path(self) -> Path:
        """The file that they are in, for messages."""

    def segments(self, size_hw: tuple[int, ...]) -> tuple[NDArray[np.uint32], Mapping[int, int]]:
        """(H, W) segment id of each pixel, 0 for none, and the class of each id.

        Args:
            size_hw: (height, width) of the true ones.
        """


@dataclass(frozen=True, slots=True, eq=False)
class DetectionSegments:
    """Segments that are the masks of detections; where masks overlap, the pixel is of the higher score.

    Attributes:
        path: the predictions file.
        masks: (N) of an image.
        scores: (N,).
        class_ids: (N,).
    """

    path: Path
    masks: Sequence[RLE | None]
    scores: FloatArray
    class_ids: IntArray

    def segments(self, size_hw: tuple[int, ...]) -> tuple[NDArray[np.uint32], Mapping[int, int]]:
        """(H, W) segment id of each pixel, and the class of each; of no segment is nothing left."""
        pixels = np.zeros(size_hw, np.uint32)
        # The best is painted last, of equal ones the earlier.
        for row in np.argsort(-self.scores, kind="stable")[::-1].tolist():
            mask = self.masks[row]
            if mask is not None and mask.size_hw != size_hw:
                return np.zeros(mask.size_hw, np.uint32), {}
            if mask is not None:
                pixels[decode(mask)] = row + 1
        there = np.unique(pixels).tolist()
        return pixels, {id_: int(self.class_ids[id_ - 1]) for id_ in there if id_}


def count_segments(
    image: str, truth: PanopticMask, found: FoundSegments, classes: int, lookup: SegmentLookup
) -> PanopticCounts:
    """What became of the segments of an image.

    Args:
        image: its key, for messages.
        truth: true segments.
        found: predicted segments.
        classes: how many there are.
        lookup: finds segments of pixels.

    Raises:
        EvaluationError: sizes differ, or PNG and JSON of the predictions have different segments.
        DatasetError: the PNG of the data set has a segment that its JSON does not have.
        ImageError: a PNG cannot be read.
    """
    true_pixels = read_segment_ids(truth.path)
    found_pixels, class_of = found.segments(true_pixels.shape)
    true_ids, found_ids = (np.array(sorted(one), np.int64) for one in (truth.class_of, class_of))
    if true_pixels.shape != found_pixels.shape:
        sizes = [f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (true_pixels, found_pixels)]
        raise EvaluationError(
            f"image {image}: its segments are {sizes[0]} pixels in the data set and {sizes[1]} in the "
            f"predictions ({found.path})",
            fix="write segments in the original size of the image",
        )
    true_rows, unknown = lookup.rows(true_pixels, true_ids)
    if unknown is not None:
        raise truth.unknown_segment(unknown)
    found_rows, unknown = lookup.rows(found_pixels, found_ids)
    if unknown is not None:
        raise _unlike(found, image, f"segment {unknown} is in the PNG and not in segments_info")
    width = len(found_ids) + 1
    pairs = (true_rows * np.int64(width) + found_rows).ravel()
    flat = np.bincount(pairs, minlength=(len(true_ids) + 1) * width)
    shared = flat.reshape(-1, width)
    absent = found_ids[shared.sum(axis=0)[1:] == 0]
    if len(absent):
        shown = listed(absent.tolist(), quotes=False)
        raise _unlike(found, image, f"segments of segments_info that are not in the PNG: {shown}")
    true_classes, found_classes = (
        np.array([one[i] for i in ids.tolist()], np.int64)
        for one, ids in ((truth.class_of, true_ids), (class_of, found_ids))
    )
    areas = np.array([truth.areas[i] for i in true_ids.tolist()], np.float64)
    crowds = np.isin(true_ids, list(truth.crowds))
    return _judge(shared, areas, crowds, (true_classes, found_classes), classes)


class SegmentLookup:
    """Finds the row of a segment by its id, for all pixels of an image at once.

    Ids have 24 bits: looking them up in a table of 64 MiB takes a fraction of the time of sorting pixels.
    """

    def __init__(self) -> None:
        self._row = np.full(1 << 24, -1, np.int32)
        self._row[0] = 0

    def rows(self, pixels: NDArray[np.uint32], ids: IntArray) -> tuple[NDArray[np.int32], int | None]:
        """(H, W) place of each pixel's segment in ``ids`` from 1, 0 for void; and an id that is not there."""
        places = np.arange(1, len(ids) + 1)
        able = (ids > 0) & (ids < len(self._row))  # no pixel shows others
        self._row[ids[able]] = places[able]
        try:
            rows = self._row[pixels]
        finally:
            self._row[ids[able]] = -1
        if rows.min(initial=0) < 0:
            return rows, int(pixels[rows < 0][0])
        return rows, None


def _judge(
    shared: IntArray, areas: FloatArray, crowds: BoolArray, class_ids: tuple[IntArray, IntArray], classes: int
) -> PanopticCounts:
    """Matches, as ``pq_compute_single_core`` of panopticapi counts them.

    Args:
        shared: (T + 1, P + 1) pixels of each pair of segments; the first row and column are void.
        areas: (T,) of the true ones.
        crowds: (T,) which of them are crowds.
        class_ids: (T,) and (P,).
        classes: how many there are.
    """
    true_classes, found_classes = class_ids
    inside, void, own = shared[1:, 1:], shared[0, 1:], shared.sum(axis=0)[1:]
    iou = inside / np.maximum(areas[:, None] + own - inside - void, 1)
    same = (true_classes[:, None] == found_classes) & ~crowds[:, None]
    rows, columns = np.nonzero(same & (iou > MATCH_IOU))
    missed, extra = ~crowds, np.ones(len(own), np.bool_)
    missed[rows], extra[columns] = False, False
    # Of a class, the last crowd counts, as in panopticapi; there is one at most in COCO.
    in_crowd = np.zeros(len(own), np.int64)
    for crowd in np.flatnonzero(crowds).tolist():
        mine = found_classes == true_classes[crowd]
        in_crowd[mine] = inside[crowd, mine]
    extra &= ~((void + in_crowd) / own > MATCH_IOU)
    return PanopticCounts(
        np.asarray(np.bincount(true_classes[rows], iou[rows, columns], minlength=classes), np.float64),
        *(
            np.bincount(ids, minlength=classes).astype(np.int64)
            for ids in (true_classes[rows], found_classes[extra], true_classes[missed])
        ),
    )


def panoptic_result(counts: PanopticCounts, classes: ClassTable, things: BoolArray) -> Measured:
    """PQ, SQ and RQ of all classes, of things and of stuff, and of each class.

    Args:
        counts: of all images.
        classes: their names.
        things: (C,) which of them are of objects.
    """
    rates = {"PQ": counts.quality, "SQ": counts.segmentation, "RQ": counts.recognition}
    parts = dict(zip(_GROUPS, (np.ones(len(things), np.bool_), things, ~things), strict=True))
    metrics: dict[str, float | None] = {}
    for group, part in parts.items():
        suffix = "" if group == "all" else f"_{group}"
        metrics |= {f"{name}{suffix}": mean(rate[part]) for name, rate in rates.items()}
    kinds = ["thing" if one else "stuff" for one in things.tolist()]
    numbers = [one.tolist() for one in (counts.matched, counts.extra, counts.missed)]
    rows = zip(classes.names, kinds, *map(cells, rates.values()), *numbers, strict=True)
    # Of a hundred classes, few may be on some images: those that are come first.
    ordered = sorted(rows, key=lambda row: row[2] is None)
    known = sorted((row for row in ordered if row[2] is not None), key=lambda row: -row[2])
    bars = tuple(Bar(row[0], row[2], note=row[1], secondary=row[1] == "stuff") for row in known)
    return Measured(
        metrics,
        (Table("classes", ("class", "kind", "PQ", "SQ", "RQ", "TP", "FP", "FN"), tuple(ordered)),),
        {
            "match": f"IoU > {MATCH_IOU}",
            "void": "left out of unions",
            "crowds": "ignored",
            "classes_that_occur": {name: int(counts.occurring[part].sum()) for name, part in parts.items()},
        },
        (Bars("quality", "panoptic quality of classes", Axis("PQ", limits=(0.0, 1.0)), bars),),
    )


def evaluate_segments(
    images: Sequence[str],
    pairs: Sequence[tuple[PanopticMask, FoundSegments]],
    classes: ClassTable,
    advance: Callable[[int], None] = lambda _count: None,
) -> Measured:
    """Panoptic quality of images; raises as ``count_segments``.

    Args:
        images: their keys.
        pairs: true and predicted segments of each image, one at least.
        classes: the class table.
        advance: called with the number of images that were counted.
    """
    if not pairs:
        raise EvaluationError(
            "nothing to evaluate: no image has panoptic segments", fix="give images with segments"
        )
    counts, lookup = PanopticCounts.empty(len(classes)), SegmentLookup()
    for image, (truth, found) in zip(images, pairs, strict=True):
        counts = counts.plus(count_segments(image, truth, found, len(classes), lookup))
        advance(1)
    things = np.isin(np.arange(len(classes)), list(pairs[0][0].things))
    measured = panoptic_result(counts, classes, things)
    return replace(measured, protocol={**measured.protocol, "images": len(pairs)})


def _unlike(found: FoundSegments, image: str, what: str) -> EvaluationError:
    return EvaluationError(
        f"{found.path}: image {image}: {what}", fix="give the JSON and PNG files of one export"
    )


def _ratio(part: FloatArray | IntArray, whole: FloatArray | IntArray) -> FloatArray:
    ratio: FloatArray = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio
