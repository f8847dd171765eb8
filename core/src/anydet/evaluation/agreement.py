"""How far a model finds what another one finds: the detections of one as ground truth of the other.

Differences between two models of which one was made of the other, by quantization say, are smaller than what
AP on few annotated images can tell apart. That the one gives the other's detections again can be counted on
the same images with far less noise, by the same evaluator.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.types import DetectionColumns, GroundTruthColumns, Labels


def as_ground_truth(
    reference: DetectionColumns, truth: GroundTruthColumns, count: int | None = None
) -> GroundTruthColumns:
    """The best detections of a model as annotations of the same images.

    Args:
        reference: detections over ``truth.images``, of ``truth.classes``.
        truth: whose images and classes are taken.
        count: how many detections, best scores first, of all images together; by default as many as ``truth``
            has annotations that are no crowds, so that no threshold has to fit the scores of the model.
    """
    if count is None:
        count = int(np.count_nonzero(~truth.labels.iscrowd))
    best = np.sort(np.argsort(-reference.scores, kind="stable")[:count])
    taken = reference.take(best)
    labels = Labels(
        class_ids=taken.class_ids,
        boxes_xywh_px=taken.boxes_xywh_px,
        areas=taken.areas,
        iscrowd=np.zeros(len(taken), np.bool_),
    )
    return replace(
        truth, image_index=taken.image_index, labels=labels, source="predictions", federation=None, about=None
    )
