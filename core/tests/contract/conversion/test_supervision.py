from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from anydet.contract.conversion.supervision import from_supervision, to_supervision
from anydet.contract.encode import encode_entry
from anydet.errors import AnydetError
from anydet.types import ClassTable, ImagePredictions

supervision = pytest.importorskip("supervision")


def test_detections_come_back_with_every_field(
    images: list[ImagePredictions], full: ImagePredictions
) -> None:
    empty = {f.name for f in fields(ImagePredictions) if getattr(full, f.name) is None}
    assert not empty
    for before in images:
        after = from_supervision(to_supervision(before))
        assert encode_entry(after) == encode_entry(before)


def test_boxes_scores_classes_and_masks_are_where_supervision_has_them(full: ImagePredictions) -> None:
    detections = to_supervision(full, ClassTable(("disc", "box")))
    np.testing.assert_array_equal(detections.xyxy, full.boxes_xyxy_px)
    np.testing.assert_array_equal(detections.confidence, full.scores)
    assert detections.mask.sum(axis=(1, 2)).tolist() == [30, 0]
    assert detections["class_name"].tolist() == ["box", "disc"]


def test_what_supervision_filters_is_filtered_everywhere(full: ImagePredictions) -> None:
    detections = to_supervision(full)
    kept = from_supervision(detections[detections.confidence > 0.28])
    assert encode_entry(kept) == encode_entry(full.take(np.array([0])))


def test_what_others_added_comes_back_as_extra(full: ImagePredictions) -> None:
    foreign = supervision.Detections(
        xyxy=np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]),
        tracker_id=np.array([4, 5]),
        data={"class_name": np.array(["a", "b"]), "area": np.array([4.0, 4.5])},
        metadata={"camera": "north"},
    )
    found = from_supervision(foreign, "a.jpg", (20, 10))
    assert found.detection_extra == ({"area": 4.0, "tracker_id": 4}, {"area": 4.5, "tracker_id": 5})
    assert found.extra == {"camera": "north"}
    assert found.scores.tolist() == [1, 1]
    assert found.class_ids.tolist() == [0, 0]
    tracked = to_supervision(full)
    tracked.tracker_id = np.array([8, 9])
    assert from_supervision(tracked).detection_extra == ({"track": 7, "tracker_id": 8}, {"tracker_id": 9})
    with pytest.raises(AnydetError, match="no image key"):
        from_supervision(foreign)
