"""The 12 COCO numbers: ``CocoEvaluator`` collects images, ``CocoResult`` says what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.errors import EvaluationError
from anydet.evaluation import compatibility
from anydet.evaluation.counted_annotations import CountedAnnotations
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine, EngineArrays, EngineParams
from anydet.evaluation.matches import Matches
from anydet.evaluation.partial import Counts, PartialResult, join_partial_results
from anydet.evaluation.protocol import CocoSettings, summarize, summarize_each
from anydet.evaluation.tables import Table
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns
from anydet.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Self


CROWD = "ignored: may match any number of detections, which then count neither as hit nor as miss"
"""What happens to crowd annotations, for the protocol."""


@dataclass(frozen=True, slots=True, eq=False)
class CocoResult:
    """What an evaluation found.

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

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every class with the same numbers and what they rest on."""
        names = ("name", *self.metrics, "images", "annotations", "detections")
        rows = tuple(tuple(row[name] for name in names) for row in self.per_class)
        return (Table("classes", ("class", *names[1:]), rows),) if rows else ()

    def as_dict(self) -> dict[str, Any]:
        """What ``eval-coco --json`` writes."""
        return {
            "metrics": dict(self.metrics),
            "per_class": [dict(row) for row in self.per_class],
            "protocol": dict(self.protocol),
        }


@dataclass(slots=True)
class CocoEvaluator:
    """Matches images as they come and computes COCO's numbers over all of them.

    The result does not depend on how the images were split into parts or on the parts' order. Nothing of an
    image is kept but what curves are made of (``matches.Matches``).

    Attributes:
        classes: the classes that are scored; one without ground truth has no number and no part in means.
        engine: who matches.
        settings: what is counted.
        context: what the protocol shall say beside what is known here (split, data set, ...).
        dry: check and count, but match nothing; ``protocol`` is all that can be asked for then.
    """

    classes: ClassTable
    _: KW_ONLY
    engine: Engine
    settings: CocoSettings = field(default_factory=CocoSettings)
    context: Mapping[str, Any] = field(default_factory=dict)
    dry: bool = False
    _parts: list[PartialResult] = field(default_factory=list, init=False, repr=False)

    @property
    def name(self) -> str:
        """``coco`` for boxes, ``coco-segm``, ``coco-keypoints``, ``coco-boundary``."""
        return "coco" if self.settings.iou_type == "bbox" else f"coco-{self.settings.iou_type}"

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if not len(ground_truth):
            return "the images have no annotations"
        try:
            compatibility.select_columns(detections, ground_truth, self.settings, self.params)
        except EvaluationError as error:
            return error.problem
        return None

    def use_engine(self, engine: Engine) -> None:
        """Match with this one."""
        self.engine = engine

    @property
    def params(self) -> EngineParams:
        """What is counted, as engines take it."""
        return self.settings.params(len(self.classes))

    def reset(self) -> None:
        """Forget everything added."""
        self._parts.clear()

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images. Both arguments share one ``images`` table and the class ids of ``ground_truth``.

        Raises ``EvaluationError`` where they do not, or where they lack what is measured.
        """
        if ground_truth.classes != self.classes:
            raise EvaluationError(
                f"ground truth of {len(ground_truth.classes)} classes added to an evaluator of "
                f"{len(self.classes)} others",
                fix="build the evaluator with the class table of the ground truth",
            )
        compatibility.check_tables(detections, ground_truth)
        counts = Counts.of(detections, ground_truth)
        compared = compatibility.select_columns(detections, ground_truth, self.settings, self.params)
        matches = None if self.dry else self.engine.match(*compared, self.params)
        positives = CountedAnnotations.of(compared[1], self.params)
        images, ids = ground_truth.images, ground_truth.image_ids
        self._parts.append(PartialResult(images, ids, ground_truth.source, counts, matches, positives))

    def merge(self, other: Self) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""
        if (other.classes, other.settings) != (self.classes, self.settings):
            raise EvaluationError(
                "evaluators of different classes or settings cannot be merged",
                fix="build all of them with the same arguments",
            )
        self._parts.extend(other._parts)

    def result(self) -> CocoResult:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added.
        """
        joint, matches = self.joint(), self.matches()
        arrays = self.engine.accumulate(matches, self.params)
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
        matches = self.joint().matches
        if matches is None:
            raise EvaluationError("a dry evaluator counts, it does not match", fix="leave out dry=True")
        return matches

    def joint(self) -> PartialResult:
        """All images seen, as one part; raises ``EvaluationError`` where there is none."""
        if not self._parts:
            raise EvaluationError("nothing to evaluate: no image was added", fix="add images first")
        self._parts = [join_partial_results(self._parts)]
        return self._parts[0]

    def _protocol(self, joint: PartialResult) -> dict[str, Any]:
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
            "class_agnostic": self.settings.class_agnostic,
            "pycocotools_quirks": params.pycocotools_quirks,
            "crowd": CROWD,
            "detection_area": "mask" if self.settings.iou_type in {"segm", "boundary"} else "box",
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

    def _per_class(self, arrays: EngineArrays, counts: Counts) -> list[dict[str, Any]]:
        numbers = summarize_each(arrays, self.params, self.settings)
        return [
            {
                "class_id": i,
                "name": self.classes.names[i],
                "source_id": self.classes.source_ids[i],
                **{name: values[i] for name, values in numbers.items()},
                "images": int(counts.annotated_images[i]),
                "annotations": int(counts.annotations[i]),
                "detections": int(counts.detections[i]),
            }
            for i in range(len(self.classes))
        ]


def coco_box_evaluator(ground_truth: GroundTruthColumns) -> CocoEvaluator:
    """The evaluator of boxes with the best installed engine; what is registered as ``coco``."""
    return CocoEvaluator(ground_truth.classes, engine=choose_engine())


def coco_mask_evaluator(ground_truth: GroundTruthColumns) -> CocoEvaluator:
    """The same of masks; what is registered as ``coco-segm``."""
    settings = CocoSettings(iou_type="segm")
    return CocoEvaluator(ground_truth.classes, engine=choose_engine(), settings=settings)


def coco_keypoint_evaluator(ground_truth: GroundTruthColumns) -> CocoEvaluator:
    """The same of the 17 keypoints of COCO's persons; what is registered as ``coco-keypoints``."""
    settings = CocoSettings(iou_type="keypoints")
    return CocoEvaluator(ground_truth.classes, engine=choose_engine(), settings=settings)
