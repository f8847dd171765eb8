"""The reference engine: pycocotools' own ``COCOeval``, fed with columns."""

from __future__ import annotations

import contextlib
import io
from importlib.metadata import version
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet.evaluation.evaluator import EngineArrays, EngineParams, IouType
from anydet.geometry import masks
from anydet.types import RLE, DetectionColumns, FloatArray, GroundTruthColumns, Segmentation


class PycocotoolsEngine:
    """Runs ``COCOeval``; its arrays are pycocotools' arrays, bit for bit.

    Annotations get new ids counted from 1, because pycocotools takes a match to an annotation with id 0 for
    no match at all. Detections of equal score on different images are ranked in the order of the ``images``
    table, as pycocotools ranks them by image id.
    """

    name = "pycocotools"
    version = version("pycocotools")

    def evaluate(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
    ) -> EngineArrays:
        """Arrays over all images and classes; both arguments share images and class ids."""
        with contextlib.redirect_stdout(io.StringIO()):
            truth = _index(_annotations(ground_truth, params.iou_type), ground_truth)
            found = _index(_results(detections, params.iou_type), ground_truth)
            run = COCOeval(truth, found, params.iou_type)
            _configure(run.params, params)
            run.evaluate()
            run.accumulate()
        return EngineArrays(run.eval["precision"], run.eval["recall"], run.eval["scores"])


def _configure(target: Any, params: EngineParams) -> None:
    """Set pycocotools' ``Params``."""
    target.iouThrs = params.iou_thresholds
    target.recThrs = params.recall_thresholds
    target.areaRng = params.area_ranges_px.tolist()
    target.maxDets = list(params.max_detections)
    if params.keypoint_sigmas is not None:
        target.kpt_oks_sigmas = params.keypoint_sigmas


def _index(annotations: list[dict[str, Any]], ground_truth: GroundTruthColumns) -> COCO:
    """A ``COCO`` object over all images and classes; ids are positions in their tables."""
    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": i, "width": w, "height": h} for i, (w, h) in enumerate(ground_truth.sizes_wh.tolist())
        ],
        "categories": [{"id": i} for i in range(len(ground_truth.classes))],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _annotations(ground_truth: GroundTruthColumns, iou_type: IouType) -> list[dict[str, Any]]:
    """One dictionary an annotation, as in the ``annotations`` of a COCO file."""
    labels = ground_truth.labels
    rows = _rows(ground_truth.image_index, labels.class_ids, labels.areas, labels.iscrowd.astype(np.int64))
    _set(rows, "bbox", labels.boxes_xywh_px.tolist())
    if iou_type == "segm":
        _set(rows, "segmentation", [_segmentation(s) for s in labels.segmentations or ()])
    elif iou_type == "keypoints" and labels.keypoints is not None:
        points = np.nan_to_num(labels.keypoints)
        _set(rows, "keypoints", [row.ravel().tolist() for row in points])
        _set(rows, "num_keypoints", np.count_nonzero(points[:, :, 2] > 0, axis=1).tolist())
    return rows


def _results(detections: DetectionColumns, iou_type: IouType) -> list[dict[str, Any]]:
    """One dictionary a detection, as ``COCO.loadRes`` makes them."""
    crowd = np.zeros(len(detections), np.int64)
    rows = _rows(detections.image_index, detections.class_ids, detections.areas, crowd)
    _set(rows, "score", detections.scores.tolist())
    if iou_type == "bbox":
        _set(rows, "bbox", detections.boxes_xywh_px.tolist())
    elif iou_type == "segm":
        _set(rows, "segmentation", [_segmentation(m) for m in detections.masks or ()])
    elif iou_type == "keypoints" and detections.keypoints is not None:
        # A keypoint nobody predicted is infinitely far from every true one.
        points = np.where(np.isnan(detections.keypoints), np.inf, detections.keypoints)
        _set(rows, "keypoints", [row.ravel().tolist() for row in points])
    return rows


def _rows(image_index: Any, class_ids: Any, areas: FloatArray, iscrowd: Any) -> list[dict[str, Any]]:
    columns = zip(image_index.tolist(), class_ids.tolist(), areas.tolist(), iscrowd.tolist(), strict=True)
    return [
        {"id": i, "image_id": image, "category_id": class_id, "area": area, "iscrowd": crowd}
        for i, (image, class_id, area, crowd) in enumerate(columns, start=1)
    ]


def _set(rows: list[dict[str, Any]], key: str, values: list[Any]) -> None:
    for row, value in zip(rows, values, strict=True):
        row[key] = value


def _segmentation(segmentation: Segmentation) -> Any:
    """RLE or polygons as pycocotools takes them; it rasterises polygons itself."""
    if segmentation is None:
        raise ValueError("an annotation without segmentation cannot be scored by its mask")
    if isinstance(segmentation, RLE):
        return masks.to_coco(segmentation)
    return [list(ring) for ring in segmentation]
