"""Which detections and annotations a page has pictures of: some of every number that can be looked into.

Whatever counts is a cell: an error of TIDE, a cell of the confusion matrix, the misses of a class, what one
model finds and another does not. Cells take turns, and each adds its worst row that has no picture yet, until
there are as many pictures as wanted. A row is in many cells; one whose rows were chosen by others waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from anydet.dataclass import dataclass
from anydet.evaluation.analysis.tide import ERRORS
from anydet.report.page.outcomes import (
    ASPECTS,
    IGNORED,
    NO_CELL,
    NO_ERROR,
    NO_STATE,
    RIGHT,
    SIZES,
    STEPS,
    WRONG,
    Column,
    Judgements,
)
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns, IntArray

SHOWN_FROM = 3 * STEPS // 10
"""Step from which on a match counts as found when samples are chosen: the page opens with it."""
TRUTH = -1
"""In place of a model: rows are annotations."""
IMAGE = -2
"""In place of a model: rows are images, each as a whole."""


@dataclass(frozen=True, slots=True)
class Item:
    """A detection, an annotation or a whole image that has a picture.

    Attributes:
        model: position of the model whose detection it is, or ``TRUTH``, or ``IMAGE``.
        row: of the detection or annotation, or the image.
        image: position of its image.
    """

    model: int
    row: int
    image: int


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """Rows that one number counts, the worst first."""

    model: int
    rows: IntArray


def choose(
    ground_truth: GroundTruthColumns,
    annotations: Mapping[str, Column],
    found: Sequence[DetectionColumns],
    judged: Sequence[Judgements],
    most: int,
) -> list[Item]:
    """The rows that get a picture, by image.

    Args:
        ground_truth: the annotations.
        annotations: of ``outcomes.annotation_columns``.
        found: detections of each model.
        judged: what became of them.
        most: pictures.
    """
    cells = list(_cells(ground_truth, annotations, found, judged, most))
    taken = {TRUTH: np.zeros(len(ground_truth), np.bool_)}
    taken |= {m: np.zeros(len(columns), np.bool_) for m, columns in enumerate(found)}
    count, turn = 0, 0
    while cells and count < most:
        left = []
        for cell in cells:
            mine = taken[cell.model][cell.rows]
            if mine.all():
                continue
            left.append(cell)
            if count < most and np.count_nonzero(mine) <= turn:
                taken[cell.model][cell.rows[np.argmin(mine)]] = True
                count += 1
        cells, turn = left, turn + 1
    index = {TRUTH: ground_truth.image_index, **{m: one.image_index for m, one in enumerate(found)}}
    items = [
        Item(model, row, int(index[model][row]))
        for model, flags in taken.items()
        for row in np.flatnonzero(flags).tolist()
    ]
    return sorted(items, key=lambda item: (item.image, item.model, item.row))


def _cells(
    ground_truth: GroundTruthColumns,
    annotations: Mapping[str, Column],
    found: Sequence[DetectionColumns],
    judged: Sequence[Judgements],
    most: int,
) -> Iterator[_Cell]:
    """Cells in the order in which they take turns; those of the most rows first where there are many."""
    largest_first = np.argsort(-ground_truth.labels.areas, kind="stable")
    largest_first = largest_first[~ground_truth.labels.iscrowd[largest_first]]
    each_class = range(len(ground_truth.classes))
    by = {name: np.asarray(annotations[name])[largest_first] for name in ("class", "size", "aspect")}

    def truth(which: BoolArray) -> Iterator[_Cell]:
        if which.any():
            yield _Cell(TRUTH, largest_first[which][:most])

    for m, (columns, one) in enumerate(zip(found, judged, strict=True)):
        fate = np.asarray(one.annotations["fate"])[largest_first]
        yield from truth(fate & 1 > 0)
        yield from _detection_cells(m, columns, one, most)
        missed = np.asarray(one.annotations["found"])[largest_first] < SHOWN_FROM
        for name, values in (
            ("size", range(len(SIZES))),
            ("aspect", range(len(ASPECTS))),
            ("class", each_class),
        ):
            for value in values:
                yield from truth(missed & (by[name] == value))
        for other in judged[:m]:
            theirs = np.asarray(other.annotations["found"])[largest_first] < SHOWN_FROM
            for c in each_class:
                yield from truth((missed & ~theirs) & (by["class"] == c))
                yield from truth((theirs & ~missed) & (by["class"] == c))
        for c in each_class:
            yield from truth((fate & 4 > 0) & (by["class"] == c))
        for c in each_class:
            yield from truth(~missed & (by["class"] == c))
    for m, (columns, one) in enumerate(zip(found, judged, strict=True)):
        yield from _confusions(m, columns, one, len(ground_truth.classes), most)


def _detection_cells(m: int, columns: DetectionColumns, one: Judgements, most: int) -> Iterator[_Cell]:
    """Wrong and right detections by what is wrong, class, size, aspect and score; states and poses."""
    surest_first = np.argsort(-columns.scores, kind="stable")
    by = {name: np.asarray(column)[surest_first] for name, column in one.detections.items()}
    wrong, right = by["outcome"] == WRONG, by["outcome"] == RIGHT
    loosest_first = np.argsort(one.pairs.iou[surest_first[right]], kind="stable")
    groups = [(by["error"] == kind, surest_first) for kind in range(len(ERRORS) - 1)]
    for name in ("size", "aspect", "class"):
        groups += [
            (wrong & (by[name] == value), surest_first) for value in np.unique(by[name][wrong]).tolist()
        ]
    judged = by["outcome"] != IGNORED
    groups += [
        (judged & (by["bin"] == value), surest_first) for value in np.unique(by["bin"][judged]).tolist()
    ]
    for which, order in groups:
        if which.any():
            yield _Cell(m, order[which][:most])
    matched = surest_first[right][loosest_first]
    for c in np.unique(columns.class_ids[matched]).tolist():
        yield _Cell(m, matched[columns.class_ids[matched] == c][:most])
    if "state" in by:
        known = by["true_state"] != NO_STATE
        pairs = by["true_state"].astype(np.int64) * (NO_STATE + 1) + by["state"]
        for value in np.unique(pairs[known]).tolist():
            yield _Cell(m, surest_first[known & (pairs == value)][:most])
    if "rotation" in by:
        for name in ("rotation", "translation"):
            order = np.argsort(-by[name].astype(np.int64), kind="stable")
            yield _Cell(m, surest_first[order[by[name][order] != NO_ERROR]][:most])


def _confusions(
    m: int, columns: DetectionColumns, one: Judgements, classes: int, most: int
) -> Iterator[_Cell]:
    """Cells of the confusion matrix that hold detections, those of the most first; right ones last."""
    true = np.asarray(one.detections["cell"]).astype(np.int64)
    rows = np.flatnonzero(true != NO_CELL)
    rows = rows[np.argsort(-columns.scores[rows], kind="stable")]
    keys = true[rows] * (classes + 1) + columns.class_ids[rows]
    order = np.argsort(keys, kind="stable")
    names, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    diagonal = names // (classes + 1) == names % (classes + 1)
    for at in np.lexsort((-counts, diagonal)).tolist():
        yield _Cell(m, rows[order[starts[at] : starts[at] + min(int(counts[at]), most)]])
