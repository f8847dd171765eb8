"""Some classes, sizes and images of a data set; what goes is counted by reason."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from anydet.data.dataset.base import SomeImages
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.some_classes import SomeClasses, class_names
from anydet.data.dataset.some_objects import SomeObjects
from anydet.errors import DatasetError, OptionError, did_you_mean
from anydet.inputs import read_text
from anydet.text import counted, listed, quoted
from anydet.types import BoolArray, ClassTable, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True)
class Criteria:
    """What stays.

    Attributes:
        classes: names of the classes that stay, or ``None`` for all.
        dropped_classes: names of classes that go.
        least_px: smallest area of an annotation in square pixels.
        most_px: largest area.
        images: a pattern of keys (``night/*``), or a file with a key a line; ``None`` for all.
        empty: whether images without annotations stay.
    """

    classes: tuple[str, ...] | None = None
    dropped_classes: tuple[str, ...] = ()
    least_px: float = 0.0
    most_px: float = math.inf
    images: str | None = None
    empty: bool = True


@dataclass(frozen=True, slots=True)
class Filtered:
    """What is left.

    Attributes:
        dataset: a view of the data set; classes have new ids by their order, and keep the source's own.
        dropped: what went, in words -> how many.
        unknown: lines of a file of keys that name no image.
    """

    dataset: Dataset
    dropped: Mapping[str, int]
    unknown: tuple[str, ...] = ()


def filter_dataset(dataset: Dataset, criteria: Criteria) -> Filtered:
    """What of a data set meets all criteria. Annotations are counted over the images that are named.

    Raises:
        OptionError: a class, or all images that are named, are not there.
        DatasetError: nothing is left.
    """
    truth = dataset.ground_truth()
    if len(truth) and truth.labels.class_ids.max() >= len(truth.classes):
        raise DatasetError(
            f"{dataset.root}: an annotation has class {truth.labels.class_ids.max()}, and there are "
            f"{len(truth.classes)}",
            fix=f"'anydet check-dataset {dataset.root}' lists what is broken",
        )
    dropped: dict[str, int] = {}
    named, unknown = _named(dataset.keys, criteria.images)
    dropped["images that are not named"] = len(dataset) - int(named.sum())
    on_images = named[truth.image_index]
    kept = _of_classes(dataset, truth, criteria, on_images, dropped)
    kept &= _of_sizes(truth, criteria, kept, dropped)
    counts = np.bincount(truth.image_index[kept], minlength=len(dataset))
    positions = np.flatnonzero(named)
    if not criteria.empty:
        before = np.bincount(truth.image_index, minlength=len(dataset))
        empty = named & (counts == 0)
        dropped["images that had no annotations"] = int((empty & (before == 0)).sum())
        dropped["images that are left without annotations"] = int((empty & (before > 0)).sum())
        positions = np.flatnonzero(named & (counts > 0))
    if not len(positions):
        raise DatasetError(
            f"{dataset.root}: no image is left of {counted(len(dataset), 'image')}",
            details=tuple(f"{what}: {count}" for what, count in dropped.items() if count),
            fix="ask for less",
        )
    return Filtered(
        _view(dataset, criteria, positions), {what: n for what, n in dropped.items() if n}, unknown
    )


def _view(dataset: Dataset, criteria: Criteria, positions: IntArray) -> Dataset:
    found = dataset
    if criteria.least_px > 0 or criteria.most_px < math.inf:
        found = SomeObjects(found, criteria.least_px, criteria.most_px)
    if criteria.classes is not None or criteria.dropped_classes:
        table = _remaining(dataset, criteria)
        found = SomeClasses(found, table, frozenset(table.names))
    if len(positions) < len(dataset):
        found = SomeImages(found, tuple(positions.tolist()))
    return found


def _remaining(dataset: Dataset, criteria: Criteria) -> ClassTable:
    """The table of the classes that stay, in the order of the data set."""
    names = class_names(dataset)
    for name in (*(criteria.classes or ()), *criteria.dropped_classes):
        if name not in names:
            raise OptionError(
                f"{dataset.root}: no class {quoted(name)} (there are: {listed(names)})"
                f"{did_you_mean(name, names)}",
                fix=f"'anydet dataset stats {dataset.root}' lists them",
            )
    wanted = names if criteria.classes is None else criteria.classes
    kept = [i for i, name in enumerate(names) if name in wanted and name not in criteria.dropped_classes]
    if not kept:
        raise OptionError(f"{dataset.root}: no class is left", fix="drop fewer of them")
    table = dataset.classes
    assert table is not None  # class_names has looked
    return ClassTable(
        tuple(names[i] for i in kept),
        tuple(table.source_ids[i] for i in kept),
        tuple(table.frequencies[i] for i in kept) if table.frequencies else (),
        tuple(table.source_names[i] for i in kept) if table.source_names else (),
    )


def _of_classes(
    dataset: Dataset,
    truth: GroundTruthColumns,
    criteria: Criteria,
    on_images: BoolArray,
    dropped: dict[str, int],
) -> BoolArray:
    """(N,) annotations of the classes that stay, on the images that are named."""
    if criteria.classes is None and not criteria.dropped_classes:
        whole: BoolArray = np.array(on_images)
        return whole
    stay = set(_remaining(dataset, criteria).names)
    names = truth.classes.names
    going = np.array([name not in stay for name in names], np.bool_)
    ids = truth.labels.class_ids
    counts = np.bincount(ids[on_images & going[ids]], minlength=len(names)) if len(names) else np.zeros(0)
    for class_id in np.argsort(-counts, kind="stable").tolist():
        if counts[class_id]:
            dropped[f"annotations of class {quoted(names[class_id])}"] = int(counts[class_id])
    kept: BoolArray = np.logical_and(on_images, np.logical_not(going[ids]))
    return kept


def _of_sizes(
    truth: GroundTruthColumns, criteria: Criteria, kept: BoolArray, dropped: dict[str, int]
) -> BoolArray:
    areas = truth.labels.areas
    small, large = areas < criteria.least_px, areas > criteria.most_px
    dropped[f"annotations smaller than {criteria.least_px:g} px"] = int((kept & small).sum())
    dropped[f"annotations larger than {criteria.most_px:g} px"] = int((kept & large).sum())
    chosen: BoolArray = np.logical_not(np.logical_or(small, large))
    return chosen


def _named(keys: Sequence[str], images: str | None) -> tuple[BoolArray, tuple[str, ...]]:
    """(I,) which images are named, and what names none."""
    if images is None:
        return np.ones(len(keys), np.bool_), ()
    if Path(images).is_file():
        return _listed(keys, Path(images))
    found = np.array([fnmatch.fnmatchcase(key, images) for key in keys], np.bool_)
    if not found.any():
        raise OptionError(
            f"no image is called like {quoted(images)}, which is no file (images: {listed(keys, 3)})",
            fix="give a pattern such as '*night*', or a file with the name of an image a line",
        )
    return found, ()


def _listed(keys: Sequence[str], file: Path) -> tuple[BoolArray, tuple[str, ...]]:
    """Images of a list: by key, by a path that ends with it, or by either without the suffix."""
    try:
        lines = [line.strip() for line in read_text(file).splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise OptionError(f"{file}: cannot be read: {exc}", fix="write one image a line, in UTF-8") from exc
    places = {str(PurePosixPath(key).with_suffix("")): at for at, key in enumerate(keys)}
    places |= {key: at for at, key in enumerate(keys)}
    named, unknown = np.zeros(len(keys), np.bool_), []
    for line in filter(None, lines):
        parts = line.replace("\\", "/").split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        place = next((places[tail] for tail in tails if tail in places), None)
        if place is None:
            unknown.append(line)
        else:
            named[place] = True
    if not named.any():
        raise OptionError(
            f"{file}: none of its {counted(len(unknown), 'line')} names an image (images: {listed(keys, 3)})",
            fix="write the name of an image a line, as the data set has it",
        )
    return named, tuple(unknown)
