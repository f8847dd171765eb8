"""Whether detections and ground truth fit each other, and what of them an IoU type is measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.errors import EvaluationError
from anydet.evaluation.evaluator import EngineParams
from anydet.geometry import masks
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns, Labels


def check_tables(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
    """Raise ``EvaluationError`` unless both share one images table and the ids of one class table."""
    if detections.images != ground_truth.images:
        raise EvaluationError(
            f"detections are over {len(detections.images)} images, ground truth over "
            f"{len(ground_truth.images)}: they must share one table",
            fix="use anydet.evaluation.align.align first",
        )
    check_class_ids(detections, len(ground_truth.classes))


def check_class_ids(detections: DetectionColumns, classes: int, owner: str = "the data set") -> None:
    """Raise ``EvaluationError`` naming class ids that are not 0 to ``classes`` - 1, and an image with one."""
    ids = detections.class_ids
    wrong = (ids < 0) | (ids >= classes)
    if not wrong.any():
        return
    unknown = np.unique(ids[wrong]).tolist()
    shown = ", ".join(map(str, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
    first = detections.images[detections.image_index[np.argmax(wrong)]]
    raise EvaluationError(
        f"class ids that {owner} does not have: {shown} ({wrong.sum()} detections, first in image "
        f"{first}); its {classes} classes are 0 to {classes - 1}",
        fix="export with contiguous class ids from 0 (not COCO's 1 to 90) in the order of meta.classes",
    )


def comparable(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Only the columns that the IoU type is measured on, checked; the rest is let go.

    The area of a detection is that of its mask for ``segm``, else its box's width x height.
    Raises ``EvaluationError`` that names what is missing and the first image where.
    """
    boxes = detections.boxes_xywh_px
    found = DetectionColumns(
        detections.images,
        detections.sizes_wh,
        detections.image_index,
        detections.class_ids,
        boxes,
        detections.scores,
        areas=boxes[:, 2] * boxes[:, 3],
    )
    old = ground_truth.labels
    labels = Labels(old.class_ids, old.boxes_xywh_px, old.areas, old.iscrowd)
    if params.iou_type == "segm":
        _check_masks(detections, ground_truth)
        areas = np.array([masks.area(mask) for mask in detections.masks or () if mask], np.float64)
        found = replace(found, masks=detections.masks, areas=areas)
        labels = replace(labels, segmentations=old.segmentations)
    elif params.iou_type == "keypoints":
        count = 0 if params.keypoint_sigmas is None else len(params.keypoint_sigmas)
        _check_keypoints(detections, ground_truth, count)
        found = replace(found, keypoints=detections.keypoints)
        labels = replace(labels, keypoints=old.keypoints)
    return found, replace(ground_truth, labels=labels)


def _check_masks(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
    truth = ground_truth.labels.segmentations or (None,) * len(ground_truth)
    _refuse(
        np.array([not segmentation for segmentation in truth], np.bool_),
        ground_truth,
        "annotations have no segmentation",
        "use a data set with masks, or --iou-type bbox",
    )
    _refuse(
        ground_truth.sizes_wh[ground_truth.image_index, 0] < 0,
        ground_truth,
        "annotations are in images of unknown size",
        "write width and height into the data set, or image_size into the predictions",
    )
    found = detections.masks or (None,) * len(detections)
    _refuse(
        np.array([mask is None for mask in found], np.bool_),
        detections,
        "detections have no mask",
        "export with an adapter that predicts masks, or use --iou-type bbox",
    )
    sizes_hw = np.array([mask.size_hw for mask in found if mask], np.int64).reshape(-1, 2)
    sizes_wh = ground_truth.sizes_wh[detections.image_index]
    _refuse(
        ((sizes_hw[:, ::-1] != sizes_wh) & (sizes_wh >= 0)).any(axis=1),
        detections,
        "detections have a mask of another size than their image",
        "masks must be of the original image's size",
    )


def _check_keypoints(detections: DetectionColumns, ground_truth: GroundTruthColumns, count: int) -> None:
    for columns, points, what in (
        (ground_truth, ground_truth.labels.keypoints, "annotations"),
        (detections, detections.keypoints, "detections"),
    ):
        if points is None:
            _refuse(
                np.ones(len(columns), np.bool_),
                columns,
                f"{what} have no keypoints",
                "use a data set and predictions with keypoints, or --iou-type bbox",
            )
        elif points.shape[1] != count and len(columns):
            raise EvaluationError(
                f"{what} have {points.shape[1]} keypoints each, but there are {count} sigmas",
                fix="give one sigma a keypoint: --keypoint-sigmas 0.05,0.05,...",
            )


def _refuse(wrong: BoolArray, columns: DetectionColumns | GroundTruthColumns, problem: str, fix: str) -> None:
    """Raise for the rows that are wrong, with their number and the first one's image."""
    if wrong.any():
        image = columns.images[columns.image_index[np.argmax(wrong)]]
        raise EvaluationError(
            f"{np.count_nonzero(wrong)} of {len(wrong)} {problem} (first in image {image})", fix=fix
        )


def differing_classes(expected: tuple[str, ...], found: tuple[str, ...]) -> str:
    """What two lists of class names do not share, and both lists."""
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    return (
        f"class names differ: only in the data set {missing or 'none'}, only in the predictions "
        f"{surplus or 'none'}\n  data set:    {', '.join(expected)}\n  predictions: {', '.join(found)}"
    )
