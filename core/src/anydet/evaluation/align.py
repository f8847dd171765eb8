"""Predictions of a file laid over a data set's images and classes, so that the two can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anydet.contract.hints import hint_sizes
from anydet.contract.image_columns import image_columns, renumber_classes
from anydet.contract.join import join_keys
from anydet.contract.raw import RawPredictions
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.compatibility import check_class_ids, differing_classes
from anydet.text import listed, shortened
from anydet.types import (
    BoolArray,
    ClassTable,
    DetectionColumns,
    GroundTruthColumns,
    ImageColumns,
    IntArray,
)


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Detections and ground truth over one images table and one class table.

    Attributes:
        detections: over ``ground_truth.images``.
        ground_truth: sizes that only the predictions state are filled in.
        mentioned: (I,) whether the predictions mention an image of the table.
        missing: images of the table that they do not mention.
        surplus: predicted images of the data set that are not in the table; their detections are dropped.
    """

    detections: DetectionColumns
    ground_truth: GroundTruthColumns
    mentioned: BoolArray
    missing: tuple[str, ...]
    surplus: int


def align(
    predictions: RawPredictions,
    ground_truth: GroundTruthColumns,
    keys: Sequence[str],
    *,
    box_format: str | None = None,
    named_classes: bool = True,
) -> Aligned:
    """Lay predictions over ground truth.

    Args:
        predictions: what the file says.
        ground_truth: the first images of the data set, or all.
        keys: keys of all images of the data set, those of ``ground_truth`` first.
        box_format: one of ``boxes.BOX_FORMATS``; what the file's boxes are in; by default what the file says.
        named_classes: whether the names in ``ground_truth.classes`` are the data set's own; where they are
            only numbers, classes are joined by id and the table grows as far as needed.

    Raises:
        ContractError: images that the data set does not have, or a size that is needed and unknown.
        EvaluationError: image sizes, classes, class ids or states that contradict each other.
    """
    if named_classes and predictions.classes not in (None, ground_truth.classes.names):
        from anydet.contract.class_names import as_known  # equal names start sooner without it

        alike = as_known(predictions.path, predictions.classes or (), ground_truth.classes.names)
        predictions = replace(predictions, classes=tuple(alike[one] for one in predictions.classes or ()))
    count = len(ground_truth.images)
    place = join_keys(predictions.images, keys, source=predictions.path)
    inside = place < count
    sizes = _sizes(predictions, ground_truth, place, inside)
    table = np.array(ground_truth.sizes_wh)
    table[place[inside]] = sizes[inside]
    sizes[~inside] = 1  # these rows are dropped, so that any size will do
    # Without what is predicted for whole images: that is laid over the table's images by `_about`.
    columns = replace(predictions, details={}).columns(box_format, sizes_wh=sizes)
    if not inside.all():
        columns = columns.take(inside[columns.image_index])
    if named_classes:
        classes, class_ids = ground_truth.classes, _join_classes(columns, ground_truth.classes)
    else:
        classes, class_ids = _grown(ground_truth.classes, columns), columns.class_ids
    detections = replace(
        columns,
        images=ground_truth.images,
        sizes_wh=table,
        image_index=place[columns.image_index],
        class_ids=class_ids,
        classes=classes.names,
        about=_about(predictions, place, inside, classes, count),
    )
    mentioned = np.zeros(count, np.bool_)
    mentioned[place[inside]] = True
    return Aligned(
        detections,
        replace(
            ground_truth,
            sizes_wh=table,
            classes=classes,
            state_names=_join_states(predictions, ground_truth.state_names),
        ),
        mentioned=mentioned,
        missing=named(ground_truth.images, ~mentioned),
        surplus=int(np.count_nonzero(~inside)),
    )


def named(images: Sequence[str], which: BoolArray) -> tuple[str, ...]:
    """The keys of the images that are marked."""
    return tuple(images[i] for i in np.flatnonzero(which).tolist())


def _sizes(
    predictions: RawPredictions, ground_truth: GroundTruthColumns, place: IntArray, inside: BoolArray
) -> IntArray:
    """(P, 2) sizes of the predicted images: the data set's, else the file's own."""
    stated = np.asarray(predictions.sizes_wh, np.int64).reshape(-1, 2)
    known = np.full_like(stated, -1)
    known[inside] = ground_truth.sizes_wh[place[inside]]
    differ = ((stated != known) & (stated >= 0) & (known >= 0)).any(axis=1)
    for i in np.flatnonzero(differ)[:1].tolist():
        (width, height), (true_width, true_height) = stated[i].tolist(), known[i].tolist()
        raise EvaluationError(
            f"image {shortened(predictions.images[i])}: the predictions say {width} x {height} pixels, "
            f"the data set {true_width} x {true_height} ({np.count_nonzero(differ)} images differ)",
            fix=hint_sizes(stated[differ], known[differ])
            + "export on the original images of this data set, with image_size of the original",
        )
    sizes: IntArray = np.where(known >= 0, known, stated)
    return sizes


def _join_states(predictions: RawPredictions, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names of states: the data set's, else those of the predictions; they must not contradict each other."""
    names = tuple((predictions.meta or {}).get("states", ()))
    if known and names and known != names:
        raise EvaluationError(
            f"names of states differ: {listed(known, quotes=False)} in the data set, "
            f"{listed(names, quotes=False)} in {predictions.path}",
            fix="export with the data set's states in their order, or correct meta.states",
        )
    return known or names


def _about(
    predictions: RawPredictions, place: IntArray, inside: BoolArray, classes: ClassTable, count: int
) -> ImageColumns | None:
    """Predictions for whole images, over the ``count`` images of the table and its classes."""
    details = {int(place[i]): one for i, one in predictions.details.items() if inside[i]}
    about, names = image_columns(details, count), predictions.classes
    if about is None or names is None or sorted(names) != sorted(classes.names):
        return about
    position = {name: i for i, name in enumerate(classes.names)}
    return renumber_classes(about, np.array([position[name] for name in names], np.int64))


def _grown(classes: ClassTable, columns: DetectionColumns) -> ClassTable:
    """The table of a data set without class names: those of the predictions, and numbers for the rest."""
    names = columns.classes or ()
    count = max(len(names), len(classes), int(columns.class_ids.max(initial=-1)) + 1)
    return ClassTable((*names, *(str(i) for i in range(len(names), count))))


def _join_classes(columns: DetectionColumns, classes: ClassTable) -> IntArray:
    """(N,) class ids of ``classes``: by name where the predictions have names, else by id."""
    names = columns.classes
    if names is None or names == classes.names:
        check_class_ids(columns, len(classes))
        return columns.class_ids
    position = {name: i for i, name in enumerate(classes.names)}
    if sorted(names) != sorted(classes.names) or len(position) < len(classes):
        raise differing_classes(
            classes.names,
            names,
            fix="export with a model of the data set's classes, or correct meta.classes",
        )
    check_class_ids(columns, len(names), "the predictions' own list of names (meta.classes)")
    return np.array([position[name] for name in names], np.int64)[columns.class_ids]
