"""Classifiers: probabilities of the classes of an image as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import Outputs, check_probabilities
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, Size

_SLACK = 1e-2
"""How far half precision may leave a sum of 1."""


@dataclass(frozen=True, slots=True)
class ImageClasses:
    """(C,) probabilities, which add up to 1.

    Attributes:
        class_count: C.
    """

    class_count: int

    def image_scores(self, outputs: Outputs) -> FloatArray:
        """(C,) as they are; raises ``ModelError`` where they are no probabilities."""
        scores: FloatArray = outputs[0].astype(np.float64)
        check_probabilities(scores)
        if not abs(scores.sum() - 1) <= _SLACK:
            raise ModelError(
                f"scores of the image's classes add up to {scores.sum():.4g} where 1 was expected",
                fix="export the model with its softmax",
            )
        return np.clip(scores, 0, 1)


def bind_classes(outputs: Signature, input_wh: Size) -> ImageClasses | None:
    """One output of (C,)."""
    fits = len(outputs) == 1 and len(outputs.shapes[0]) == 1 and outputs.shapes[0][0] > 1
    return ImageClasses(outputs.shapes[0][0]) if fits and not outputs.integer[0] else None
