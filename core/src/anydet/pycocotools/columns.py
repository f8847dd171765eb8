"""What an evaluator of pycocotools' kind is given, as columns that engines match."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from pycocotools.coco import COCO

from anydet.evaluation.evaluator import EngineParams
from anydet.evaluation.matches import MOST_AREAS, MOST_CELLS, MOST_DETECTIONS, MOST_LIMITS, MOST_THRESHOLDS
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.types import (
    ClassTable,
    DetectionColumns,
    FloatArray,
    GroundTruthColumns,
    IntArray,
    Labels,
)

Annotation: TypeAlias = dict[str, Any]


class UnusualError(Exception):
    """Something that only pycocotools' own code evaluates as pycocotools does."""


def annotations_of(coco: Any, params: Any) -> list[Annotation]:
    """Annotations that are evaluated, image by image, as ``COCOeval._prepare`` takes them."""
    images, wanted = params.imgIds, set(params.catIds)
    if (type(coco).getAnnIds, type(coco).loadAnns) != (COCO.getAnnIds, COCO.loadAnns):
        chosen = coco.loadAnns(coco.getAnnIds(imgIds=images))
        return [one for one in chosen if one["category_id"] in wanted]
    index, by_id = coco.imgToAnns, coco.anns
    # By id: of annotations with one id, pycocotools takes the last one as often as there are any.
    return [
        by_id[one["id"]]
        for image in images
        if image in index
        for one in index[image]
        if one["category_id"] in wanted
    ]


def engine_params(params: Any) -> EngineParams:
    """``COCOeval.params`` under their long names.

    Raises:
        UnusualError: there is one that engines do not take.
    """
    thresholds, recalls = _numbers(params.iouThrs), _numbers(params.recThrs)
    areas = _numbers(params.areaRng)
    limits = tuple(params.maxDets)
    keypoints = params.iouType == "keypoints"
    _need(params.iouType in {"bbox", "segm", "keypoints"} and params.useCats in (0, 1))
    # OKS of all classes as one is not computed by pycocotools, which looks for class -1.
    _need(bool(params.useCats) or not keypoints)
    _need(len(params.imgIds) > 0 and len(params.catIds) > 0)
    _need(len(set(params.catIds)) == len(params.catIds))
    _need(1 <= len(thresholds) <= MOST_THRESHOLDS and _within(thresholds, 0, 1))
    _need(len(recalls) > 0 and bool((np.diff(recalls) >= 0).all()))
    _need(areas.ndim == 2 and areas.shape[1] == 2 and 1 <= len(areas) <= MOST_AREAS)
    _need(1 <= len(limits) <= MOST_LIMITS)
    _need(all(isinstance(most, int | np.integer) and 1 <= most <= MOST_DETECTIONS for most in limits))
    classes = len(params.catIds) if params.useCats else 1
    _need(math.prod((len(thresholds), len(recalls), classes, len(areas), len(limits))) <= MOST_CELLS)
    return EngineParams(
        iou_type=params.iouType,
        iou_thresholds=thresholds,
        recall_thresholds=recalls,
        area_ranges_px=areas,
        max_detections=tuple(int(most) for most in limits),
        keypoint_sigmas=_numbers(params.kpt_oks_sigmas) if keypoints else None,
        pycocotools_quirks=True,
    )


def truth_columns(
    coco: Any, rows: Sequence[Annotation], params: Any, counted: EngineParams
) -> GroundTruthColumns:
    """Annotations as columns; raises ``UnusualError`` where they do not fit in."""
    ids, crowd = _integers([one["id"] for one in rows]), _numbers([one["iscrowd"] for one in rows])
    _need(np.count_nonzero(ids == 0) <= 1 and bool(np.isin(crowd, (0, 1)).all()))
    segmentations, points = None, None
    boxes = np.zeros((len(rows), 4))
    if counted.iou_type == "segm":
        masks = _masks(coco, rows)
        none, rings = np.zeros((2, len(rows)), np.int64)
        segmentations = SegmentationColumn(masks, none, rings, np.zeros(1, np.int64), np.zeros(0))
    else:
        boxes = _boxes(rows)
    if counted.iou_type == "keypoints":
        points = _keypoints(rows, counted)
        labeled = (points[:, :, 2] > 0).any(axis=1)
        # pycocotools takes the number that is stated, engines count.
        _need(np.array_equal(labeled, [one["num_keypoints"] != 0 for one in rows]))
    return GroundTruthColumns(
        images=_keys(params),
        sizes_wh=np.full((len(params.imgIds), 2), -1, np.int64),
        image_index=_image_index(rows, params),
        labels=Labels(
            _class_ids(rows, params),
            boxes,
            _column(rows, "area"),
            crowd.astype(np.bool_),
            annotation_ids=ids,
            segmentations=segmentations,
            keypoints=points,
        ),
        classes=ClassTable(tuple(map(str, params.catIds)) if params.useCats else ("object",)),
        source="COCO",
    )


def detection_columns(
    coco: Any, rows: Sequence[Annotation], params: Any, counted: EngineParams
) -> DetectionColumns:
    """Results as columns; raises ``UnusualError`` where they do not fit in."""
    ids = _integers([one["id"] for one in rows])
    # An annotation that was matched by a result with id 0 is free for pycocotools.
    _need(bool((ids > 0).all()))
    kind = counted.iou_type
    return DetectionColumns(
        images=_keys(params),
        sizes_wh=np.full((len(params.imgIds), 2), -1, np.int64),
        image_index=_image_index(rows, params),
        class_ids=_class_ids(rows, params),
        boxes_xywh_px=_boxes(rows) if kind == "bbox" else np.zeros((len(rows), 4)),
        scores=_column(rows, "score"),
        areas=_column(rows, "area"),
        masks=_masks(coco, rows) if kind == "segm" else None,
        keypoints=_keypoints(rows, counted) if kind == "keypoints" else None,
        areas_stated=True,
    )


def by_class(rows: list[Annotation], params: Any) -> list[Annotation]:
    """Annotations in the order in which pycocotools joins classes where ``useCats`` is 0."""
    if params.useCats:
        return rows
    place = {class_id: i for i, class_id in enumerate(params.catIds)}
    return sorted(rows, key=lambda one: place[one["category_id"]])


def set_ignored(rows: Sequence[Annotation], iou_type: str) -> None:
    """Write ``ignore`` into annotations, as ``COCOeval._prepare`` does."""
    for one in rows:
        one["ignore"] = "iscrowd" in one and one["iscrowd"]
        if iou_type == "keypoints":
            one["ignore"] = one["num_keypoints"] == 0 or one["ignore"]


def set_masks(coco: Any, rows: Sequence[Annotation]) -> None:
    """Put run-length codes in place of polygons, as ``COCOeval._prepare`` does."""
    for one in rows:
        one["segmentation"] = COCO.annToRLE(coco, one)


def _need(usual: object) -> None:
    if not usual:
        raise UnusualError


def _numbers(values: Any) -> FloatArray:
    """Finite float64."""
    found = np.asarray(values)
    # numpy compares float32 with Python's numbers as float32, and so does pycocotools.
    _need(found.size == 0 or (found.dtype.kind in "iub" or found.dtype == np.float64))
    numbers = found.astype(np.float64)
    _need(bool(np.isfinite(numbers).all()))
    return numbers


def _within(values: FloatArray, least: float, most: float) -> bool:
    return bool(((values >= least) & (values <= most)).all())


def _integers(values: list[Any]) -> IntArray:
    found = np.array(values) if values else np.zeros(0, np.int64)
    _need(found.dtype.kind in "iu" and found.ndim == 1)
    return found.astype(np.int64)


def _column(rows: Sequence[Annotation], name: str) -> FloatArray:
    return _numbers([one[name] for one in rows])


def _boxes(rows: Sequence[Annotation]) -> FloatArray:
    found = np.array([one["bbox"] for one in rows], np.float64) if rows else np.zeros((0, 4))
    _need(found.ndim == 2 and found.shape[1] == 4 and bool(np.isfinite(found).all()))
    return found


def _keypoints(rows: Sequence[Annotation], counted: EngineParams) -> FloatArray:
    sigmas = counted.keypoint_sigmas
    count = 0 if sigmas is None else len(sigmas)
    _need(count > 0 and sigmas is not None and sigmas.ndim == 1 and bool((sigmas > 0).all()))
    found = _numbers([one["keypoints"] for one in rows]) if rows else np.zeros((0, count * 3))
    _need(found.shape == (len(rows), count * 3))
    return found.reshape(-1, count, 3)


def _masks(coco: Any, rows: Sequence[Annotation]) -> MaskColumn:
    codes: list[Mapping[str, Any]] = [COCO.annToRLE(coco, one) for one in rows]
    texts = [code["counts"] for code in codes]
    coded = [text if isinstance(text, bytes) else text.encode("ascii") for text in texts]
    ends = np.cumsum([len(text) for text in coded], dtype=np.int64)
    sizes = np.array([code["size"] for code in codes], np.int64).reshape(-1, 2)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(coded)]
    return MaskColumn(sizes, starts, ends, np.frombuffer(b"".join(coded), np.uint8))


def _keys(params: Any) -> tuple[str, ...]:
    return tuple(map(str, params.imgIds))


def _image_index(rows: Sequence[Annotation], params: Any) -> IntArray:
    place = {image: i for i, image in enumerate(params.imgIds)}
    return np.array([place[one["image_id"]] for one in rows], np.int64)


def _class_ids(rows: Sequence[Annotation], params: Any) -> IntArray:
    if not params.useCats:
        return np.zeros(len(rows), np.int64)
    place = {class_id: i for i, class_id in enumerate(params.catIds)}
    return np.array([place[one["category_id"]] for one in rows], np.int64)
