"""The error of detections or annotations that lack what is measured."""

from __future__ import annotations

import numpy as np

from anydet.errors import EvaluationError
from anydet.text import shortened
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns


def refuse(wrong: BoolArray, columns: DetectionColumns | GroundTruthColumns, problem: str, fix: str) -> None:
    """Raise ``EvaluationError`` for the rows that are wrong, with their number and the first one's image."""
    if wrong.any():
        image = shortened(columns.images[columns.image_index[np.argmax(wrong)]])
        raise EvaluationError(
            f"{np.count_nonzero(wrong)} of {len(wrong)} {problem} (first in image {image})",
            fix=fix,
        )
