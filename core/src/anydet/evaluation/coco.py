"""The 12 COCO numbers: ``CocoEvaluator`` collects images, ``CocoResult`` says what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.dataset import Dataset
from anydet.errors import EvaluationError
from anydet.evaluation import fit
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine, EngineArrays, EngineParams, IouType
from anydet.evaluation.inputs import Inputs, read_inputs
from anydet.evaluation.parts import Part, join_parts
from anydet.evaluation.protocol import area_names, coco_params, summarize
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns

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

    def as_dict(self) -> dict[str, Any]:
        """What ``eval-coco --json`` writes."""
        return {
            "metrics": dict(self.metrics),
            "per_class": [dict(row) for row in self.per_class],
            "protocol": dict(self.protocol),
        }


@dataclass(slots=True)
class CocoEvaluator:
    """Collects images and computes COCO's numbers over all of them.

    The result does not depend on how the images were split into parts or on the parts' order.

    Attributes:
        classes: the classes that are scored; one without ground truth has no number and no part in means.
        engine: who matches boxes.
        iou_type: what overlaps are measured on.
        max_detections: detections counted per image and class; COCO's by default.
        keypoint_sigmas: of OKS; COCO's 17 by default.
        context: what the protocol shall say beside what is known here (split, data set, ...).
    """

    classes: ClassTable
    _: KW_ONLY
    engine: Engine
    iou_type: IouType = "bbox"
    max_detections: tuple[int, ...] | None = None
    keypoint_sigmas: tuple[float, ...] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    _parts: list[Part] = field(default_factory=list, init=False, repr=False)

    @property
    def params(self) -> EngineParams:
        """What is counted."""
        return coco_params(self.iou_type, self.max_detections, self.keypoint_sigmas)

    def reset(self) -> None:
        """Forget everything added."""
        self._parts.clear()

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images. Both arguments share one ``images`` table and the class ids of ``ground_truth``.

        Raises ``EvaluationError`` where they do not, or where they lack what ``iou_type`` is measured on.
        """
        if ground_truth.classes != self.classes:
            raise EvaluationError(
                f"ground truth of {len(ground_truth.classes)} classes added to an evaluator of "
                f"{len(self.classes)} others",
                fix="build the evaluator with the class table of the ground truth",
            )
        fit.check_tables(detections, ground_truth)
        self._parts.append(fit.comparable(detections, ground_truth, self.params))

    def merge(self, other: Self) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""
        if other._kind() != self._kind():
            raise EvaluationError(
                "evaluators of different classes, IoU types, limits or sigmas cannot be merged",
                fix="build all of them with the same arguments",
            )
        self._parts.extend(other._parts)

    def result(self) -> CocoResult:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added.
        """
        detections, ground_truth = self._joined()
        arrays = self.engine.evaluate(detections, ground_truth, self.params)
        # Means are summed in the order of the source's ids, as pycocotools does, to agree in the last bit.
        order = np.argsort(self.classes.source_ids, kind="stable")
        return CocoResult(
            metrics=summarize(arrays, self.params, order),
            per_class=_per_class(arrays, self.params, detections, ground_truth),
            protocol=self._protocol(detections, ground_truth),
            arrays=arrays,
        )

    def protocol(self) -> dict[str, Any]:
        """What ``result`` would count, without counting it."""
        return self._protocol(*self._joined())

    def _joined(self) -> Part:
        if not self._parts:
            raise EvaluationError("nothing to evaluate: no image was added", fix="add images first")
        return join_parts(self._parts)

    def _kind(self) -> tuple[object, ...]:
        return self.classes, self.iou_type, self.max_detections, self.keypoint_sigmas

    def _protocol(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> dict[str, Any]:
        params = self.params
        return {
            "iou_type": self.iou_type,
            "iou_thresholds": params.iou_thresholds.tolist(),
            "recall_thresholds": params.recall_thresholds.tolist(),
            "area_ranges_px": dict(
                zip(area_names(self.iou_type), params.area_ranges_px.tolist(), strict=True)
            ),
            "max_detections": list(params.max_detections),
            "keypoint_sigmas": None if params.keypoint_sigmas is None else params.keypoint_sigmas.tolist(),
            "crowd": CROWD,
            "detection_area": "mask" if self.iou_type == "segm" else "box",
            "ground_truth": ground_truth.source,
            "classes": len(self.classes),
            "images": len(ground_truth.images),
            "annotations": len(ground_truth),
            "crowd_annotations": int(np.count_nonzero(ground_truth.labels.iscrowd)),
            "detections": len(detections),
            "engine": {"name": self.engine.name, "version": self.engine.version},
            "versions": {name: version(name) for name in ("anydet", "numpy", "pycocotools")},
            **self.context,
        }


def _per_class(
    arrays: EngineArrays,
    params: EngineParams,
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
) -> list[dict[str, Any]]:
    classes, labels = ground_truth.classes, ground_truth.labels
    count = len(classes)
    annotated = np.unique(np.stack([labels.class_ids, ground_truth.image_index]), axis=1)[0]
    images, annotations, found = (
        np.bincount(ids, minlength=count).tolist()
        for ids in (annotated, labels.class_ids, detections.class_ids)
    )
    return [
        {
            "class_id": i,
            "name": classes.names[i],
            "source_id": classes.source_ids[i],
            **summarize(arrays, params, np.array([i])),
            "images": images[i],
            "annotations": annotations[i],
            "detections": found[i],
        }
        for i in range(count)
    ]


def default_evaluator(ground_truth: GroundTruthColumns) -> CocoEvaluator:
    """The evaluator of boxes with the best installed engine; what is registered as ``coco``."""
    return CocoEvaluator(ground_truth.classes, engine=choose_engine())


def prepare_coco(
    inputs: Inputs,
    *,
    iou_type: IouType = "bbox",
    keypoint_sigmas: tuple[float, ...] | None = None,
    engine: Engine | None = None,
) -> CocoEvaluator:
    """An evaluator that holds the inputs, checked; ``result()`` is all that is left to do."""
    evaluator = CocoEvaluator(
        inputs.ground_truth.classes,
        engine=engine or choose_engine(),
        iou_type=iou_type,
        keypoint_sigmas=keypoint_sigmas,
        context=inputs.context,
    )
    evaluator.add(inputs.detections, inputs.ground_truth)
    return evaluator


def evaluate_coco(
    dataset: Dataset | Path | str,
    predictions: Path | str,
    *,
    iou_type: IouType = "bbox",
    box_format: str | None = None,
    split: str | None = None,
    max_images: int | None = None,
    keypoint_sigmas: tuple[float, ...] | None = None,
    engine: Engine | None = None,
) -> CocoResult:
    """COCO's numbers of a predictions file on a data set; what ``anydet eval-coco`` prints.

    Args:
        dataset: an open data set, or its path; a COCO annotations file will do.
        predictions: a file of the contract, or COCO results.
        iou_type: what overlaps are measured on.
        box_format: what the file's boxes are in; by default what the file says, else ``cxcywh_norm``.
        split: the split, where ``dataset`` is a path.
        max_images: only the first so many images of the data set, on both sides.
        keypoint_sigmas: of OKS; COCO's 17 by default.
        engine: who matches boxes; the best installed one by default.

    Raises:
        AnydetError: as ``inputs.read_inputs`` and ``CocoEvaluator.add``.
    """
    inputs = read_inputs(dataset, predictions, box_format=box_format, split=split, max_images=max_images)
    return prepare_coco(inputs, iou_type=iou_type, keypoint_sigmas=keypoint_sigmas, engine=engine).result()
