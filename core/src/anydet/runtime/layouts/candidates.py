"""Detections before NMS, and the decoding that all layouts have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from anydet.columns import Columns
from anydet.geometry.pose_heads import PoseHeads
from anydet.runtime.classes import ModelClasses
from anydet.runtime.errors import ModelError
from anydet.text import counted
from anydet.types import BoolArray, FloatArray, IntArray, Size

Array = NDArray[Any]
Outputs = Sequence[Array]
"""Outputs of one image, without batch axis."""

_SCORE_SLACK = 1e-2
"""How far half precision may leave [0, 1]."""
_BOX_LIMIT = 1e3
"""Corners further out than so many input sizes are not boxes."""
_INVERSION_PX = 1.0
"""Right edges further left of their left edge than this are not boxes."""

_CORNER_PX = 2.0
"""So many boxes as ``_CERTAINLY`` that close to the input's corner are not decoded."""
_CERTAINLY = 5
_MOST_ODD = 0.5
NO_CLASSES = "are no whole numbers"
UNDECODED = "they look like parts of the input, or like a head's numbers that were not placed on its grid yet"


class Decoder(Protocol):
    """A layout bound to the shapes of a model's outputs.

    Scores and boxes are separate steps, so that boxes are decoded only where something scored.
    """

    @property
    def class_count(self) -> int | None:
        """C; ``None`` where the outputs do not show it."""

    def scores(self, outputs: Outputs) -> Array:
        """(N, C) probabilities: N anchors, cells or queries; (N, 1) where ``Labeled``."""

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """(len(rows), 4) float64 ``xyxy`` in input pixels, of those rows of ``scores``."""


@runtime_checkable
class Labeled(Protocol):
    """A decoder of rows that have one class each, already chosen."""

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """(len(rows),) labels, as the model numbers its classes."""


@runtime_checkable
class Masked(Protocol):
    """A decoder of rows that have mask coefficients."""

    def coefficients(self, outputs: Outputs, rows: IntArray) -> Array:
        """(len(rows), M)."""

    def prototypes(self, outputs: Outputs) -> Array | None:
        """(M, h, w) logits over the whole input; ``None`` where this model has no masks."""


@runtime_checkable
class SoftMasked(Protocol):
    """A decoder of rows that have a mask each."""

    def soft_masks(self, outputs: Outputs, rows: IntArray) -> Array | None:
        """(len(rows), h, w) probabilities: over the input where they are of its size, else over the box.

        ``None`` where this model has no masks.
        """


@runtime_checkable
class WholeMasked(Protocol):
    """A decoder of rows that have a mask each, which is not cut to the box."""

    def mask_logits(self, outputs: Outputs, rows: IntArray) -> Array | None:
        """(len(rows), h, w) logits over the whole input; ``None`` where this model has no masks."""


@runtime_checkable
class Landmarked(Protocol):
    """A decoder of rows that have landmarks."""

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """K names; none where this model has no landmarks, or no names for them."""

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """(len(rows), K, 3) float64 x and y in input pixels and score, NaN where the model gives none.

        ``None`` where this model has no landmarks.
        """


@runtime_checkable
class Oriented(Landmarked, Protocol):
    """A decoder of rows that are oriented boxes, whose landmarks are their corners."""

    def oriented(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """(len(rows), 5) float64 center and size in input pixels, and angle in radians."""


@runtime_checkable
class Stated(Protocol):
    """A decoder of rows that have states."""

    def state_scores(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """(len(rows), S) probabilities; ``None`` where this model has no states."""


@runtime_checkable
class Posed(Protocol):
    """A decoder of rows that have poses."""

    def pose_heads(self, outputs: Outputs, rows: IntArray) -> PoseHeads | None:
        """Of the rows; ``None`` where this model has no poses."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates(Columns):
    """Detections of one image before NMS.

    Attributes:
        boxes_xyxy_px: (K, 4) float64, pixels of the model's input.
        scores: (K,) float64 in [0, 1].
        class_ids: (K,) int64 columns of the scores.
        rows: (K,) int64 rows of the scores, where what belongs to a detection stands.
    """

    boxes_xyxy_px: FloatArray
    scores: FloatArray
    class_ids: IntArray
    rows: IntArray


def select(
    decoder: Decoder, outputs: Outputs, classes: ModelClasses, *, floor: float, limit: int, input_wh: Size
) -> Candidates:
    """Every class that scores at least ``floor`` at each row; the ``limit`` best, in the order of rows.

    Args:
        decoder: how to read the outputs.
        outputs: of one image.
        classes: what columns or labels mean.
        floor: lowest score.
        limit: most candidates.
        input_wh: input size in pixels.

    Raises:
        ModelError: scores are no probabilities, boxes no boxes or labels no classes, as a wrong layout makes
            them.
    """
    scores = decoder.scores(outputs)
    check_probabilities(scores)
    if classes.columns is not None and not isinstance(decoder, Labeled):
        scores = scores[:, classes.columns]
    flat = scores.ravel()
    found = np.flatnonzero(flat >= _floor_of_best(scores, floor, limit))
    found = found[_best(flat[found], limit)]
    rows, class_ids = np.divmod(found, scores.shape[1])
    if isinstance(decoder, Labeled):
        class_ids = classes.class_ids(decoder.labels(outputs, rows))
    boxes = decoder.boxes(outputs, rows)
    _check_boxes(boxes, input_wh)
    return Candidates(boxes, np.clip(flat[found].astype(np.float64), 0.0, 1.0), class_ids, rows)


def sigmoid(logits: Array) -> FloatArray:
    """Of each number, without overflow."""
    probabilities: FloatArray = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    return probabilities


def check_probabilities(scores: Array) -> None:
    """Raise ``ModelError`` where scores are outside [0, 1] by more than half precision explains."""
    low, high = float(scores.min(initial=0.0)), float(scores.max(initial=0.0))
    if np.isnan(low):
        raise ModelError(
            f"{np.isnan(scores).sum()} of {counted(scores.size, 'score')} are NaN",
            fix="check the model's weights, and whether it computes in float16, whose numbers end at 65504",
        )
    if not (low >= -_SCORE_SLACK and high <= 1 + _SCORE_SLACK):
        raise ModelError(
            f"scores run from {low:.4g} to {high:.4g} where probabilities in [0, 1] were expected: "
            "the outputs do not match this layout, or the export leaves out the sigmoid",
            fix="check preset= and layout=, or export the model with its sigmoid",
        )


def _floor_of_best(scores: Array, floor: float, limit: int) -> Any:
    """Below it, none of (N, C) scores is among the ``limit`` best; ``floor`` at least.

    So many rows have a score that reaches the least of their maxima: hardly any others are left to be sorted.
    """
    if not 0 < limit < len(scores):
        return floor
    return max(floor, np.partition(scores.max(axis=1), -limit)[-limit])


def _best(scores: Array, limit: int) -> BoolArray:
    """Which scores are among the ``limit`` best, of equal ones the first."""
    if len(scores) <= limit:
        return np.ones(len(scores), np.bool_)
    cut = np.partition(scores, -limit)[-limit]
    best: BoolArray = scores > cut
    level = np.flatnonzero(scores == cut)
    best[level[: limit - np.count_nonzero(best)]] = True
    return best


def implausible(decoder: Decoder, outputs: Outputs, input_wh: Size) -> str:
    """Why values cannot be of a layout whose shapes they have; empty where nothing speaks against it.

    Args:
        decoder: of the layout.
        outputs: of one image, all rows of which are looked at: most of them, for what scores low may be odd.
        input_wh: input size in pixels.
    """
    try:
        scores = decoder.scores(outputs)
        check_probabilities(scores)
        rows = np.arange(len(scores))
        boxes = decoder.boxes(outputs, rows)
    except ModelError as exc:
        return exc.problem
    if isinstance(decoder, Labeled):
        labels = np.asarray(decoder.labels(outputs, rows), np.float64)
        if not (labels == np.round(labels)).all():
            return f"labels such as {labels[labels != np.round(labels)][0]:.4g} {NO_CLASSES}"
    odd = (np.abs(boxes) > _BOX_LIMIT * max(input_wh)).any(axis=1)
    odd |= ~(boxes[:, 2:] - boxes[:, :2] >= -_INVERSION_PX).all(axis=1)
    if odd.sum() > _MOST_ODD * len(boxes):
        return f"{odd.sum()} of {len(boxes)} boxes end before they begin, or far outside of the input"
    return _undecoded(boxes, input_wh) or _tiny(boxes, input_wh)


def _tiny(boxes: FloatArray, input_wh: Size) -> str:
    """What boxes look like none of which is as large as an object; empty where one is, or they are few."""
    solid = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    if len(solid) < _CERTAINLY or (solid[:, 2:] - solid[:, :2]).max() >= _CORNER_PX:
        return ""
    return (
        f"all {len(solid)} boxes are narrower and lower than {_CORNER_PX:g} pixels in an input of "
        f"{input_wh[0]}x{input_wh[1]}: {UNDECODED}"
    )


def _undecoded(boxes: FloatArray, input_wh: Size) -> str:
    """What boxes look like that are all in the input's corner; empty where they are not, or too few."""
    solid = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    if len(solid) < _CERTAINLY or np.abs(solid).max() > _CORNER_PX:
        return ""
    return (
        f"all {len(solid)} boxes are within {_CORNER_PX:g} pixels of the corner of an input of "
        f"{input_wh[0]}x{input_wh[1]}: {UNDECODED}"
    )


def _check_boxes(boxes: FloatArray, input_wh: Size) -> None:
    if undecoded := _undecoded(boxes, input_wh):
        raise ModelError(
            undecoded,
            fix="check preset= and layout=; a layout file can say how boxes are decoded: layout=FILE.yaml",
        )
    furthest = float(np.abs(boxes).max(initial=0.0))
    narrowest = float((boxes[:, 2:] - boxes[:, :2]).min(initial=0.0))
    if not (furthest <= _BOX_LIMIT * max(input_wh) and narrowest >= -_INVERSION_PX):
        raise ModelError(
            f"boxes reach {furthest:.4g} pixels and sides are as small as {narrowest:.4g} in an input of "
            f"{input_wh[0]}x{input_wh[1]}: the outputs do not match this layout",
            fix="check preset= and layout=; for YOLOX with decoded boxes use --option layout=yolox-decoded",
        )
