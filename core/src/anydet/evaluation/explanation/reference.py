"""A model beside the one that it was made of: whether quantization, or another conversion, has broken it."""

from __future__ import annotations

import numpy as np

from anydet.data.dataset.image_subset import take_images
from anydet.dataclass import dataclass
from anydet.evaluation.agreement import as_ground_truth
from anydet.evaluation.evaluator import Engine, EngineParams
from anydet.evaluation.explanation.cause import Explanation
from anydet.text import listed
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns, IntArray

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


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """Images and classes of which a file has any detection, among those of which its reference has some.

    Attributes:
        images: (I,) whether the file has a detection there.
        classes: (C,) whether it has one of them.
        lacking_images: positions of images where the reference alone finds something.
        lacking_classes: ids of classes that the reference alone finds.
        of_images: where the reference finds something.
        of_classes: that it finds.
    """

    images: BoolArray
    classes: BoolArray
    lacking_images: IntArray
    lacking_classes: IntArray
    of_images: int
    of_classes: int

    @classmethod
    def of(cls, detections: DetectionColumns, reference: DetectionColumns, images: IntArray) -> Covered:
        """Of two sides over the same images, on some of them."""
        looked_at = np.isin(reference.image_index, images)
        classes = 1 + max(int(side.class_ids.max(initial=-1)) for side in (detections, reference))
        there = np.bincount(detections.image_index, minlength=len(detections.images)) > 0
        known = np.bincount(detections.class_ids, minlength=classes) > 0
        wanted_images = np.unique(reference.image_index[looked_at])
        wanted_classes = np.unique(reference.class_ids[looked_at])
        return cls(
            there,
            known,
            wanted_images[~there[wanted_images]],
            wanted_classes[~known[wanted_classes]],
            len(wanted_images),
            len(wanted_classes),
        )

    def kept(self, reference: DetectionColumns) -> DetectionColumns:
        """The reference's detections of what the file covers."""
        return reference.take(self.images[reference.image_index] & self.classes[reference.class_ids])


def left_out(covered: Covered, truth: GroundTruthColumns, *, aps: tuple[float, float, float]) -> Explanation:
    """That a file is not of all images or classes, and is as good as its reference where it is.

    Args:
        covered: what the file has detections of.
        truth: names of images and classes.
        aps: AP of the file, of the reference, and of the reference's detections of what the file covers.
    """
    parts = []
    if len(covered.lacking_images):
        names = listed([truth.images[at] for at in covered.lacking_images.tolist()], 3)
        parts.append(f"{len(covered.lacking_images)} of {covered.of_images} images ({names})")
    if len(covered.lacking_classes):
        known = truth.classes
        ids = covered.lacking_classes.tolist()
        names = listed([known.names[at] if at < len(known) else str(at) for at in ids], 3)
        parts.append(f"{len(ids)} of {covered.of_classes} classes ({names})")
    ap, reference_ap, kept_ap = aps
    return Explanation(
        f"the file has no detection of {' and of '.join(parts)} of which the reference has some",
        "predict all images and classes with both: the same split, --max-images, and names of classes",
        f"AP {ap:.3f}, of the reference {reference_ap:.3f}, and {kept_ap:.3f} without what the file lacks",
        reference_ap - kept_ap,
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
