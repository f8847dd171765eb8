"""Layouts by declaration: what a layout file says, bound to the outputs of a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anydet.runtime.layouts.candidates import Array, Decoder, Outputs, check_probabilities, sigmoid
from anydet.runtime.layouts.columns import Axes, Field, Positions, Slice, assign
from anydet.runtime.layouts.forms import BoxForm, factor
from anydet.runtime.layouts.grids import Anchored, Places
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size


@dataclass(frozen=True, slots=True)
class Scores:
    """How rows score.

    Attributes:
        classes: columns of the classes.
        objectness: a column that they are multiplied with, or ``None``.
        activation: what is left to do to both: ``none``, ``sigmoid``, ``softmax`` (of the classes).
        background: which class is dropped: ``none``, ``first``, ``last``.
        geometric: whether the score is the geometric mean of both, not their product.
    """

    classes: Slice
    objectness: Slice | None = None
    activation: str = "none"
    background: str = "none"
    geometric: bool = False

    @property
    def classes_kept(self) -> slice:
        """Of the columns."""
        return {"first": slice(1, None), "last": slice(None, -1)}.get(self.background, slice(None))


@dataclass(frozen=True, slots=True)
class Boxes:
    """How rows become boxes.

    Attributes:
        columns: of the numbers.
        form: what they are.
        activated: whether nothing is left to do to them; else a sigmoid.
        bins: of the distribution that each number is the mean of; 1 where it is the number itself.
    """

    columns: Slice
    form: BoxForm
    activated: bool = True
    bins: int = 1


@dataclass(frozen=True, slots=True)
class Landmarks:
    """How rows become landmarks.

    Attributes:
        columns: of the numbers.
        names: of the landmarks.
        from_cell: whether they are measured from the point of the cell.
        unit: of the numbers.
        factor: of the numbers.
        scores: what is left to do to the third number of each, ``none`` or ``sigmoid``; empty where there are
            but two.
    """

    columns: Slice
    names: tuple[str, ...]
    from_cell: bool = True
    unit: str = "pixels"
    factor: float = 1.0
    scores: str = ""


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that a layout file says of outputs.

    Attributes:
        outputs: in the file's order.
        scores: how rows score.
        boxes: how rows become boxes.
        grid: that rows belong to, or ``None``.
        labels: column of the class of a row, where it has one.
        landmarks: how rows become landmarks, where they have any.
    """

    outputs: tuple[Axes, ...]
    scores: Scores
    boxes: Boxes
    grid: Anchored | None = None
    labels: Slice | None = None
    landmarks: Landmarks | None = None

    def bind(self, outputs: Signature, input_wh: Size) -> Decoder | None:
        """The decoder of outputs of this signature; ``None`` where they do not fit."""
        return _bound(self, outputs, input_wh)

    @property
    def expects(self) -> str:
        """The outputs in words; B is the batch axis."""
        strides = ", ".join(map(str, self.grid.strides)) if self.grid else ""
        each = [axes for axes in self.outputs if axes.each_stride]
        alone = [axes for axes in self.outputs if not axes.each_stride]
        parts = []
        if each:
            parts.append(f"for each of strides {strides} {_listed(each, self.grid)}")
        if alone:
            of_strides = f" of strides {strides}" if strides and not each else ""
            parts.append(_listed(alone, self.grid) + of_strides)
        return "; ".join(parts)


def _listed(outputs: list[Axes], grid: Anchored | None) -> str:
    counts = set(grid.counts) if grid else {1}
    rows = f"{max(counts)} x cells" if len(counts) == 1 else "anchors of all cells"
    named = {"rows": "cells" if counts == {1} else rows}
    texts = [
        (f"{axes.name} " if axes.name else "a ") + f"(B, {', '.join(named.get(a, a) for a in axes.shape)})"
        for axes in outputs
    ]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


@lru_cache(maxsize=256)  # each image is bound, and most have the shapes of the one before
def _bound(declaration: Declaration, outputs: Signature, input_wh: Size) -> Decoder | None:
    found = assign(outputs, declaration.outputs, declaration.grid, input_wh)
    if found is None:
        return None
    at, _ = found
    decoder = (Composed if declaration.labels is None else ComposedLabeled)(declaration, input_wh, at, 0)
    widths = {key: decoder.columns_of(key, outputs) for key in at}
    scores = declaration.scores
    count = len(range(scores.classes.width(widths[scores.classes.key]))[scores.classes_kept])
    boxes = declaration.boxes
    axes = next(axes for axes in declaration.outputs if axes.key == boxes.columns.key)
    anchors = axes.anchors_in_row(declaration.grid)
    if count < 1 or boxes.columns.width(widths[boxes.columns.key]) != 4 * boxes.bins * anchors:
        return None
    return type(decoder)(declaration, input_wh, at, count)


@dataclass(frozen=True)
class Composed:
    """A layout file bound to outputs.

    Attributes:
        declaration: what it says.
        input_wh: input size in pixels.
        at: where the outputs are.
        columns: of the classes.
    """

    declaration: Declaration
    input_wh: Size
    at: dict[str, Positions]
    columns: int

    @property
    def class_count(self) -> int | None:
        """C; ``None`` where rows have labels."""
        return self.columns

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """As the file has them."""
        landmarks = self.declaration.landmarks
        return () if landmarks is None else landmarks.names

    def scores(self, outputs: Outputs) -> Array:
        """Class probabilities, with objectness where there is any."""
        how = self.declaration.scores
        classes = _activated(self._matrix(outputs, how.classes), how.activation)[:, how.classes_kept]
        if how.objectness is None:
            return classes
        activation = "none" if how.activation == "none" else "sigmoid"
        objectness = _activated(self._matrix(outputs, how.objectness, own=1), activation)
        if not how.geometric:
            return objectness * classes
        for factors in (objectness, classes):
            check_probabilities(factors)
        scores: Array = np.sqrt(np.clip(objectness, 0, 1) * np.clip(classes, 0, 1))
        return scores

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """As the form says."""
        how = self.declaration.boxes
        numbers = self._matrix(outputs, how.columns, own=4 * how.bins)[rows].astype(np.float64)
        if not how.activated:
            numbers = sigmoid(numbers)
        if how.bins > 1:
            numbers = _expected(numbers.reshape(-1, 4, how.bins))
        return how.form.boxes(numbers, self._places(rows), self.input_wh)

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """As the file says; ``None`` where it says nothing of any."""
        how = self.declaration.landmarks
        if how is None:
            return None
        values = 3 if how.scores else 2
        own = values * len(how.names)
        numbers = self._matrix(outputs, how.columns, own=own)[rows].astype(np.float64)
        points, places = numbers.reshape(len(rows), -1, values), self._places(rows)
        unit = np.broadcast_to(factor(how.unit, places, self.input_wh), (len(rows), 4))[:, None, :2]
        xy = points[..., :2] * how.factor * unit
        if how.from_cell and places is not None:
            xy = xy + places.points_xy[:, None]
        found = points[..., 2:] if how.scores else np.full((*xy.shape[:2], 1), np.nan)
        return np.concatenate([xy, _activated(found, how.scores or "none")], axis=-1)

    def columns_of(self, key: str, outputs: Signature) -> int:
        """Columns of an output; 1 where each place has one number."""
        axis = self._axes(key).columns_axis
        return 1 if axis is None else outputs.shapes[self.at[key][0]][axis]

    def _axes(self, key: str) -> Axes:
        return next(axes for axes in self.declaration.outputs if axes.key == key)

    def _matrix(self, outputs: Outputs, part: Slice, own: int | None = None) -> Array:
        field = Field(self._axes(part.key), self.at[part.key], part.columns, self.declaration.grid)
        return field.matrix(outputs, self.input_wh, own=own)

    def _places(self, rows: IntArray) -> Places | None:
        grid = self.declaration.grid
        return None if grid is None else grid.places(self.input_wh).take(rows)


@dataclass(frozen=True)
class ComposedLabeled(Composed):
    """The same of rows that have one class each."""

    @property
    def class_count(self) -> int | None:
        """``None``: the outputs do not show it."""
        return None

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """As they are."""
        assert self.declaration.labels is not None
        labels: Array = self._matrix(outputs, self.declaration.labels)[rows, 0]
        return labels


def _activated(values: Array, activation: str) -> Array:
    if activation == "none":
        return values
    if activation == "sigmoid":
        return sigmoid(values)
    weights = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
    softmax: Array = weights / weights.sum(axis=-1, keepdims=True)
    return softmax


def _expected(logits: FloatArray) -> FloatArray:
    """Mean of softmax over the last axis, in bins (Li et al. 2020, "Generalized Focal Loss")."""
    mean: FloatArray = _activated(logits, "softmax") @ np.arange(logits.shape[-1], dtype=np.float64)
    return mean
