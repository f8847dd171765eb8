"""COCO's protocol: what is counted, and the names of the numbers that come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anydet.evaluation.evaluator import EngineArrays, EngineParams, IouType
from anydet.types import FloatArray, IntArray

AREAS = {"all": (0.0, 1e10), "small": (0.0, 1024.0), "medium": (1024.0, 9216.0), "large": (9216.0, 1e10)}
"""Area ranges in square pixels, both ends included: 32 x 32 and 96 x 96 are the borders."""

_SIGMA_TENTHS = [
    0.26,
    0.25,
    0.25,
    0.35,
    0.35,
    0.79,
    0.79,
    0.72,
    0.72,
    0.62,
    0.62,
    1.07,
    1.07,
    0.87,
    0.87,
    0.89,
    0.89,
]
KEYPOINT_SIGMAS: tuple[float, ...] = tuple((np.array(_SIGMA_TENTHS) / 10.0).tolist())
"""Standard deviation of each of the 17 COCO person keypoints, relative to the object's scale."""

_MAX_DETECTIONS = {"bbox": (1, 10, 100), "segm": (1, 10, 100), "keypoints": (20,)}


def area_names(iou_type: IouType) -> tuple[str, ...]:
    """Names of the area ranges in the order of ``EngineParams.area_ranges_px``."""
    return tuple(name for name in AREAS if not (iou_type == "keypoints" and name == "small"))


def coco_params(
    iou_type: IouType,
    max_detections: tuple[int, ...] | None = None,
    keypoint_sigmas: tuple[float, ...] | None = None,
) -> EngineParams:
    """COCO's own parameters, equal to those of ``pycocotools.cocoeval.Params``.

    Args:
        iou_type: what overlaps are measured on.
        max_detections: detections counted per image and class; 1, 10, 100 by default, 20 for keypoints.
        keypoint_sigmas: of OKS; the 17 of COCO persons by default.
    """
    sigmas = np.array(keypoint_sigmas or KEYPOINT_SIGMAS) if iou_type == "keypoints" else None
    return EngineParams(
        iou_type=iou_type,
        iou_thresholds=np.linspace(0.5, 0.95, 10),
        recall_thresholds=np.linspace(0.0, 1.0, 101),
        area_ranges_px=np.array([AREAS[name] for name in area_names(iou_type)]),
        max_detections=tuple(sorted(max_detections or _MAX_DETECTIONS[iou_type])),
        keypoint_sigmas=sigmas,
    )


@dataclass(frozen=True, slots=True)
class Metric:
    """One of COCO's numbers: a mean over a part of the arrays.

    Attributes:
        name: "AP50", "ARs", ...
        of: which array.
        iou: the one IoU threshold, or ``None`` for the mean over all.
        area: name of the area range.
        rank: position in ``max_detections``.
    """

    name: str
    of: Literal["precision", "recall"]
    iou: float | None = None
    area: str = "all"
    rank: int = -1

    def value(self, arrays: EngineArrays, params: EngineParams) -> float | None:
        """The mean over what has ground truth, in the order in which pycocotools adds; else ``None``."""
        values: FloatArray = getattr(arrays, self.of)
        if self.iou is not None:
            values = values[np.flatnonzero(params.iou_thresholds == self.iou)]
        values = values[..., area_names(params.iou_type).index(self.area), self.rank]
        known = values[values > -1]
        return float(np.mean(known)) if len(known) else None


def metrics(params: EngineParams) -> tuple[Metric, ...]:
    """COCO's numbers in their usual order: 12 for boxes and masks, 10 for keypoints.

    AP counts the last of ``max_detections``; with other limits than COCO's, AR is named after them.
    """
    keypoints = params.iou_type == "keypoints"
    limits = enumerate(params.max_detections)
    total = [Metric("AR", "recall")] if keypoints else [Metric(f"AR{m}", "recall", rank=i) for i, m in limits]
    strict = [Metric("AR50", "recall", 0.5), Metric("AR75", "recall", 0.75)] if keypoints else []
    return (
        *(Metric("AP", "precision"), Metric("AP50", "precision", 0.5), Metric("AP75", "precision", 0.75)),
        *_by_area("AP", "precision", params),
        *total,
        *strict,
        *_by_area("AR", "recall", params),
    )


def _by_area(name: str, of: Literal["precision", "recall"], params: EngineParams) -> Iterator[Metric]:
    for area in area_names(params.iou_type)[1:]:
        yield Metric(name + area[0], of, area=area)


def summarize(
    arrays: EngineArrays, params: EngineParams, classes: IntArray | None = None
) -> dict[str, float | None]:
    """COCO's numbers by name, over the classes given (in that order) or all; ``None`` where COCO says -1."""
    if classes is not None:
        arrays = EngineArrays(
            arrays.precision[:, :, classes], arrays.recall[:, classes], arrays.scores[:, :, classes]
        )
    return {metric.name: metric.value(arrays, params) for metric in metrics(params)}
