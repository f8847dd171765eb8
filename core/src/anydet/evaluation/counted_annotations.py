"""The annotations that count, image by image: what recall is measured on, for any set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anydet.columns import Columns, concatenate
from anydet.dataclass import dataclass
from anydet.evaluation.evaluator import EngineParams
from anydet.evaluation.matches import Matches, ignored_annotations, outside_bits
from anydet.types import BoolArray, GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class CountedAnnotations(Columns):
    """One row for each annotation that is not ignored.

    Attributes:
        image_index: (G,) int64.
        class_ids: (G,) int64.
        outside: (G,) uint16, bit a is set where it is outside area range a.
    """

    image_index: IntArray
    class_ids: IntArray
    outside: NDArray[np.uint16]

    @classmethod
    def of(cls, ground_truth: GroundTruthColumns, params: EngineParams) -> Self:
        """What an engine counts."""
        labels = ground_truth.labels
        kept = np.flatnonzero(~ignored_annotations(labels, params.iou_type))
        return cls(
            ground_truth.image_index[kept],
            labels.class_ids[kept],
            outside_bits(labels.areas[kept], params.area_ranges_px),
        )


def join_counted_annotations(
    tables: Sequence[CountedAnnotations], places: Sequence[IntArray]
) -> CountedAnnotations:
    """One table of several; ``places`` has the place of each image of each one in the joint table."""
    return concatenate(
        [replace(table, image_index=at[table.image_index]) for table, at in zip(tables, places, strict=True)]
    )


def restrict(matches: Matches, positives: CountedAnnotations, images: BoolArray) -> Matches:
    """The matches on some of the images; image indices stay as they are.

    Args:
        matches: on all images.
        positives: the annotations of all images.
        images: (I,) which to keep.
    """
    kept = images[matches.image_index]
    place = np.cumsum(kept) - 1
    pairs = np.flatnonzero(kept[matches.matched])
    classes, areas = matches.positives.shape
    inside = images[positives.image_index]
    counts = [
        np.bincount(positives.class_ids[inside & (positives.outside >> a & 1 == 0)], minlength=classes)
        for a in range(areas)
    ]
    rows = np.flatnonzero(kept)
    return Matches(
        image_index=matches.image_index[rows],
        class_ids=matches.class_ids[rows],
        ranks=matches.ranks[rows],
        rows=matches.rows[pairs],
        scores=matches.scores[rows],
        outside=matches.outside[rows],
        matched=place[matches.matched[pairs]].astype(np.uint32),
        hits=matches.hits[pairs],
        ignored=matches.ignored[pairs],
        positives=np.stack(counts, axis=1).astype(np.int64),
    )
