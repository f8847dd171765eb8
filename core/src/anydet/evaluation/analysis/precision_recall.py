"""Precision-recall curves as plain numbers, for JSON and for plots."""

from __future__ import annotations

from typing import Any

import numpy as np

from anydet.dataclass import dataclass
from anydet.evaluation.coco import CocoResult
from anydet.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Interpolated precision at fixed recalls, over all areas and the most detections.

    Attributes:
        recall: (R,) recalls.
        by_iou: IoU threshold -> (R,) mean over the classes that have ground truth.
        by_class: class -> (R,) at the first IoU threshold; only classes that have ground truth.
    """

    recall: FloatArray
    by_iou: dict[float, FloatArray]
    by_class: dict[str, FloatArray]

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "recall": self.recall.tolist(),
            "by_iou": {f"{iou:.2f}": curve.tolist() for iou, curve in self.by_iou.items()},
            "by_class": {name: curve.tolist() for name, curve in self.by_class.items()},
        }


def trace_curves(result: CocoResult) -> PrecisionRecall:
    """The curves behind a result."""
    precision = result.arrays.precision[:, :, :, 0, -1]
    known = np.flatnonzero(precision[0, 0] > -1)
    protocol, names = result.protocol, [str(row["name"]) for row in result.per_class]
    mean = precision[:, :, known].mean(axis=2) if len(known) else np.zeros((len(precision), 0))
    return PrecisionRecall(
        np.array(protocol["recall_thresholds"]),
        dict(zip(protocol["iou_thresholds"], mean, strict=True)) if len(known) else {},
        {names[c]: precision[0, :, c] for c in known.tolist()} if names else {},
    )
