"""Named sets of images, and COCO's numbers on each of them without matching again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.counted_annotations import restrict
from anydet.evaluation.figures import Axis, Bar, Bars
from anydet.evaluation.tables import Table
from anydet.inputs import read_text

_EXAMPLE = 'give JSON like {"0001.jpg": ["day", "camera 2"]}, or CSV with a header like image,slice'


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """COCO's numbers by slice.

    Attributes:
        metrics: slice -> the numbers on its images.
        images: slice -> how many it has.
    """

    metrics: Mapping[str, Mapping[str, float | None]]
    images: Mapping[str, int]

    @property
    def table(self) -> Table:
        """A row a slice."""
        names = tuple(next(iter(self.metrics.values()), {}))
        rows = tuple((key, self.images[key], *row.values()) for key, row in self.metrics.items())
        return Table("slices", ("slice", "images", *names), rows)

    @property
    def figure(self) -> Bars:
        """The first number of each slice."""
        first = next(iter(next(iter(self.metrics.values()), {})), "")
        bars = (
            Bar(key, row.get(first), note=f"{self.images[key]} images") for key, row in self.metrics.items()
        )
        return Bars("slices", f"{first} of slices", Axis(first, limits=(0.0, 1.0)), tuple(bars))

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {key: {"images": self.images[key], "metrics": dict(row)} for key, row in self.metrics.items()}


def slice_metrics(evaluator: CocoEvaluator, slices: Mapping[str, Sequence[str]]) -> Slices:
    """COCO's numbers on sets of images, which may overlap.

    Args:
        evaluator: one that has seen all images.
        slices: name -> keys of images.

    Raises:
        EvaluationError: an image that was not evaluated, or nothing was matched.
    """
    matches, joint = evaluator.matches(), evaluator.joint()
    place = {image: i for i, image in enumerate(joint.images)}
    metrics = {}
    for name, images in slices.items():
        for image in images:
            if image not in place:
                raise EvaluationError(
                    f"slice {name!r} names image {image!r}, which is not among the {len(place)} evaluated",
                    fix="name images by their keys in the data set, as the predictions file does",
                )
        kept = np.zeros(len(place), np.bool_)
        kept[[place[image] for image in images]] = True
        arrays = evaluator.engine.accumulate(restrict(matches, joint.positives, kept), evaluator.params)
        metrics[name] = evaluator.summarize(arrays)
    return Slices(metrics, {name: len(set(images)) for name, images in slices.items()})


def read_slices(path: Path | str) -> dict[str, list[str]]:
    """Slices of a file, by name in order of appearance.

    JSON maps an image to the name of its slice, to a list of names, or to attributes: ``{"time": "night"}``
    makes it part of ``time=night``. CSV has a header; the first column is the image, and a column called
    ``slice`` holds names, any other one values of an attribute. Empty cells name nothing.

    Raises:
        EvaluationError: the file is missing or of another shape; it says where.
    """
    path = Path(path)
    try:
        text = read_text(path)
        pairs = list(_rows_of_csv(path, text) if path.suffix.lower() == ".csv" else _rows_of_json(path, text))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path}: cannot be read as slices: {error}", fix=_EXAMPLE) from error
    slices: dict[str, list[str]] = {}
    for image, name in pairs:
        slices.setdefault(name, []).append(image)
    if not slices:
        raise EvaluationError(f"{path}: names no slice", fix=_EXAMPLE)
    return slices


def _rows_of_json(path: Path, text: str) -> Iterator[tuple[str, str]]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise EvaluationError(f"{path}: the top level is not an object of images", fix=_EXAMPLE)
    for image, names in value.items():
        if isinstance(names, dict):
            found = [f"{key}={name}" for key, name in names.items()]
        else:
            found = [names] if isinstance(names, str) else names
        if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
            raise EvaluationError(f"{path}: the slices of image {image!r} are {names!r}", fix=_EXAMPLE)
        for name in found:
            yield image, name


def _rows_of_csv(path: Path, text: str) -> Iterator[tuple[str, str]]:
    header, *rows = csv.reader(text.splitlines()) if text.strip() else [[]]
    if len(header) < 2:
        raise EvaluationError(f"{path}: the header has no column beside the image", fix=_EXAMPLE)
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise EvaluationError(
                f"{path}: line {line} has {len(row)} cells, the header {len(header)}", fix=_EXAMPLE
            )
        for column, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                yield row[0], cell if column == "slice" else f"{column}={cell}"
