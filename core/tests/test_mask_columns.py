from __future__ import annotations

import pickle

import numpy as np
import pytest

from anydet.columns import concatenate
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.types import RLE, DetectionColumns

MASKS = (RLE((4, 6), "0h0"), None, RLE((2, 2), "13"), RLE((4, 6), "h0"))
SHAPES = (MASKS[0], None, ((0.0, 0.0, 3.5, 0.0, 3.0, 2.0), (1.0, 1.0, 2.0, 1.0, 2.0, 2.5)), MASKS[2])


def test_a_column_gives_back_the_masks_it_was_made_of():
    column = MaskColumn.of(MASKS)
    assert tuple(column) == MASKS
    assert column[1:3] == MASKS[1:3]
    assert column.missing.tolist() == [False, True, False, False]
    assert MaskColumn.of(column) is column


def test_segmentations_of_every_kind_come_back():
    column = SegmentationColumn.of(SHAPES)
    assert tuple(column) == SHAPES
    assert column.missing.tolist() == [False, True, False, False]


def test_rows_are_taken_and_columns_joined_without_making_objects():
    rows = np.array([3, 0, 0, 1])
    assert tuple(MaskColumn.of(MASKS).take(rows)) == tuple(MASKS[i] for i in rows)
    shapes = SegmentationColumn.of(SHAPES).take(np.array([2, 0]))
    assert tuple(SegmentationColumn.join([shapes, SegmentationColumn.of(SHAPES)])) == (
        SHAPES[2],
        SHAPES[0],
        *SHAPES,
    )


def detections(masks):
    count = 2 if masks is None else len(masks)
    none, index = np.zeros(count), np.zeros(count, np.int64)
    boxes = np.zeros((count, 4))
    return DetectionColumns(("a",), np.array([[6, 4]]), index, index, boxes, none, none, masks=masks)


def test_labels_with_tuples_with_columns_and_without_masks_are_put_together():
    column = MaskColumn.of(MASKS)
    assert isinstance(concatenate([detections(column), detections(column)]).masks, MaskColumn)
    mixed = concatenate([detections(column), detections(MASKS), detections(None)])
    assert tuple(mixed.masks) == (*MASKS, *MASKS, None, None)
    assert tuple(detections(column).take(np.array([2])).masks) == MASKS[2:3]


ORDERS = [[2], [0, 1], [3, 0, 0, 1], [], [1], [2, 0, 2], [0, 1, 2, 3]]


@pytest.mark.parametrize("rows", ORDERS)
@pytest.mark.parametrize(("column", "given"), [(MaskColumn, MASKS), (SegmentationColumn, SHAPES)])
def test_rows_survive_pickling_whatever_was_taken(column, given, rows):
    taken = column.of(given).take(np.array(rows, np.int64))
    again = pickle.loads(pickle.dumps(taken))
    assert type(again) is column
    assert tuple(again) == tuple(taken) == tuple(given[i] for i in rows)
    assert again.missing.tolist() == taken.missing.tolist()
    assert tuple(column.join([again, column.of(given)])) == (*taken, *given)


def test_buffers_of_packed_rows_hold_these_rows_alone():
    packed = SegmentationColumn.of(SHAPES).take(np.array([2, 0])).packed()
    assert packed.points.tolist() == [value for ring in SHAPES[2] for value in ring]
    assert packed.offsets.tolist() == [0, 6, 12]
    assert packed.masks.text.tobytes().decode() == SHAPES[0].counts
    assert MaskColumn.of(MASKS).take(np.array([3, 2, 3])).packed().text.tobytes() == b"h013h0"


def test_neighbors_are_packed_without_a_copy():
    column = MaskColumn.of(MASKS)
    assert np.shares_memory(column.take(np.array([0, 1, 2])).packed().text, column.text)
