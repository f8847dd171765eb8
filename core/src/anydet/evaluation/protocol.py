"""COCO's protocol: what is counted, and the names of the numbers that come of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from anydet.arguments import require, require_choice, require_flag, require_integer, require_number
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.evaluator import EngineArrays, EngineParams, IouType
from anydet.evaluation.matches import (
    MOST_AREAS,
    MOST_CELLS,
    MOST_DETECTIONS,
    MOST_KEYPOINTS,
    MOST_LIMITS,
    MOST_THRESHOLDS,
)
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

CROWDPOSE_SIGMAS = tuple(
    sigma / 10
    for sigma in (0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79)
)
"""The same of CrowdPose's 14 keypoints, as its ``cocoeval.py`` has them: limbs, head, neck."""
CROWDPOSE_AREA = 0.53
"""Area of a person as a fraction of width x height, which CrowdPose's ``cocoeval.py`` takes for all."""

Protocol = Literal["coco", "lvis", "crowdpose"]

_MAX_DETECTIONS = {**dict.fromkeys(("bbox", "segm", "boundary", "obb"), (1, 10, 100)), "keypoints": (20,)}
_LVIS_DETECTIONS = (300,)
FREQUENCIES = ("r", "c", "f")
"""LVIS's groups of classes: rare, common, frequent."""


@dataclass(frozen=True, slots=True)
class CocoSettings:
    """What is counted; the defaults are COCO's own, equal to ``pycocotools.cocoeval.Params``.

    Attributes:
        iou_type: what overlaps are measured on.
        protocol: "lvis" looks only for what each image was searched for, and takes 300 detections an image;
            "crowdpose" has 14 keypoints, and takes 0.53 width x height for the area of every object.
        iou_thresholds: 0.50, 0.55, ..., 0.95 by default.
        area_ranges_px: name -> smallest and largest area in square pixels; the first one is the main one.
        max_detections: counted per image and class; 1, 10, 100 by default, 20 for keypoints.
        keypoint_sigmas: of OKS, one a keypoint, or a row of them a class; by default the 17 of COCO's
            persons, or CrowdPose's 14.
        box_area_factor: for keypoints, the area of objects whose area the source does not state, as a
            fraction of width x height; by default 1, with a warning.
        class_agnostic: all classes as one, as ``useCats = 0`` of pycocotools.
        dilation_ratio: width of the boundary as a fraction of the image's diagonal.
        pycocotools_quirks: take a match to an annotation with id 0 for no match, as pycocotools does.
    """

    iou_type: IouType = "bbox"
    protocol: Protocol = "coco"
    iou_thresholds: tuple[float, ...] | None = None
    area_ranges_px: Mapping[str, tuple[float, float]] | None = None
    max_detections: tuple[int, ...] | None = None
    keypoint_sigmas: tuple[float, ...] | tuple[tuple[float, ...], ...] | None = None
    box_area_factor: float | None = None
    class_agnostic: bool = False
    dilation_ratio: float = 0.02
    pycocotools_quirks: bool = False

    def __post_init__(self) -> None:
        """Raises ``OptionError`` where a value has the wrong type or is out of range."""
        self._check()
        if self.protocol == "lvis" and (self.iou_type not in {"bbox", "segm"} or self.class_agnostic):
            raise EvaluationError(
                f"LVIS scores boxes or masks of its classes, not {self.iou_type}"
                + " of all classes as one" * self.class_agnostic,
                fix="use --iou-type bbox or segm, or --protocol coco",
            )
        if self.protocol == "crowdpose" and self.iou_type != "keypoints":
            raise EvaluationError(
                f"CrowdPose scores keypoints, not {self.iou_type}",
                fix="use --iou-type keypoints, or --protocol coco",
            )
        if self.box_area_factor is not None and (self.iou_type, self.protocol) != ("keypoints", "coco"):
            what = (
                "CrowdPose has a factor of its own" if self.protocol == "crowdpose" else "it is for keypoints"
            )
            raise EvaluationError(
                f"box_area_factor is {self.box_area_factor}, but {what}",
                fix="leave out --box-area-factor, or use --iou-type keypoints --protocol coco",
            )

    def _check(self) -> None:
        require_choice("iou_type", self.iou_type, get_args(IouType))
        require_choice("protocol", self.protocol, get_args(Protocol))
        require_number("dilation_ratio", self.dilation_ratio, 0, 1, above=True)
        if self.box_area_factor is not None:
            require_number("box_area_factor", self.box_area_factor, 0, above=True)
        require_flag("class_agnostic", self.class_agnostic)
        require_flag("pycocotools_quirks", self.pycocotools_quirks)
        for threshold in _several("iou_thresholds", self.iou_thresholds, MOST_THRESHOLDS):
            require_number("iou_thresholds", threshold, 0, 1)
        for most in _several("max_detections", self.max_detections, MOST_LIMITS):
            require_integer("max_detections", most, 1, MOST_DETECTIONS)
        for sigmas in _several("keypoint_sigmas", self.keypoint_sigmas, MOST_KEYPOINTS):
            for sigma in sigmas if isinstance(sigmas, Sequence) else (sigmas,):
                require_number("keypoint_sigmas", sigma, 0, above=True)
        areas = self.area_ranges_px
        if areas is not None:
            good = isinstance(areas, Mapping) and 1 <= len(areas) <= MOST_AREAS
            takes = f"1 to {MOST_AREAS} names, each with smallest and largest area"
            require(good, "area_ranges_px", areas, takes)
            for ends in areas.values():
                good = isinstance(ends, Sequence) and len(ends) == 2
                require(good, "area_ranges_px", ends, "a smallest and a largest area")
                require_number("area_ranges_px", ends[0], 0)
                require_number("area_ranges_px", ends[1], ends[0])

    @property
    def areas(self) -> Mapping[str, tuple[float, float]]:
        """Area ranges by name."""
        if self.area_ranges_px is not None:
            return self.area_ranges_px
        if self.protocol == "crowdpose":
            return {"all": AREAS["all"]}
        return {k: v for k, v in AREAS.items() if not (self.iou_type == "keypoints" and k == "small")}

    @property
    def sigmas(self) -> tuple[float, ...] | tuple[tuple[float, ...], ...] | None:
        """Those of keypoints, given or the protocol's; ``None`` for other geometry."""
        if self.iou_type != "keypoints":
            return None
        own = CROWDPOSE_SIGMAS if self.protocol == "crowdpose" else KEYPOINT_SIGMAS
        return self.keypoint_sigmas or own

    def params(self, classes: int) -> EngineParams:
        """The same as engines take it, for a number of classes.

        Raises:
            EvaluationError: there are sigmas for another number of classes, or the curves are too large.
        """
        default = _LVIS_DETECTIONS if self.protocol == "lvis" else _MAX_DETECTIONS[self.iou_type]
        sigmas = None if self.sigmas is None else np.array(self.sigmas)
        if sigmas is not None and sigmas.ndim > 1 and len(sigmas) != classes:
            raise EvaluationError(
                f"sigmas for {len(sigmas)} classes, but there are {classes}", fix="give one row a class"
            )
        params = EngineParams(
            iou_type=self.iou_type,
            iou_thresholds=np.array(self.iou_thresholds or np.linspace(0.5, 0.95, 10), np.float64),
            recall_thresholds=np.linspace(0.0, 1.0, 101),
            area_ranges_px=np.array(list(self.areas.values()), np.float64),
            max_detections=tuple(sorted(self.max_detections or default)),
            keypoint_sigmas=sigmas,
            dilation_ratio=self.dilation_ratio,
            pycocotools_quirks=self.pycocotools_quirks,
        )
        _require_memory(params, classes)
        return params


def _require_memory(params: EngineParams, classes: int) -> None:
    counts = {
        "IoU thresholds": len(params.iou_thresholds),
        "recall thresholds": len(params.recall_thresholds),
        "classes": classes,
        "area ranges": len(params.area_ranges_px),
        "limits of detections": len(params.max_detections),
    }
    cells = math.prod(counts.values())
    if cells > MOST_CELLS:
        shown = " x ".join(f"{count} {name}" for name, count in counts.items())
        raise EvaluationError(
            f"the curves of {shown} are {cells:.3g} numbers, at most {MOST_CELLS:.3g} are supported",
            fix="evaluate fewer thresholds, area ranges and limits at a time",
        )


def _several(name: str, values: Any, most: int) -> Sequence[Any]:
    good = isinstance(values, Sequence) and not isinstance(values, str) and 1 <= len(values) <= most
    require(values is None or good, name, values, f"a tuple of 1 to {most} numbers, or None")
    return values or ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One of COCO's numbers: a mean over a slice of the arrays.

    Attributes:
        name: "AP50", "ARs", ...
        of: which array.
        iou: the one IoU threshold, or ``None`` for the mean over all.
        area: position of the area range.
        rank: position in ``max_detections``.
        frequency: only classes of this group of LVIS.
    """

    name: str
    of: Literal["precision", "recall"]
    iou: float | None = None
    area: int = 0
    rank: int = -1
    frequency: str | None = None

    def value(
        self, arrays: EngineArrays, params: EngineParams, frequencies: Sequence[str] = ()
    ) -> float | None:
        """The mean over what has ground truth, in the order in which pycocotools adds; else ``None``."""
        values = self._values(arrays, params)
        if self.frequency is not None:
            values = values[..., [i for i, group in enumerate(frequencies) if group == self.frequency]]
        # -1 is "no ground truth", not a value. pycocotools averages the flat rest; the order shows in bits.
        known = values[values > -1]
        return float(np.mean(known)) if len(known) else None

    def of_each(self, arrays: EngineArrays, params: EngineParams) -> list[float | None]:
        """The same of each class alone."""
        values = np.moveaxis(self._values(arrays, params), -1, 0)
        if not values.size:
            return [None] * len(values)
        flat = np.ascontiguousarray(values).reshape(len(values), -1)
        # A class has ground truth in an area range or has none: its values are all known or all -1.
        return [value if value > -1 else None for value in flat.mean(axis=1).tolist()]

    def _values(self, arrays: EngineArrays, params: EngineParams) -> FloatArray:
        """The slice of the array that is meant, classes last."""
        values: FloatArray = getattr(arrays, self.of)[..., self.area, self.rank]
        return values if self.iou is None else values[np.flatnonzero(params.iou_thresholds == self.iou)]


def metrics(params: EngineParams, settings: CocoSettings) -> tuple[Metric, ...]:
    """COCO's numbers in their usual order.

    They are 12 for boxes and masks, 10 for keypoints, 13 for LVIS, 6 for CrowdPose.
    AP counts the last of ``max_detections``; with other limits than COCO's, AR is named after them.
    """
    keypoints, lvis = settings.iou_type == "keypoints", settings.protocol == "lvis"
    limits = enumerate(params.max_detections)
    total = [Metric("AR", "recall")] if keypoints else [Metric(f"AR{m}", "recall", rank=i) for i, m in limits]
    strict = [Metric("AR50", "recall", 0.5), Metric("AR75", "recall", 0.75)] if keypoints else []
    groups = [Metric(f"AP{group}", "precision", frequency=group) for group in FREQUENCIES] if lvis else []
    return (
        *(Metric("AP", "precision"), Metric("AP50", "precision", 0.5), Metric("AP75", "precision", 0.75)),
        *_by_area("AP", "precision", settings),
        *groups,
        *total,
        *strict,
        *_by_area("AR", "recall", settings),
    )


def _by_area(name: str, of: Literal["precision", "recall"], settings: CocoSettings) -> Iterator[Metric]:
    for position, area in enumerate(settings.areas):
        if position:
            yield Metric(name + (area[0] if area in AREAS else f"_{area}"), of, area=position)


def summarize(
    arrays: EngineArrays,
    params: EngineParams,
    settings: CocoSettings,
    classes: IntArray | None = None,
    frequencies: Sequence[str] = (),
) -> dict[str, float | None]:
    """COCO's numbers by name, over the classes given (in that order) or all; ``None`` where COCO says -1.

    Args:
        arrays: what an engine gave.
        params: what it counted.
        settings: the same, as the user gave it.
        classes: class ids, or ``None`` for all.
        frequencies: of all classes of the table, for LVIS.
    """
    if classes is not None and not np.array_equal(classes, np.arange(len(arrays.recall[0]))):
        arrays = EngineArrays(
            arrays.precision[:, :, classes], arrays.recall[:, classes], arrays.scores[:, :, classes]
        )
        frequencies = [frequencies[i] for i in classes.tolist()] if frequencies else ()
    return {m.name: m.value(arrays, params, frequencies) for m in metrics(params, settings)}


def summarize_each(
    arrays: EngineArrays, params: EngineParams, settings: CocoSettings
) -> Mapping[str, list[float | None]]:
    """COCO's numbers by name, a list over the classes each; as ``summarize`` of each class alone."""
    known = [metric for metric in metrics(params, settings) if metric.frequency is None]
    return {metric.name: metric.of_each(arrays, params) for metric in known}
