"""Whether detections and ground truth fit each other, and what of them an IoU type is measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.contract.hints import hint_class_ids
from anydet.errors import EvaluationError
from anydet.evaluation.evaluator import EngineParams
from anydet.evaluation.protocol import CROWDPOSE_SIGMAS, CocoSettings
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.text import listed, shortened
from anydet.types import BoolArray, ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, Labels


def check_tables(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
    """Raise ``EvaluationError`` unless both have the same images table and the ids of one class table."""
    if detections.images != ground_truth.images:
        raise EvaluationError(
            f"detections are over {len(detections.images)} images, ground truth over "
            f"{len(ground_truth.images)}: they must have the same table of images",
            fix="join the detections to the ground truth first; anydet.evaluate does",
        )
    check_class_ids(detections, len(ground_truth.classes))


def check_classes(ground_truth: GroundTruthColumns, classes: ClassTable) -> None:
    """Raise ``EvaluationError`` unless the ground truth is of an evaluator's ``classes``."""
    if ground_truth.classes != classes:
        raise EvaluationError(
            f"ground truth of {len(ground_truth.classes)} classes added to an evaluator of "
            f"{len(classes)} others",
            fix="build the evaluator with the class table of the ground truth",
        )


def check_class_ids(detections: DetectionColumns, classes: int, owner: str = "the data set") -> None:
    """Raise ``EvaluationError`` naming class ids that are not 0 to ``classes`` - 1, and an image with one."""
    ids = detections.class_ids
    wrong = (ids < 0) | (ids >= classes)
    if not wrong.any():
        return
    unknown = np.unique(ids[wrong]).tolist()
    shown = listed(unknown, 10, quotes=False)
    first = detections.images[detections.image_index[np.argmax(wrong)]]
    raise EvaluationError(
        f"class ids that {owner} does not have: {shown} ({wrong.sum()} detections, first in image "
        f"{shortened(first)}); its {classes} classes are 0 to {classes - 1}",
        fix=hint_class_ids(ids, classes)
        + "export with contiguous class ids from 0 (not COCO's 1 to 90) in the order of meta.classes",
    )


def select_columns(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    settings: CocoSettings,
    params: EngineParams,
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Only the columns that are measured, checked, with classes joined or images federated as set.

    Raises ``EvaluationError`` that names what is missing and the first image where.
    """
    old = ground_truth.labels
    found = DetectionColumns(
        detections.images,
        detections.sizes_wh,
        detections.image_index,
        detections.class_ids,
        detections.boxes_xywh_px,
        detections.scores,
        detections.areas,
        areas_stated=detections.areas_stated,
    )
    labels = Labels(old.class_ids, old.boxes_xywh_px, old.areas, old.iscrowd, old.annotation_ids)
    if settings.iou_type in {"segm", "boundary"}:
        found = _with_masks(replace(found, masks=detections.masks), ground_truth)
        labels = replace(labels, segmentations=SegmentationColumn.of(old.segmentations or ()))
    elif settings.iou_type == "keypoints":
        from anydet.evaluation.keypoint_areas import areas_of  # boxes start sooner without it

        count = 0 if params.keypoint_sigmas is None else params.keypoint_sigmas.shape[-1]
        _check_keypoints(detections, ground_truth, count)
        found = replace(found, keypoints=detections.keypoints)
        labels = areas_of(replace(labels, keypoints=old.keypoints, area_stated=old.area_stated), settings)
    elif settings.iou_type == "obb":
        from anydet.evaluation.oriented_columns import corners_of_annotations, corners_of_detections

        found = corners_of_detections(found, detections)
        labels = corners_of_annotations(labels, ground_truth)
    truth = replace(ground_truth, labels=labels)
    if settings.protocol == "lvis":
        found, truth = federate(found, truth, params.max_detections[-1])
    return class_agnostic(found, truth) if settings.class_agnostic else (found, truth)


def class_agnostic(
    detections: DetectionColumns, ground_truth: GroundTruthColumns
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """All classes as one; of equal scores, those of the first class lead, as with ``useCats = 0``."""
    # useCats = 0 concatenates the classes in the order of their source ids; equal scores keep that order.
    rank = np.argsort(np.argsort(ground_truth.classes.source_ids, kind="stable"))
    rows = np.argsort(rank[detections.class_ids], kind="stable")
    found = detections.take(rows)
    order = np.argsort(rank[ground_truth.labels.class_ids], kind="stable")
    labels = ground_truth.labels.take(order)
    return (
        replace(found, class_ids=np.zeros_like(found.class_ids)),
        replace(
            ground_truth,
            image_index=ground_truth.image_index[order],
            labels=replace(labels, class_ids=np.zeros_like(labels.class_ids)),
            classes=ClassTable(("object",)),
        ),
    )


def federate(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, limit: int
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """What LVIS counts: the best detections of each image, of classes that the image was searched for.

    Detections of classes that are not annotated exhaustively on their image are ``lenient``. There are
    no crowds.

    Source: ``LVISResults.limit_dets_per_image`` and ``LVISEval._prepare`` of the package ``lvis``.
    """
    federation = ground_truth.federation
    if federation is None:
        raise EvaluationError(
            "the data set does not state which classes are annotated on which images",
            fix="give LVIS annotations (neg_category_ids, not_exhaustive_category_ids), or --protocol coco",
        )
    classes = len(ground_truth.classes)
    index = detections.image_index
    order = np.lexsort((-detections.scores, index))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(index[order], index[order])
    key = index * classes + detections.class_ids
    present = ground_truth.image_index * classes + ground_truth.labels.class_ids
    absent, incomplete = (
        pairs[:, 0] * classes + pairs[:, 1] for pairs in (federation.absent, federation.incomplete)
    )
    kept = (rank < limit) & np.isin(key, np.concatenate([present, absent]))
    labels = replace(ground_truth.labels, iscrowd=np.zeros(len(ground_truth), np.bool_))
    found = replace(detections, lenient=np.isin(key, incomplete)).take(kept)
    return found, replace(ground_truth, labels=labels)


def _with_masks(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> DetectionColumns:
    """The detections whose masks can be scored; raises where annotations have none, or most detections."""
    from anydet.evaluation.lacking_rows import refuse  # boxes start sooner without it

    truth = SegmentationColumn.of(ground_truth.labels.segmentations or (None,) * len(ground_truth))
    refuse(
        truth.missing,
        ground_truth,
        "annotations have no segmentation",
        "use a data set with masks, or --iou-type bbox",
    )
    refuse(
        ground_truth.sizes_wh[ground_truth.image_index, 0] < 0,
        ground_truth,
        "annotations are in images of unknown size",
        "write width and height into the data set, or image_size into the predictions",
    )
    found = MaskColumn.of(detections.masks or (None,) * len(detections))
    missing = found.missing
    if missing.all():
        fix = "export with an adapter that predicts masks, or use --iou-type bbox"
        refuse(missing, detections, "detections have no mask", fix)
    sizes_wh = ground_truth.sizes_wh[detections.image_index]
    other = ~missing & ((found.sizes_hw[:, ::-1] != sizes_wh) & (sizes_wh >= 0)).any(axis=1)
    if 2 * np.count_nonzero(other) > np.count_nonzero(~missing):
        what = "detections have a mask of another size than their image"
        refuse(other, detections, what, "masks must be of the original image's size")
    if missing.any() or other.any():
        from anydet.evaluation.mask_gaps import filled  # hardly a file has any

        return filled(detections, found, sizes_wh, other)
    return replace(detections, masks=found)


def _check_keypoints(detections: DetectionColumns, ground_truth: GroundTruthColumns, count: int) -> None:
    from anydet.evaluation.lacking_rows import refuse

    _check_same_skeleton(detections, ground_truth)
    for columns, points, what in (
        (ground_truth, ground_truth.labels.keypoints, "annotations"),
        (detections, detections.keypoints, "detections"),
    ):
        if points is None:
            refuse(
                np.ones(len(columns), np.bool_),
                columns,
                f"{what} have no keypoints",
                "use a data set and predictions with keypoints, or --iou-type bbox",
            )
        else:
            _check_equal_counts(columns, points, what)
            if points.shape[1] != count and len(columns):
                crowdpose = " or --protocol crowdpose" * (points.shape[1] == len(CROWDPOSE_SIGMAS))
                raise EvaluationError(
                    f"{what} have {points.shape[1]} keypoints each, but there are {count} sigmas",
                    fix=f"give one sigma a keypoint: --keypoint-sigmas 0.05,0.05,...{crowdpose}",
                )


def _check_same_skeleton(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
    """Raise where both have keypoints, and not equally many: no number of sigmas would fit both."""
    found, truth = detections.keypoints, ground_truth.labels.keypoints
    if found is None or truth is None or not len(found) or not len(truth):
        return
    theirs, own = found.shape[1], truth.shape[1]
    if theirs != own:
        raise EvaluationError(
            f"detections have {theirs} keypoints each, annotations {own}: keypoint i of one is not keypoint "
            "i of the other",
            fix=f"evaluate on a data set with the {theirs} keypoints of the model, or write them as the "
            f"{own} of the data set, in their order (0, 0, 0 for those that it lacks)",
        )


def _check_equal_counts(
    columns: DetectionColumns | GroundTruthColumns, points: FloatArray, what: str
) -> None:
    """Raise unless all rows that have keypoints have equally many; shorter ones end with NaN."""
    known: BoolArray = np.any(~np.isnan(points), axis=2)
    counts = np.where(known.any(axis=1), known.shape[1] - known[:, ::-1].argmax(axis=1), 0)
    stated = counts[counts > 0]
    if not len(stated) or (stated == stated[0]).all():
        return
    parts = []
    for count in sorted(set(stated.tolist())):
        rows = counts == count
        first = columns.images[columns.image_index[int(np.argmax(rows))]]
        parts.append(f"{np.count_nonzero(rows)} have {count} (first in image {shortened(first)})")
    raise EvaluationError(
        f"{what} differ in their number of keypoints: {', '.join(parts)}",
        fix="write all keypoints of every object, those that are not labeled as 0, 0, 0; or put objects with "
        "other keypoints into a file of their own",
    )


def differing_classes(expected: tuple[str, ...], found: tuple[str, ...], *, fix: str) -> EvaluationError:
    """The error of two lists of classes, with the names that only one has, and both lists."""
    return EvaluationError(
        f"class names differ: only in the data set {_only(expected, found)}, only in the predictions "
        f"{_only(found, expected)}",
        details=[f"  data set:    {_names(expected)}", f"  predictions: {_names(found)}"],
        fix=fix,
    )


def _only(names: tuple[str, ...], others: tuple[str, ...]) -> str:
    known = set(others)
    return listed([name for name in names if name not in known]) or "none"


def _names(names: tuple[str, ...]) -> str:
    return listed(names, 20, quotes=False)
