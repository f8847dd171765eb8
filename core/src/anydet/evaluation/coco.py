"""COCO's metrics: ``CocoEvaluator`` matches images as they come, ``CocoResult`` holds the metrics."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import AnydetWarning, EvaluationError
from anydet.evaluation import compatibility
from anydet.evaluation.coco_partial import CocoPartial, Counts, join_coco
from anydet.evaluation.counted_annotations import CountedAnnotations
from anydet.evaluation.evaluator import Engine, EngineArrays, EngineParams
from anydet.evaluation.matches import Matches
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator
from anydet.evaluation.protocol import CROWDPOSE_AREA, CocoSettings, summarize, summarize_each
from anydet.evaluation.tables import MetricsByName, Table
from anydet.types import DetectionColumns, GroundTruthColumns
from anydet.version import __version__

if TYPE_CHECKING:
    from anydet.evaluation.figures import Figure
    from anydet.evaluation.matched_protocol import ProtocolOptions
    from anydet.evaluation.precision_recall import PrecisionRecall

LOW_AP50 = 0.05
"""AP50 below which a mistake is more likely than a weak model, given enough detections."""
_FEWEST = 20
CROWD = "ignored: may match any number of detections, which then count neither as hit nor as miss"
"""What happens to crowd annotations, for the protocol."""
_DETECTION_AREA = {"segm": "mask", "boundary": "mask", "obb": "oriented box"}


@dataclass(frozen=True, slots=True, eq=False)
class CocoResult(MetricsByName):
    """COCO's metrics, overall and by class.

    Attributes:
        metrics: COCO's numbers by name, in COCO's order; ``None`` where COCO says -1.
        per_class: one row a class: class_id, name, source_id, the same numbers, and how many images
            (with annotations of the class), annotations and detections they rest on.
        protocol: what was counted and by what, as plain data.
        arrays: the engine's arrays; the class axis is ``class_id``.
    """

    metrics: Mapping[str, float | None]
    per_class: Sequence[Mapping[str, Any]]
    protocol: Mapping[str, Any]
    arrays: EngineArrays

    __repr__ = MetricsByName.__repr__

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every class with the same numbers and what they rest on."""
        names = ("name", *self.metrics, "images", "annotations", "detections")
        rows = tuple(tuple(row[name] for name in names) for row in self.per_class)
        return (Table("classes", ("class", *names[1:]), rows),) if rows else ()

    @property
    def curves(self) -> PrecisionRecall:
        """Precision by recall."""
        # `eval-coco` prints no curves, and starts sooner without their module.
        from anydet.evaluation.precision_recall import trace_curves

        return trace_curves(self.arrays, self.protocol, [str(row["name"]) for row in self.per_class])

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The curves."""
        return self.curves.figures

    @property
    def doubt(self) -> str | None:
        """That AP50 is near zero although there are many detections; ``None`` where that is not so."""
        ap50, detections = self.metrics.get("AP50"), self.protocol["detections"]
        if ap50 is None or ap50 >= LOW_AP50 or detections < max(_FEWEST, self.protocol["annotations"] / 2):
            return None
        return f"AP50 is {ap50:.3f} with {detections} detections"

    def as_dict(self) -> dict[str, Any]:
        """What ``eval-coco --json`` writes."""
        return {
            "metrics": dict(self.metrics),
            "per_class": [dict(row) for row in self.per_class],
            "protocol": dict(self.protocol),
        }


@dataclass(eq=False)
class CocoEvaluator(MergeableEvaluator[CocoPartial]):
    """Matches images as they come and computes COCO's numbers over all of them.

    Nothing of an image is kept but what curves are made of (``matches.Matches``).

    Attributes:
        classes: the classes that are scored; one without ground truth has no number and no part in means.
        engine: matches detections to annotations.
        settings: what is counted.
        context: what the protocol shall say beside what is known here (split, data set, ...).
        dry: check and count, but match nothing; ``protocol`` is all that it gives then.
    """

    _: KW_ONLY
    engine: Engine
    settings: CocoSettings = field(default_factory=CocoSettings)
    context: Mapping[str, Any] = field(default_factory=dict)
    dry: bool = False

    def __post_init__(self) -> None:
        self.use_engine(self.engine)

    @property
    def name(self) -> str:
        """``coco`` for boxes, ``coco-segm``, ``coco-keypoints``, ...; ``crowdpose``."""
        if self.settings.protocol == "crowdpose":
            return "crowdpose"
        return "coco" if self.settings.iou_type == "bbox" else f"coco-{self.settings.iou_type}"

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if not len(ground_truth):
            return "the images have no annotations"
        try:
            # What `add` would raise for these columns is the reason.
            compatibility.select_columns(detections, ground_truth, self.settings, self.params)
        except EvaluationError as error:
            return error.problem
        return None

    def use_engine(self, engine: Engine) -> None:
        """Match with this one, but for oriented boxes, which one engine alone knows."""
        if self.settings.iou_type == "obb":
            from anydet.evaluation.oriented_engine import OrientedEngine

            engine = OrientedEngine()
        self.engine = engine

    @property
    def options(self) -> tuple[str, ...]:
        """Keypoints have a factor of areas, where the protocol has none of its own."""
        scored = self.settings.iou_type, self.settings.protocol
        return ("box_area_factor",) if scored == ("keypoints", "coco") else ()

    def use_options(self, options: ProtocolOptions) -> None:
        """Take the factor of areas, where it has one."""
        if self.options and options.box_area_factor is not None:
            self.settings = replace(self.settings, box_area_factor=options.box_area_factor)

    def use_context(self, context: Mapping[str, Any]) -> None:
        """Report this in the protocol."""
        self.context = context

    @property
    def params(self) -> EngineParams:
        """What is counted, as engines take it."""
        return self.settings.params(len(self.classes))

    @property
    def settings_key(self) -> Hashable:
        """Classes and settings; engines agree in every bit."""
        return self.classes, self.settings

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> CocoPartial:
        """What came of the detections; raises ``EvaluationError`` where columns lack what is measured."""
        # Counted before classes are joined and columns dropped: the protocol is about what was given.
        counts = Counts.of(detections, ground_truth)
        compared = compatibility.select_columns(detections, ground_truth, self.settings, self.params)
        if self.settings.iou_type == "keypoints":
            counts = counts.with_invented(compared[1])
        matches = None if self.dry else self.engine.match(*compared, self.params)
        positives = CountedAnnotations.of(compared[1], self.params)
        images, ids = ground_truth.images, ground_truth.image_ids
        return CocoPartial(images, ids, ground_truth.source, counts, matches, positives)

    def join(self, partials: Sequence[CocoPartial], images: JoinedImages) -> CocoPartial:
        """One partial result of all images."""
        return join_coco(partials, images)

    def result(self) -> CocoResult:
        """The numbers; calling it twice gives the same.

        Warns of keypoints that are scored without an area of the source. Raises ``EvaluationError`` where no
        image was added.
        """
        joint = self.joint()
        if joint.counts.invented:
            from anydet.evaluation.keypoint_areas import describe

            counts = joint.counts
            text = describe(counts.invented, int(counts.annotations.sum()), counts.first_invented)
            warnings.warn(f"{joint.source}: {text}", AnydetWarning, stacklevel=2)
        return self.result_of(joint)

    def result_of(self, joint: CocoPartial) -> CocoResult:
        """The metrics of one partial result."""
        arrays = self.engine.accumulate(_matches(joint), self.params)
        return CocoResult(
            metrics=self.summarize(arrays),
            per_class=() if self.settings.class_agnostic else self._per_class(arrays, joint.counts),
            protocol=self._protocol(joint),
            arrays=arrays,
        )

    def summarize(self, arrays: EngineArrays) -> dict[str, float | None]:
        """COCO's numbers by name."""
        # Means are summed in the order of the source's ids, as pycocotools does, to agree in the last bit.
        order = (
            np.argsort(self.classes.source_ids, kind="stable") if not self.settings.class_agnostic else None
        )
        return summarize(arrays, self.params, self.settings, order, self.classes.frequencies)

    def protocol(self) -> dict[str, Any]:
        """What ``result`` would count, without counting it."""
        return self._protocol(self.joint())

    def matches(self) -> Matches:
        """What came of all detections, over the images of ``joint``."""
        return _matches(self.joint())

    def _protocol(self, joint: CocoPartial) -> dict[str, Any]:
        params, counts = self.params, joint.counts
        areas = zip(self.settings.areas, params.area_ranges_px.tolist(), strict=True)
        return {
            "protocol": self.settings.protocol,
            "iou_type": self.settings.iou_type,
            "iou_thresholds": params.iou_thresholds.tolist(),
            "recall_thresholds": params.recall_thresholds.tolist(),
            "area_ranges_px": dict(areas),
            "max_detections": list(params.max_detections),
            "keypoint_sigmas": None if params.keypoint_sigmas is None else params.keypoint_sigmas.tolist(),
            **self._areas(counts),
            "class_agnostic": self.settings.class_agnostic,
            "pycocotools_quirks": params.pycocotools_quirks,
            "crowd": CROWD,
            "detection_area": _DETECTION_AREA.get(self.settings.iou_type, "box"),
            "ground_truth": joint.source,
            "classes": len(self.classes),
            "images": len(joint.images),
            "annotations": int(counts.annotations.sum()),
            "crowd_annotations": counts.crowds,
            "detections": int(counts.detections.sum()),
            "engine": {"name": self.engine.name, "version": self.engine.version},
            "versions": {"anydet": __version__, "numpy": np.__version__},
            **self.context,
        }

    def _areas(self, counts: Counts) -> dict[str, Any]:
        """How areas of objects came about: what ranges of sizes and OKS rest on."""
        if self.settings.iou_type != "keypoints":
            return {"annotations_without_area": counts.unstated}
        factor = CROWDPOSE_AREA if self.settings.protocol == "crowdpose" else self.settings.box_area_factor
        return {"box_area_factor": factor, "annotations_without_area": counts.invented}

    def _per_class(self, arrays: EngineArrays, counts: Counts) -> list[dict[str, Any]]:
        numbers = summarize_each(arrays, self.params, self.settings)
        return [
            {
                "class_id": i,
                "name": self.classes.names[i],
                "source_id": self.classes.own_ids[i],
                **{name: values[i] for name, values in numbers.items()},
                "images": int(counts.annotated_images[i]),
                "annotations": int(counts.annotations[i]),
                "detections": int(counts.detections[i]),
            }
            for i in range(len(self.classes))
        ]


def _matches(joint: CocoPartial) -> Matches:
    if joint.matches is None:
        raise EvaluationError("a dry-run evaluator has no result", fix="leave out dry=True")
    return joint.matches
