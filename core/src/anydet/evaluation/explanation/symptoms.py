"""Mistakes that cannot be undone, because what is missing is not in the file; they show in the numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anydet.contract.hints import RAW_SCORES
from anydet.dataclass import dataclass
from anydet.evaluation.explanation.cause import Explanation
from anydet.evaluation.matches import Matches
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns, IntArray

_FEWEST = 50
"""Detections below which scores show nothing."""
_TINY_PX = 2.0
"""Boxes that small are objects in hardly any data set."""
_NEARLY_ALL = 0.95
_ZERO = 5e-5
"""Scores below it are printed as 0.0000."""
LEAST_PROMISE = 0.1
"""A cut is reported where more detections, as often right as the last ones that are kept, may find this part
of the annotations; half of it for limits, which cut only some images."""
_SIGMOID_OF_ONE = 1 / (1 + np.exp(-1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What symptoms are looked for in.

    Attributes:
        detections: all of them.
        truth: ground truth of all images.
        matches: of the images that were tried, over ``images``; bit 0 is IoU 0.5.
        images: (S,) positions of those images in the table of ``detections``.
        limit: detections that count on an image.
    """

    detections: DetectionColumns
    truth: GroundTruthColumns
    matches: Matches
    images: IntArray
    limit: int


def find_symptoms(evidence: Evidence) -> Iterator[Explanation]:
    """All that show, the surest first."""
    scores = evidence.detections.scores
    if not len(scores) and len(evidence.truth):
        yield _nothing_found(evidence)
        return
    if len(scores) >= _FEWEST:
        yield from _score_range(evidence)
        yield from list(_limit_too_low(evidence)) or _threshold_too_high(evidence)  # a limit cuts scores, too
    yield from list(_undecoded(evidence)) or _images_left_out(evidence)


def _nothing_found(evidence: Evidence) -> Explanation:
    return Explanation(
        "there are no detections: all scores are below the threshold that the file was written with",
        "predict a few images again: 'anydet export-predictions' says the highest score where nothing is "
        "found; 0.0000 is that of a broken quantized or half-precision file",
        f"0 detections on {len(evidence.truth.images)} images with {len(evidence.truth)} annotated objects",
    )


def _undecoded(evidence: Evidence) -> Iterator[Explanation]:
    """Boxes that are nearly all tiny where annotated ones are not: those of a head, before its grid."""
    boxes, annotated = evidence.detections.boxes_xywh_px, evidence.truth.labels.boxes_xywh_px
    if len(boxes) < _FEWEST or not _nearly_all(annotated[:, 2:].max(axis=1) >= _TINY_PX):
        return
    tiny = boxes[:, 2:].max(axis=1) < _TINY_PX
    if not _nearly_all(tiny):
        return
    cornered = (boxes[tiny, :2] + boxes[tiny, 2:]).max(axis=1) < _TINY_PX
    where = "in the images' corner" if _nearly_all(cornered) else f"under {_TINY_PX:g} pixels"
    yield Explanation(
        f"nearly all boxes are {where}: they were not decoded",
        "decode the model's outputs: place them on their grid, or multiply parts of an image by its size",
        f"{np.count_nonzero(tiny)} of {len(boxes)} boxes are narrower and lower than {_TINY_PX:g} pixels",
    )


def _nearly_all(which: BoolArray) -> bool:
    return len(which) > 0 and bool(np.mean(which) >= _NEARLY_ALL)


def _score_range(evidence: Evidence) -> Iterator[Explanation]:
    scores = evidence.detections.scores
    low, high = float(scores.min()), float(scores.max())
    if low < 0 or high > 1:
        yield Explanation(
            RAW_SCORES,
            "apply the model's last activation, or divide by 100; AP only needs an order, thresholds need "
            "probabilities",
            f"scores go from {low:.4g} to {high:.4g}",
        )
    elif high < _ZERO:
        yield Explanation(
            f"highest score {high:.4f}: the model scores nothing",
            "compare the model with the one that it was made of ('anydet parity'): quantization, conversion "
            "or half precision broke it",
            f"all {len(scores)} scores are {high:.4f}",
        )
    elif low >= 0.5 and high <= _SIGMOID_OF_ONE + 1e-6 and low < high:
        yield Explanation(
            "scores went through a sigmoid twice",
            "apply it once: the model's output is a probability already, and thresholds need probabilities",
            f"all scores are between {low:.4f} and {high:.4f}, and a second sigmoid gives 0.5 to 0.7311",
        )
    elif low == high:
        yield Explanation(
            "all scores are the same, so that detections cannot be ranked",
            "write the model's confidence as score",
            f"all {len(scores)} scores are {low:.4g}",
        )


def _limit_too_low(evidence: Evidence) -> Iterator[Explanation]:
    """Many images have as many detections as the fullest one, and the last of them are still right."""
    counts = np.bincount(evidence.detections.image_index, minlength=len(evidence.detections.images))
    most = int(counts.max())
    full = counts == most
    if most >= evidence.limit or full.sum() < max(5, 0.2 * np.count_nonzero(counts)):
        return
    index, scores = evidence.matches.image_index, evidence.matches.scores
    order = np.lexsort((-scores, index))
    ranks = np.arange(len(order)) - np.searchsorted(index[order], index[order])
    right = _precision(evidence, order[full[evidence.images[index[order]]] & (ranks >= int(0.8 * most))])
    missed, annotated = _missed(evidence, full[evidence.images])
    single = most == 1 and annotated < 2 * np.count_nonzero(full[evidence.images])  # nothing more to find
    if right * missed >= LEAST_PROMISE / 2 * annotated > 0 and not single:
        yield Explanation(
            f"at most {most} detections an image are kept",
            f"raise the limit to {evidence.limit} or more, as COCO counts {evidence.limit} of each class "
            "('anydet export-predictions --max-detections')",
            f"{full.sum()} images have exactly {most} detections and none has more; of the last of them "
            f"{right:.0%} are right, and {missed} of {annotated} annotations there are not found",
        )


def _threshold_too_high(evidence: Evidence) -> Iterator[Explanation]:
    """Scores end where many detections are still right, and objects are missed."""
    lowest = float(evidence.detections.scores.min())
    order = np.argsort(evidence.matches.scores, kind="stable")
    right = _precision(evidence, order[: max(10, len(order) // 10)])
    missed, annotated = _missed(evidence, np.isin(evidence.images, evidence.detections.image_index))
    if lowest >= 0.05 and right * missed >= LEAST_PROMISE * annotated > 0:
        yield Explanation(
            f"the score threshold is too high: nothing below {lowest:.2g} is in the file",
            "use 'anydet export-predictions --score-threshold 0.001': AP counts all of the curve, and low "
            "scores cost nothing",
            f"of the detections with the lowest scores {right:.0%} are right, and {missed} of {annotated} "
            "annotations are not found: the curve ends before it falls",
        )


def _precision(evidence: Evidence, rows: IntArray) -> float:
    """Part of the detections that are true at IoU 0.5, of those that count."""
    true, false = evidence.matches.states(0, 0)
    counted = int(np.count_nonzero(true[rows] | false[rows]))
    return int(np.count_nonzero(true[rows])) / max(1, counted)


def _missed(evidence: Evidence, which: BoolArray) -> tuple[int, int]:
    """Annotations that no detection finds at IoU 0.5, and all, on some of the images that were tried."""
    true, _ = evidence.matches.states(0, 0)
    found = int(np.count_nonzero(true & which[evidence.matches.image_index]))
    chosen = np.isin(evidence.truth.image_index, evidence.images[which])
    annotated = int(np.count_nonzero(chosen & ~evidence.truth.labels.iscrowd))
    return annotated - found, annotated


def _images_left_out(evidence: Evidence) -> Iterator[Explanation]:
    """Many annotated images without any detection."""
    annotated = np.unique(evidence.truth.image_index)
    empty = ~np.isin(annotated, evidence.detections.image_index)
    if empty.sum() < max(5, 0.3 * len(annotated)):
        return
    yield Explanation(
        "many images have no detections at all",
        "predict all images of the split, or evaluate the first ones with --max-images",
        f"{empty.sum()} of {len(annotated)} annotated images have none, "
        f"{evidence.truth.images[annotated[np.argmax(empty)]]} for one",
    )
