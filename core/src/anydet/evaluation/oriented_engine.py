"""The engine of oriented boxes: COCO's matching on the exact IoU of convex polygons, in numpy.

Other engines know upright boxes. Everything but the overlap is COCO's: ``COCOeval.evaluateImg``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.evaluation import curves
from anydet.evaluation.evaluator import EngineArrays, EngineParams
from anydet.evaluation.greedy_matching import Overlaps, at_least, claim, keys_of, overlaps, ranks_of
from anydet.evaluation.matches import Matches, count_positives, outside_bits, pack_bits
from anydet.geometry.oriented import oriented_iou
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, IntArray
from anydet.version import __version__


class OrientedEngine:
    """Matches oriented boxes, whose corners are the keypoints of both sides (``oriented_columns``)."""

    name = "oriented"
    version = __version__
    threads = 1
    scanner = None

    def match(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
    ) -> Matches:
        """The matches; both arguments have the same images and class ids."""
        keys = keys_of(detections, ground_truth, class_agnostic=False)[0]
        ranks = ranks_of(detections, keys)
        found = oriented_overlaps(detections, ground_truth)
        rows = np.flatnonzero(ranks < params.max_detections[-1])
        rows = rows[np.lexsort((ranks[rows], detections.class_ids[rows], detections.image_index[rows]))]
        hits, ignored = _flags(found, ranks, len(detections), ground_truth, params)
        hits, ignored = hits[:, rows], ignored[:, rows]
        matched = np.flatnonzero(hits.any(axis=0) | ignored.any(axis=0))
        labels = ground_truth.labels
        areas = params.area_ranges_px
        return Matches(
            image_index=detections.image_index[rows].astype(np.int32),
            class_ids=detections.class_ids[rows].astype(np.int32),
            ranks=ranks[rows].astype(np.int32),
            rows=rows.astype(np.uint32),
            scores=detections.scores[rows],
            outside=outside_bits(detections.areas[rows], areas),
            matched=matched.astype(np.uint32),
            hits=pack_bits(hits[:, matched]),
            ignored=pack_bits(ignored[:, matched]),
            positives=count_positives(
                labels.class_ids, labels.areas, labels.iscrowd, len(ground_truth.classes), areas
            ),
        )

    def accumulate(self, matches: Matches, params: EngineParams) -> EngineArrays:
        """Arrays over all images and classes."""
        return curves.accumulate(matches, params)


def oriented_overlaps(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Overlaps:
    """Pairs of one image and class that overlap, with the IoU of their polygons.

    Args:
        detections: with corners as keypoints and boxes around them.
        ground_truth: likewise; with crowds, IoU is the fraction of the detection inside.
    """
    labels = ground_truth.labels
    assert detections.keypoints is not None, "corners of detections"
    assert labels.keypoints is not None, "corners of annotations"
    # Polygons whose enclosing boxes do not overlap do not either.
    near = overlaps(detections, ground_truth, least=np.nextafter(0.0, 1.0))
    iou = oriented_iou(
        detections.keypoints[near.detections, :, :2],
        labels.keypoints[near.annotations, :, :2],
        labels.iscrowd[near.annotations],
    )
    kept = iou > 0
    return replace(near, detections=near.detections[kept], annotations=near.annotations[kept], iou=iou[kept])


def _flags(
    found: Overlaps, ranks: IntArray, count: int, ground_truth: GroundTruthColumns, params: EngineParams
) -> tuple[BoolArray, BoolArray]:
    """(A * T, N) where a detection matched an annotation that counts, and one that does not."""
    labels, thresholds = ground_truth.labels, params.iou_thresholds
    outside = _outside(labels.areas, params.area_ranges_px)
    hits, ignored = np.zeros((2, len(outside) * len(thresholds), count), np.bool_)
    crowd, rank = labels.iscrowd[found.annotations], ranks[found.detections]
    for a in range(len(outside)):
        silent = (labels.iscrowd | outside[a])[found.annotations]
        # Annotations that count come first, whatever the others overlap; of equal ones the last.
        order = np.lexsort((found.annotations, found.iou, ~silent, found.detections, rank))
        for t, threshold in enumerate(thresholds.tolist()):
            able = order[found.iou[order] >= at_least(threshold)]
            best = claim(found, able, rank[able], crowd, params.max_detections[-1])
            bit = a * len(thresholds) + t
            hits[bit, found.detections[best]] = ~silent[best]
            ignored[bit, found.detections[best]] = silent[best]
    return hits, ignored


def _outside(areas: FloatArray, area_ranges_px: FloatArray) -> BoolArray:
    """(A, G) whether an annotation is outside each area range."""
    low, high = area_ranges_px.T[:, :, None]
    outside: BoolArray = (areas < low) | (areas > high)
    return outside
