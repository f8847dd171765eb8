"""Matches of detections to ground truth: enough for every curve, small enough for any data set.

An evaluation has a flag for each detection, area range and IoU threshold, 40 for boxes. ``COCOeval`` keeps
them as float arrays of each image, class and area; here they are bits of one word, and only detections that
matched anything have one: most match nothing, and for those ``outside`` says it all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.types import BoolArray, FloatArray, IntArray, Labels

MOST_AREAS = 16
"""Area ranges that fit into the bits of ``Matches.outside``."""
MOST_THRESHOLDS = 1000
"""IoU thresholds; each takes a bit of every match and area range."""
MOST_LIMITS = 254
"""Values of ``max_detections``."""
MOST_KEYPOINTS = 65535
"""Keypoints of an object."""
MOST_DETECTIONS = 2**31 - 1
"""Detections of a class on an image; their ranks are int32."""
MOST_CELLS = 2**29
"""Numbers of the largest array that a protocol gives: 4 GiB."""
_WORD = 64


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The detections within the largest of ``max_detections``, image by image.

    For ``A`` area ranges and ``T`` IoU thresholds, bit ``a * T + t`` of a row of words stands for range
    ``a`` and threshold ``t``; bits fill 64-bit words from the lowest. A detection that is not in ``matched``
    matched nothing at all: it is a false positive in the area ranges that it is not ``outside`` of.

    Attributes:
        image_index: (N,) int32, ascending.
        class_ids: (N,) int32.
        ranks: (N,) int32, 0 for the best detection of its class on its image.
        rows: (N,) uint32 rows of the detections that were matched.
        scores: (N,) float64.
        outside: (N,) uint16, bit a is set where a detection that matches nothing is not counted in range a.
        matched: (P,) uint32 ascending positions in the arrays above.
        hits: (P, W) uint64 bits where the detection matched an annotation that counts.
        ignored: (P, W) uint64 bits where it matched one that does not.
        positives: (C, A) int64 annotations that count.
    """

    image_index: NDArray[np.int32]
    class_ids: NDArray[np.int32]
    ranks: NDArray[np.int32]
    rows: NDArray[np.uint32]
    scores: FloatArray
    outside: NDArray[np.uint16]
    matched: NDArray[np.uint32]
    hits: NDArray[np.uint64]
    ignored: NDArray[np.uint64]
    positives: IntArray

    def __len__(self) -> int:
        return len(self.scores)

    def states(self, bit: int, area: int) -> tuple[BoolArray, BoolArray]:
        """Which detections are true and which are false positives; (N,) each.

        Args:
            bit: ``area * T + t``.
            area: position of the area range.
        """
        mask = np.uint64(1 << bit % _WORD)
        true, out = np.zeros(len(self), np.bool_), (self.outside >> np.uint16(area) & 1).astype(np.bool_)
        hit = (self.hits[:, bit // _WORD] & mask).astype(np.bool_)
        ignored = (self.ignored[:, bit // _WORD] & mask).astype(np.bool_)
        true[self.matched] = hit
        # Where a detection matched, its annotation decides whether it counts, else its own area.
        out[self.matched] = np.where(hit | ignored, ignored, out[self.matched])
        return true, ~true & ~out


def outside_bits(areas: FloatArray, area_ranges_px: FloatArray) -> NDArray[np.uint16]:
    """(N,) with bit a set where an area is outside range a."""
    # Both ends are inside, as in COCOeval: an area of exactly 32 * 32 is small and medium.
    outside = (areas[:, None] < area_ranges_px[:, 0]) | (areas[:, None] > area_ranges_px[:, 1])
    bits: NDArray[np.uint16] = (outside << np.arange(len(area_ranges_px))).sum(axis=1).astype(np.uint16)
    return bits


def pack_bits(flags: BoolArray) -> NDArray[np.uint64]:
    """(B, N) flags as (N, W) words, bit b of a row from flags[b]."""
    words = -(-len(flags) // _WORD)
    padded = np.zeros((flags.shape[1], words * _WORD), np.bool_)
    padded[:, : len(flags)] = flags.T
    # Read as little-endian on every machine, so that bit b of a word is flag b.
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def ignored_annotations(labels: Labels, iou_type: str) -> BoolArray:
    """(G,) annotations that count neither way: crowds, and for ``keypoints`` those without a labeled one."""
    # COCOeval sets `ignore` where num_keypoints is 0, whatever the file says.
    if iou_type != "keypoints" or labels.keypoints is None:
        return labels.iscrowd
    return labels.iscrowd | ~(labels.keypoints[:, :, 2] > 0).any(axis=1)


def count_positives(
    class_ids: IntArray, areas: FloatArray, ignored: BoolArray, classes: int, area_ranges_px: FloatArray
) -> IntArray:
    """(C, A) annotations of each class that are not ignored and are in each area range."""
    inside = (areas[:, None] >= area_ranges_px[:, 0]) & (areas[:, None] <= area_ranges_px[:, 1])
    columns = [np.bincount(class_ids[one & ~ignored], minlength=classes) for one in inside.T]
    return np.stack(columns, axis=1).astype(np.int64)


def join_matches(tables: Sequence[Matches], places: Sequence[IntArray]) -> Matches:
    """One table of several.

    Args:
        tables: matches on different images, of equal classes, area ranges and thresholds.
        places: for each table, the place of each of its images in the joint table.
    """
    if len(tables) == 1 and (np.diff(places[0]) > 0).all():
        return tables[0]
    # Images move, rows of one image keep their order, by which curves break ties of scores.
    starts = np.cumsum([0, *map(len, tables)])
    index = np.concatenate([at[table.image_index] for table, at in zip(tables, places, strict=True)])
    matched = np.concatenate(
        [table.matched + start for table, start in zip(tables, starts[:-1], strict=True)]
    )
    order = np.argsort(index, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    first = np.argsort(place[matched])
    columns = ("class_ids", "ranks", "rows", "scores", "outside")
    return Matches(
        image_index=index[order].astype(np.int32),
        **{name: np.concatenate([getattr(table, name) for table in tables])[order] for name in columns},
        matched=place[matched][first].astype(np.uint32),
        hits=np.concatenate([table.hits for table in tables])[first],
        ignored=np.concatenate([table.ignored for table in tables])[first],
        positives=np.sum([table.positives for table in tables], axis=0, dtype=np.int64),
    )
