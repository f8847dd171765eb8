from __future__ import annotations

import numpy as np
import pytest

from anydet.contract.conversion.supervision import from_supervision, to_supervision
from anydet.types import ImagePredictions

pytest.importorskip("supervision")


def test_detections_come_back_with_boxes_scores_classes_and_masks(images: list[ImagePredictions]) -> None:
    for before in images:
        after = from_supervision(to_supervision(before), before.image, before.size_wh)
        np.testing.assert_array_equal(after.boxes_xyxy_px, before.boxes_xyxy_px)
        np.testing.assert_array_equal(after.scores, before.scores)
        np.testing.assert_array_equal(after.class_ids, before.class_ids)
        assert after.masks == before.masks
