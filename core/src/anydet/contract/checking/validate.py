"""Whether a predictions file keeps the contract, and whether it fits a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from anydet.contract.image_sizes import size_misfits
from anydet.contract.join import match_keys
from anydet.contract.locations import MEMORY, Shape, repair_command, show
from anydet.contract.raw import RawPredictions, Scan
from anydet.contract.reading.load import read
from anydet.contract.violations import EXPLAINED
from anydet.dataclass import dataclass
from anydet.errors import ContractError
from anydet.geometry.boxes import to_xywh_px
from anydet.scanner import Scanner
from anydet.text import as_given, listed, safe_line, shortened
from anydet.types import ClassTable, FloatArray, GroundTruthColumns, IntArray

ORTHONORMAL_TOLERANCE = 1e-3
"""Largest deviation of R transposed times R from the identity that goes without a warning."""
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Report:
    """What validation found.

    Attributes:
        path: the file.
        shape: its shape, or ``None`` where it could not be read at all.
        images: valid entries.
        detections: detections in them.
        errors: what breaks the contract, with file, place and image.
        warnings: what is legal and probably not meant.
        fix: what to type next where there are errors, or an empty string.
    """

    path: str
    shape: Shape | None
    images: int
    detections: int
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether there are no errors; warnings don't count."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "path": self.path,
            "ok": self.ok,
            "shape": self.shape,
            "images": self.images,
            "detections": self.detections,
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "fix": self.fix,
        }


class Known(Protocol):
    """The part of a data set that validation reads; ``anydet.data.dataset.protocols.Dataset`` has it."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all images."""

    @property
    def classes(self) -> ClassTable | None:
        """Class table, or ``None`` where the source does not say."""

    @property
    def source(self) -> str:
        """Where the ground truth comes from, or "none"."""

    def ground_truth(self) -> GroundTruthColumns:
        """Annotations; read only where ``source`` is not "none"."""


def validate(
    path: Path | str,
    dataset: Known | None = None,
    *,
    box_format: str | None = None,
    scanner: Scanner | None = None,
    class_map: str | None = None,
) -> Report:
    """Check a predictions file of any shape; never raises for what is in the file.

    Args:
        path: the file.
        dataset: also check that images, sizes and classes are this data set's; a COCO results file can only
            be read with it.
        box_format: what the boxes are in, for the warning of boxes outside the image; by default what the
            file says of itself.
        scanner: reads what it can, faster; the report is the same.
        class_map: how category ids of COCO results count, where they are not the data set's.
    """
    truth = None if dataset is None else dataset.ground_truth
    return report_of(path, lambda: read(path, scanner, truth, class_map), dataset, box_format)


def validate_shards(
    name: Path | str,
    paths: Sequence[Path],
    dataset: Known | None = None,
    *,
    box_format: str | None = None,
    scanner: Scanner | None = None,
    class_map: str | None = None,
) -> Report:
    """As ``validate``, of files that are one set of predictions: each by itself, and that no image is in two.

    Args:
        name: what messages call the set.
        paths: its files.
        dataset: as for ``validate``.
        box_format: likewise.
        scanner: likewise.
        class_map: likewise.
    """
    if len(paths) == 1:
        return validate(paths[0], dataset, box_format=box_format, scanner=scanner, class_map=class_map)
    truth = None if dataset is None else dataset.ground_truth
    reports, shared, owner = list[Report](), list[str](), dict[str, Path]()
    for path in paths:

        def reading(path: Path = path) -> Scan:
            found = read(path, scanner, truth, class_map)
            for key in found.predictions.images:
                if owner.setdefault(key, path) != path:
                    shared.append(f"{path}: image {shortened(key)} is in {owner[key]}, too")
            return found

        reports.append(report_of(path, reading, dataset, box_format, whole=False))
    errors = [*(line for report in reports for line in report.errors), *map(safe_line, shared)]
    warnings = [line for report in reports for line in report.warnings]
    if dataset is not None:
        at, _ = match_keys(list(owner), dataset.keys)
        warnings += [safe_line(f"{name}: {line}") for line in _unseen(dataset.keys, at)]
    fix = next((report.fix for report in reports if report.fix), "give files with disjoint images")
    return Report(
        path=as_given(str(name)),
        shape=reports[0].shape if len({report.shape for report in reports}) == 1 else None,
        images=len(owner),
        detections=sum(report.detections for report in reports),
        errors=tuple(errors),
        warnings=tuple(warnings),
        fix=as_given(fix) if errors else "",
    )


def report_of(
    path: Path | str,
    reading: Callable[[], Scan],
    dataset: Known | None = None,
    box_format: str | None = None,
    *,
    whole: bool = True,
) -> Report:
    """As ``validate``, of what ``reading`` gives; ``path`` is its name in messages.

    ``whole`` says whether images of the data set that are not in it are missing.
    """
    try:
        found = reading()
    except ContractError as exc:
        return Report(as_given(str(path)), None, 0, 0, exc.issues or (exc.problem,), (), exc.fix)
    predictions, errors = found.predictions, found.errors
    repair = f"write the file again, or repair it with 'anydet validate-predictions {path} --repair OUT'"
    fix = found.fix or (repair_command(path) if str(path) == MEMORY else repair) if errors else ""
    used = predictions.format_used(box_format)
    if box_format is not None:
        errors += tuple(_negative(predictions, used))
    odd = [f"{path}: {line}" for line in predictions.oddities]
    warnings = [*predictions.notes, *odd, *_outside(predictions, used), *_rotations(predictions)]
    if dataset is not None:
        at, problems = match_keys(predictions.images, dataset.keys)
        errors += tuple(f"{path}: image {problem}" for problem in problems)
        errors += tuple(f"{path}: {line}" for line in _misfits(predictions, dataset, at))
        if errors and not fix:
            fix = "give the data set and the split of the predictions"
        warnings += [f"{path}: {line}" for line in _unseen(dataset.keys, at) if whole]
    return Report(
        path=as_given(str(path)),
        shape=predictions.shape,
        images=len(predictions.images),
        detections=len(predictions),
        errors=tuple(map(safe_line, errors)),
        warnings=tuple(map(safe_line, warnings)),
        fix=as_given(fix),
    )


def _outside(predictions: RawPredictions, box_format: str) -> Iterator[str]:
    """Boxes that do not even touch their image, where its size is known or not needed."""
    if not box_format:
        yield f"{predictions.path}: boxes are not looked at: state what they are with --bbox-format"
        return
    norm = box_format == "cxcywh_norm"
    limits = np.ones((1, 2)) if norm else predictions.sizes_wh[predictions.image_index].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = to_xywh_px(predictions.boxes, box_format, np.ones(2, np.int64))
        far = (boxes[:, :2] > limits) | (boxes[:, :2] + boxes[:, 2:] < 0)
    wrong = far.any(axis=1) & (limits > 0).all(axis=1)
    yield from _rows(predictions, wrong, "bbox", "is wholly outside the image", predictions.boxes)


def _negative(predictions: RawPredictions, box_format: str) -> Iterator[str]:
    """Boxes that have a negative size in a format that was named, which evaluation refuses."""
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = to_xywh_px(predictions.boxes, box_format, np.ones(2, np.int64))
    wrong = (boxes[:, 2:] < 0).any(axis=1)
    if predictions.boxes_around is not None:
        wrong &= ~predictions.boxes_around
    what = f"has a negative size as {box_format}"
    yield from list(_rows(predictions, wrong, "bbox", what, predictions.boxes))[:EXPLAINED]


def _rotations(predictions: RawPredictions) -> Iterator[str]:
    rotations = None if predictions.poses is None else predictions.poses.rotations
    if rotations is None:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        product = rotations.transpose(0, 2, 1) @ rotations
        known = ~np.isnan(rotations[:, 0, 0])
        off = ~(np.abs(product - np.eye(3)).max(axis=(1, 2)) <= ORTHONORMAL_TOLERANCE)
        mirrored = np.linalg.det(np.where(off[:, None, None], np.eye(3), rotations)) < 0
    yield from _rows(predictions, known & off, "R", "is not orthonormal")
    yield from _rows(predictions, known & ~off & mirrored, "R", "is a reflection, not a rotation")


def _rows(
    predictions: RawPredictions, wrong: Any, field: str, what: str, shown: FloatArray | None = None
) -> Iterator[str]:
    for row in np.flatnonzero(wrong).tolist():
        value = "" if shown is None else f"{show(shown[row].tolist())} "
        image = shortened(predictions.images[int(predictions.image_index[row])])
        yield f"{predictions.path}: {predictions.describe(row, field)}: {value}{what} (image {image})"


def _misfits(predictions: RawPredictions, dataset: Known, at: IntArray) -> Iterator[str]:
    """Sizes and classes that are not the data set's."""
    if dataset.source != "none":
        yield from size_misfits(predictions, dataset.ground_truth().sizes_wh, at)
    if dataset.classes is not None:
        yield from _class_misfits(predictions, dataset.classes)


def _class_misfits(predictions: RawPredictions, classes: ClassTable) -> Iterator[str]:
    names = predictions.classes
    if names not in (None, classes.names):
        from anydet.contract.class_names import as_known

        alike = as_known(predictions.path, names or (), classes.names, quiet=True)
        names = tuple(alike[one] for one in names or ())
    if names is not None and sorted(names) != sorted(classes.names):
        yield f"meta.classes: [{listed(names, 20)}] where the data set has [{listed(classes.names, 20)}]"
    unknown = predictions.class_ids >= len(classes)
    for class_id in np.unique(predictions.class_ids[unknown]).tolist()[:_NAMED]:
        rows = np.flatnonzero(predictions.class_ids == class_id)
        image = shortened(predictions.images[int(predictions.image_index[rows[0]])])
        yield (
            f"{predictions.describe(int(rows[0]), 'class_id')}: {class_id} is beyond the "
            f"data set's {len(classes)} classes, in {len(rows)} detections (first in image {image})"
        )


def _unseen(keys: Sequence[str], at: IntArray) -> Iterator[str]:
    seen = np.zeros(len(keys), np.bool_)
    seen[at[at >= 0]] = True
    unseen = [keys[i] for i in np.flatnonzero(~seen).tolist()]
    if unseen:
        shown = listed(unseen, 3, quotes=False)
        yield f"no entry for {len(unseen)} images of the data set ({shown})"
