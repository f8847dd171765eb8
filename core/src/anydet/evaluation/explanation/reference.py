"""A model beside the one that it was made of: whether quantization, or another conversion, has broken it."""

from __future__ import annotations

import numpy as np

from anydet.evaluation.agreement import as_ground_truth
from anydet.evaluation.evaluator import Engine, EngineParams
from anydet.evaluation.explanation.cause import Explanation
from anydet.evaluation.image_subset import take_images
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray

_WHAT_TO_DO = (
    "quantize the float model again with 'anydet quantize', which leaves layers in float that cost AP; if it "
    "was converted otherwise, 'anydet parity --locate' names the step"
)


def over_images_of(
    reference: DetectionColumns, truth: GroundTruthColumns, wanted: GroundTruthColumns
) -> DetectionColumns:
    """Detections of a reference over the images of ``wanted``; images that it lacks have none.

    Args:
        reference: detections over ``truth.images``.
        truth: ground truth that the reference was joined to.
        wanted: of the same data set, maybe of other images.
    """
    if truth.images == wanted.images:
        return reference
    there = {key: at for at, key in enumerate(truth.images)}
    common = [at for at, key in enumerate(wanted.images) if key in there]
    order = np.array([there[wanted.images[at]] for at in common], np.int64)
    found, _ = take_images(reference, truth, order)
    index = np.array(common, np.int64)[found.image_index]
    return DetectionColumns(
        wanted.images,
        wanted.sizes_wh,
        index,
        found.class_ids,
        found.boxes_xywh_px,
        found.scores,
        found.areas,
    )


def collapse(
    detections: DetectionColumns,
    reference: DetectionColumns,
    truth: GroundTruthColumns,
    images: IntArray,
    engine: Engine,
    *,
    params: EngineParams,
    aps: tuple[float, float],
) -> Explanation:
    """That a model does not give any more what the one that it was made of gives.

    Args:
        detections: of the model, over ``truth.images``.
        reference: of the model that it was made of, over the same.
        truth: ground truth.
        images: positions of the images that are looked at.
        engine: matches detections.
        params: what it counts.
        aps: AP of the model and of the reference on those images.
    """
    wanted = as_ground_truth(reference, truth)
    found, wanted = take_images(detections, wanted, images)
    true, _ = engine.match(found, wanted, params).states(0, 0)
    again, all_of_them = int(np.count_nonzero(true)), len(wanted)
    ap, reference_ap = aps
    return Explanation(
        "the model has lost what the reference finds: it was quantized or converted with too much loss",
        _WHAT_TO_DO,
        f"AP {ap:.3f}, of the reference {reference_ap:.3f} on {len(images)} images; of the reference's "
        f"{all_of_them} best detections {again / max(1, all_of_them):.0%} are found again; the best score of "
        f"an image is {_best_score(found):.2g} in the median, of the reference "
        f"{_best_score(take_images(reference, truth, images)[0]):.2g}",
        reference_ap - ap,
    )


def _best_score(found: DetectionColumns) -> float:
    """Median over images of their best score, 0 where one has no detection."""
    best = np.zeros(len(found.images))
    np.maximum.at(best, found.image_index, found.scores)
    return float(np.median(best)) if len(best) else 0.0
