"""The engine: columns in, matches and curves out; the work is done by ``_engine``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anydet.errors import EvaluationError
from anydet.evaluation.evaluator import EngineArrays, EngineParams
from anydet.evaluation.matches import Matches, count_positives, ignored_annotations
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns, IntArray, Labels
from anydet_fasteval import _engine
from anydet_fasteval.scanner import CompiledScanner

if TYPE_CHECKING:
    from anydet.evaluation.analysis.resampling import ClassRows

_ROWS_PER_THREAD = 5_000
_KEYPOINT_ROWS = 20_000
_KEYPOINTS_AT_ONCE = 1 << 24
"""Of pairs that are compared: 128 MiB of exponents, however many annotations an image has."""


class FastEngine:
    """Arrays equal to pycocotools' in every bit, with one thread or many.

    Args:
        threads: how many to use, 1024 at most; as many as the process may run on by default.
    """

    name = "fasteval"
    version = _engine.version

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            from anydet.arguments import MOST_THREADS, require_integer

            require_integer("threads", threads, 1, MOST_THREADS)
        self.threads = threads or available_cores()

    @property
    def scanner(self) -> CompiledScanner:
        """The scanner that reads with as many threads."""
        return CompiledScanner(self.threads)

    def resampler(
        self, rows: ClassRows, weights: NDArray[np.int32], params: EngineParams
    ) -> tuple[FloatArray, FloatArray]:
        """Averages of one class's curves on resampled images; ``resampling.Resampler`` says how."""
        from anydet_fasteval import _bootstrap

        precision, recall = _bootstrap.resample_class(
            rows.images,
            rows.ranks,
            rows.outside,
            rows.matched,
            rows.hits,
            rows.ignored,
            rows.positive_images,
            rows.positive_outside,
            weights,
            len(params.area_ranges_px),
            len(params.iou_thresholds),
            list(params.max_detections),
            params.recall_thresholds.tolist(),
        )
        return precision, recall

    def match(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
    ) -> Matches:
        """The matches; both arguments have the same images and class ids.

        Raises:
            EvaluationError: a column, mask or setting cannot be scored, or there is not enough memory.
        """
        with _explained(ground_truth.source):
            return self._matches(detections, ground_truth, params)

    def _matches(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
    ) -> Matches:
        labels, classes = ground_truth.labels, len(ground_truth.classes)
        ignored = ignored_annotations(labels, params.iou_type)
        limits = _engine.Limits(
            len(ground_truth.images),
            classes,
            params.iou_thresholds.tolist(),
            _column(params.area_ranges_px, np.float64, 2),
            max(params.max_detections, default=0),
        )
        truth = _engine.Truth(
            _column(ground_truth.image_index, np.int64),
            _column(labels.class_ids, np.int64),
            _column(labels.areas, np.float64),
            _column(labels.iscrowd, np.uint8),
            _column(ignored, np.uint8),
            _unseen(labels, params),
        )
        positives = count_positives(labels.class_ids, labels.areas, ignored, classes, params.area_ranges_px)
        return Matches(**self._match(detections, ground_truth, truth, limits, params), positives=positives)

    def accumulate(self, matches: Matches, params: EngineParams) -> EngineArrays:
        """Arrays over all images and classes.

        Raises:
            EvaluationError: the matches are not of these parameters, or there is not enough memory.
        """
        with _explained("matches"):
            return EngineArrays(
                *_engine.accumulate(
                    matches.image_index,
                    matches.class_ids,
                    matches.ranks,
                    matches.scores,
                    matches.outside,
                    matches.matched,
                    matches.hits,
                    matches.ignored,
                    matches.positives,
                    len(params.iou_thresholds),
                    params.recall_thresholds.tolist(),
                    list(params.max_detections),
                    self._workers(len(matches)),
                )
            )

    def _match(
        self,
        detections: DetectionColumns,
        ground_truth: GroundTruthColumns,
        truth: Any,
        limits: Any,
        params: EngineParams,
    ) -> dict[str, Any]:
        labels, workers = ground_truth.labels, self._workers(len(detections))
        found = _detections(detections)
        if params.iou_type in {"segm", "boundary"}:
            masks = _masks(MaskColumn.of(detections.masks or ()))
            shapes = _segmentations(labels, ground_truth)
            ratio = params.dilation_ratio if params.iou_type == "boundary" else None
            measured = not detections.areas_stated
            return dict(_engine.match_masks(found, masks, truth, shapes, limits, ratio, measured, workers))
        if params.iou_type == "bbox":
            boxes = _column(detections.boxes_xywh_px, np.float64, 4)
            truth_boxes = _column(labels.boxes_xywh_px, np.float64, 4)
            return dict(_engine.match_boxes(found, boxes, truth, truth_boxes, limits, workers))
        starts, annotations, overlaps = _similarities(
            detections, ground_truth, truth, limits, params, workers=workers
        )
        return dict(_engine.match_known(found, truth, limits, starts, annotations, overlaps, workers))

    def _workers(self, rows: int) -> int:
        return max(1, min(self.threads, rows // _ROWS_PER_THREAD))


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """What the compiled code refuses, as an error of ours."""
    try:
        yield
    except (ValueError, OverflowError) as exc:
        raise EvaluationError(
            f"{source}: {exc}", fix="correct it in the annotations or the predictions"
        ) from exc
    except MemoryError as exc:
        raise EvaluationError(
            f"{source}: not enough memory to evaluate it",
            fix="raise the limit of memory (ulimit -v), or evaluate fewer images or thresholds at a time",
        ) from exc


def _column(values: Any, dtype: type[np.generic], *shape: int) -> NDArray[Any]:
    """As the compiled code takes it, which converts nothing; copied only where it must be.

    Raises:
        ValueError: it has another shape, or numbers that ``dtype`` does not hold.
    """
    array = np.asarray(values)
    if not np.can_cast(array.dtype, dtype) or array.shape[1:] != shape:
        given = f"a column of {array.dtype} and shape {array.shape}"
        raise ValueError(f"{given}, expected {np.dtype(dtype)} and shape {('N', *shape)}")
    return np.require(array, dtype, ("C", "A"))


def _detections(detections: DetectionColumns, rows: slice = slice(None)) -> Any:
    lenient = detections.lenient
    return _engine.Detections(
        _column(detections.image_index[rows], np.int64),
        _column(detections.class_ids[rows], np.int64),
        _column(detections.scores[rows], np.float64),
        _column(detections.areas[rows], np.float64),
        None if lenient is None else _column(lenient[rows], np.uint8),
    )


def _unseen(labels: Labels, params: EngineParams) -> int:
    """Row of the annotation whose matches pycocotools does not see, or -1."""
    if not params.pycocotools_quirks or labels.annotation_ids is None:
        return -1
    rows = np.flatnonzero(labels.annotation_ids == 0)
    return int(rows[0]) if len(rows) else -1


def _masks(column: MaskColumn) -> Any:
    return _engine.Segmentations(*_codes(column))


def _codes(column: MaskColumn) -> tuple[NDArray[Any], ...]:
    return (
        _column(column.sizes_hw, np.int64, 2),
        _column(column.starts, np.int64),
        _column(column.ends, np.int64),
        _column(column.text, np.uint8),
    )


def _segmentations(labels: Labels, ground_truth: GroundTruthColumns) -> Any:
    column = SegmentationColumn.of(labels.segmentations or ())
    return _engine.Segmentations(
        *_codes(column.masks),
        _column(column.ring_starts, np.int64),
        _column(column.ring_ends, np.int64),
        _column(column.offsets, np.int64),
        _column(column.points, np.float64),
        _column(ground_truth.sizes_wh[ground_truth.image_index][:, ::-1], np.int64, 2),
    )


def _similarities(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    truth: Any,
    limits: Any,
    params: EngineParams,
    *,
    workers: int,
) -> tuple[IntArray, Any, FloatArray]:
    """OKS of the pairs of one class and image that may reach the lowest threshold.

    numpy takes the exponentials, as it does for pycocotools.

    Returns:
        (N + 1,) where the pairs of a detection begin, then annotation and OKS of each pair.
    """
    labels = ground_truth.labels
    given = np.zeros((1, 0)) if params.keypoint_sigmas is None else np.atleast_2d(params.keypoint_sigmas)
    sigmas = np.broadcast_to(given, (limits.classes, given.shape[1]))
    # A keypoint nobody predicted is infinitely far from every true one.
    found = _filled(detections.keypoints, sigmas.shape[1], np.inf)
    known = _filled(labels.keypoints, sigmas.shape[1], 0.0)
    boxes = _column(labels.boxes_xywh_px, np.float64, 4)
    variances = _column((sigmas * 2) ** 2, np.float64, sigmas.shape[1])
    counts, annotations, overlaps = [np.zeros(1, np.int64)], [np.zeros(0, np.uint32)], [np.zeros(0)]
    for rows in _keypoint_chunks(detections, ground_truth, sigmas.shape[1]):
        chunk = _detections(detections, rows)
        pairs = _engine.keypoint_exponents(
            chunk, found[rows], truth, known, boxes, variances, limits, workers
        )
        with np.errstate(over="ignore"):  # negative areas, whose OKS is beyond 1, as pycocotools has it
            values = np.exp(pairs["exponents"], out=pairs["exponents"])
        counts.append(pairs["counts"])
        annotations.append(pairs["annotations"])
        overlaps.append(_engine.keypoint_means(values, pairs["sizes"]))
    return np.cumsum(np.concatenate(counts)), np.concatenate(annotations), np.concatenate(overlaps)


def _keypoint_chunks(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, keypoints: int
) -> Iterator[slice]:
    """Rows whose pairs with all annotations of their images have few keypoints, one row at least."""
    of_image = np.bincount(ground_truth.image_index, minlength=len(ground_truth.images))
    ends = np.cumsum(of_image[detections.image_index] * keypoints)
    first = 0
    while first < len(detections):
        before = ends[first - 1] if first else 0
        fitting = int(np.searchsorted(ends, before + _KEYPOINTS_AT_ONCE, "right"))
        last = min(max(fitting, first + 1), first + _KEYPOINT_ROWS)
        yield slice(first, last)
        first = last


def _filled(keypoints: FloatArray | None, count: int, missing: float) -> FloatArray:
    """(N, K, 3) with a number in place of NaN; copied only where there is one."""
    if keypoints is None:
        return np.zeros((0, count, 3))
    points = _column(keypoints, np.float64, count, 3)
    return np.where(np.isnan(points), missing, points) if np.isnan(points.sum()) else points
