"""Precision-recall curves as plain numbers, for JSON and for plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anydet.dataclass import dataclass
from anydet.evaluation.evaluator import EngineArrays
from anydet.evaluation.figures import Axis, Lines, Series
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

    @property
    def figures(self) -> tuple[Lines, ...]:
        """A line an IoU threshold; none where no class has ground truth."""
        recall = tuple(self.recall.tolist())
        series = tuple(
            Series(f"IoU {iou:.2f}, AP {curve.mean():.3f}", recall, tuple(curve.tolist()))
            for iou, curve in self.by_iou.items()
        )
        x, y = Axis("recall", limits=(0.0, 1.0)), Axis("precision", limits=(0.0, 1.0))
        return (Lines("precision-recall", "precision by recall", x, y, series),) if series else ()

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "recall": self.recall.tolist(),
            "by_iou": {f"{iou:.2f}": curve.tolist() for iou, curve in self.by_iou.items()},
            "by_class": {name: curve.tolist() for name, curve in self.by_class.items()},
        }


def trace_curves(arrays: EngineArrays, protocol: Mapping[str, Any], names: Sequence[str]) -> PrecisionRecall:
    """The curves behind COCO's metrics.

    Args:
        arrays: of the engine.
        protocol: what was counted; ``recall_thresholds`` and ``iou_thresholds`` are used.
        names: of the classes; () where they are not told apart.
    """
    precision = arrays.precision[:, :, :, 0, -1]
    known = np.flatnonzero(precision[0, 0] > -1)
    mean = precision[:, :, known].mean(axis=2) if len(known) else np.zeros((len(precision), 0))
    return PrecisionRecall(
        np.array(protocol["recall_thresholds"]),
        dict(zip(protocol["iou_thresholds"], mean, strict=True)) if len(known) else {},
        {names[c]: precision[0, :, c] for c in known.tolist()} if names else {},
    )
