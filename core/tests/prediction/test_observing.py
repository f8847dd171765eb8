from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.mask_columns import MaskColumn
from anydet.prediction.observing import read_only
from anydet.types import RLE, ImagePredictions, Labels, Poses


def result():
    found = ImagePredictions("a.png", (8, 6), np.ones((1, 4)), np.ones(1), np.zeros(1, np.int64))
    return replace(
        found,
        masks=MaskColumn.of((RLE((6, 8), "04L4"),)),
        poses=Poses(log_z=np.ones(1)),
        detection_extra=({"ids": [1]},),
        extra={"scales": [1, 2], "mean": np.ones(3)},
    )


def test_no_array_of_a_result_can_be_written_to_and_the_result_itself_still_can():
    given = result()
    shown = read_only(given)
    for array in (
        shown.scores,
        shown.boxes_xyxy_px,
        shown.poses.log_z,
        shown.masks.text,
        shown.extra["mean"],
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    given.scores[0] = 0.5
    assert shown.masks[0] == given.masks[0]


def test_mappings_and_lists_are_the_observers_own():
    given = result()
    shown = read_only([given])
    assert isinstance(shown, tuple)
    shown[0].extra.clear()
    shown[0].detection_extra[0]["ids"] = None
    assert given.extra["scales"] == [1, 2]
    assert given.detection_extra == ({"ids": [1]},)


def test_pixels_and_labels_of_a_record_cannot_be_written_to():
    labels = Labels(np.zeros(1, np.int64), np.ones((1, 4)), np.ones(1), np.zeros(1, np.bool_))
    record = Record("a.png", ImageArray(np.zeros((6, 8, 3), np.uint8)), labels=labels)
    shown = read_only(record)
    assert (shown.key, shown.size_wh) == ("a.png", (8, 6))
    for array in (shown.image(), shown.labels.areas):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
