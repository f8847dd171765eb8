"""The reference engine: pycocotools' own ``COCOeval``, fed with columns."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet.evaluation import curves
from anydet.evaluation.evaluator import EngineArrays, EngineParams
from anydet.evaluation.matches import Matches, count_positives, ignored_annotations, outside_bits, pack_bits
from anydet.geometry import masks
from anydet.types import RLE, BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, Segmentation


class PycocotoolsEngine:
    """Matches with ``COCOeval``; arrays are pycocotools' arrays, bit for bit.

    Annotations get new ids counted from 1, because pycocotools takes a match to an annotation with id 0 for
    no match at all; with ``pycocotools_quirks`` that one keeps its id. Detections of equal score on different
    images are ranked in the order of the ``images`` table, as pycocotools ranks them by image id.
    """

    name = "pycocotools"
    version = version("pycocotools")
    threads = 1
    scanner = None

    def match(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
    ) -> Matches:
        """The matches; both arguments have the same images and class ids."""
        areas = _areas(detections, params)
        # pycocotools prints its progress, and stdout is for data.
        with contextlib.redirect_stdout(io.StringIO()):
            truth = _index(_annotations(ground_truth, params), ground_truth)
            found = _index(_results(detections, areas, params), ground_truth)
            run = _Run(truth, found, _source_type(params))
            run.configure(params)
            run.evaluate()
        return _matches(run, detections, areas, ground_truth, params)

    def accumulate(self, matches: Matches, params: EngineParams) -> EngineArrays:
        """Arrays over all images and classes."""
        return curves.accumulate(matches, params)


class _Run(COCOeval):  # type: ignore[misc]
    """``COCOeval`` with two overlaps that pycocotools does not have."""

    settings: EngineParams

    def configure(self, settings: EngineParams) -> None:
        self.settings = settings
        self.params.iouThrs = settings.iou_thresholds
        self.params.recThrs = settings.recall_thresholds
        self.params.areaRng = settings.area_ranges_px.tolist()
        self.params.maxDets = list(settings.max_detections)
        if settings.keypoint_sigmas is not None:
            self.params.kpt_oks_sigmas = settings.keypoint_sigmas

    def computeOks(self, imgId: int, catId: int) -> Any:  # noqa: N802 (its own name)
        """Similarity of keypoints, with the sigmas of the class where each has its own."""
        sigmas = self.settings.keypoint_sigmas
        if sigmas is not None and sigmas.ndim > 1:
            self.params.kpt_oks_sigmas = sigmas[catId]
        return super().computeOks(imgId, catId)

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802 (its own name)
        """IoU of masks; for ``boundary`` the smaller one of masks and boundaries."""
        whole = super().computeIoU(imgId, catId)
        if self.settings.iou_type != "boundary" or len(whole) == 0:
            return whole
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        # Sorted and cut as `COCOeval.computeIoU` does, to whose rows these must belong.
        best = np.argsort([-row["score"] for row in found], kind="mergesort")[: self.params.maxDets[-1]]
        edges = [_edge(rows, self.settings) for rows in ([found[i] for i in best], truth)]
        return np.minimum(whole, coco_mask.iou(*edges, [int(row["iscrowd"]) for row in truth]))


def _edge(rows: Sequence[dict[str, Any]], params: EngineParams) -> list[dict[str, Any]]:
    """Boundaries of masks that pycocotools has turned into RLEs."""
    codes = [RLE(tuple(row["segmentation"]["size"]), _text(row["segmentation"]["counts"])) for row in rows]
    return [masks.to_coco(masks.boundary(code, params.dilation_ratio)) for code in codes]


def _text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("ascii")


def _source_type(params: EngineParams) -> str:
    return "segm" if params.iou_type == "boundary" else params.iou_type


def _areas(detections: DetectionColumns, params: EngineParams) -> FloatArray:
    """(N,) box areas, or those of masks where they are scored."""
    if _source_type(params) != "segm" or detections.areas_stated:
        return detections.areas
    return np.array([masks.area(mask) for mask in detections.masks or () if mask], np.float64)


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


def _annotations(ground_truth: GroundTruthColumns, params: EngineParams) -> list[dict[str, Any]]:
    """One dictionary an annotation, as in the ``annotations`` of a COCO file."""
    labels = ground_truth.labels
    rows = _rows(ground_truth.image_index, labels.class_ids, labels.areas, labels.iscrowd.astype(np.int64))
    _set(rows, "bbox", labels.boxes_xywh_px.tolist())
    if params.pycocotools_quirks and labels.annotation_ids is not None:
        for row in np.flatnonzero(labels.annotation_ids == 0).tolist():
            rows[row]["id"] = 0
    if _source_type(params) == "segm":
        _set(rows, "segmentation", [_segmentation(s) for s in labels.segmentations or ()])
    elif params.iou_type == "keypoints" and labels.keypoints is not None:
        points = np.nan_to_num(labels.keypoints)
        _set(rows, "keypoints", [row.ravel().tolist() for row in points])
        _set(rows, "num_keypoints", np.count_nonzero(points[:, :, 2] > 0, axis=1).tolist())
    return rows


def _results(detections: DetectionColumns, areas: FloatArray, params: EngineParams) -> list[dict[str, Any]]:
    """One dictionary a detection, as ``COCO.loadRes`` makes them."""
    crowd = np.zeros(len(detections), np.int64)
    rows = _rows(detections.image_index, detections.class_ids, areas, crowd)
    _set(rows, "score", detections.scores.tolist())
    if params.iou_type == "bbox":
        _set(rows, "bbox", detections.boxes_xywh_px.tolist())
    elif _source_type(params) == "segm":
        _set(rows, "segmentation", [_segmentation(m) for m in detections.masks or ()])
    elif params.iou_type == "keypoints" and detections.keypoints is not None:
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
    """RLE or polygons as pycocotools takes them; it rasterizes polygons itself."""
    if segmentation is None:
        raise ValueError("an annotation without segmentation cannot be scored by its mask")
    if isinstance(segmentation, RLE):
        return masks.to_coco(segmentation)
    masks.require_near(segmentation)
    return [list(ring) for ring in segmentation]


def _matches(
    run: COCOeval,
    detections: DetectionColumns,
    areas: FloatArray,
    ground_truth: GroundTruthColumns,
    params: EngineParams,
) -> Matches:
    """What ``COCOeval.evaluate`` found, which lists classes, then area ranges, then images."""
    shape = len(ground_truth.classes), len(params.area_ranges_px), len(ground_truth.images)
    table = np.array([*run.evalImgs, None], np.object_)[:-1].reshape(shape)
    by_range = [[one for one in table[:, a].flat if one is not None] for a in range(shape[1])]
    # Ids count from 1 (`_rows`); every range lists the same detections, so that the first will do.
    rows = _joined(by_range[0], lambda one: np.array(one["dtIds"], np.int64) - 1, np.int64)
    ranks = _joined(by_range[0], lambda one: np.arange(len(one["dtIds"])), np.int64)
    hits = [_joined(ones, _hits, np.bool_) for ones in by_range]
    silent = [_joined(ones, lambda one: one["dtIgnore"], np.bool_) for ones in by_range]
    order = np.argsort(detections.image_index[rows], kind="stable")
    rows = rows[order]
    outside = outside_bits(areas[rows], params.area_ranges_px)
    if detections.lenient is not None:
        outside[detections.lenient[rows]] = np.iinfo(np.uint16).max
    count = shape[1] * len(params.iou_thresholds)
    hit, ignored = (
        np.concatenate(flags)[:, order] if len(order) else np.zeros((count, 0), np.bool_)
        for flags in (hits, silent)
    )
    out = (outside[None, :] >> np.arange(shape[1], dtype=np.uint16)[:, None] & 1).astype(np.bool_)
    # COCOeval also flags unmatched detections outside an area range, which `outside` already holds.
    ignored &= ~hit & ~np.repeat(out, len(params.iou_thresholds), axis=0)
    matched = np.flatnonzero(hit.any(axis=0) | ignored.any(axis=0))
    labels = ground_truth.labels
    return Matches(
        image_index=detections.image_index[rows].astype(np.int32),
        class_ids=detections.class_ids[rows].astype(np.int32),
        ranks=ranks[order].astype(np.int32),
        rows=rows.astype(np.uint32),
        scores=detections.scores[rows],
        outside=outside,
        matched=matched.astype(np.uint32),
        hits=pack_bits(hit[:, matched]),
        ignored=pack_bits(ignored[:, matched]),
        positives=count_positives(
            labels.class_ids,
            labels.areas,
            ignored_annotations(labels, params.iou_type),
            shape[0],
            params.area_ranges_px,
        ),
    )


def _hits(one: dict[str, Any]) -> BoolArray:
    hits: BoolArray = np.logical_and(one["dtMatches"], np.logical_not(one["dtIgnore"]))
    return hits


def _joined(ones: list[dict[str, Any]], get: Callable[[dict[str, Any]], Any], dtype: Any) -> Any:
    """A column of all results; the last axis counts detections."""
    arrays = [np.asarray(get(one)) for one in ones]
    kept = [array for array in arrays if array.shape[-1]]
    return np.concatenate(kept, axis=-1).astype(dtype) if kept else np.zeros(0, dtype)
