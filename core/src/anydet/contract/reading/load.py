"""Read a predictions file into columns; a file that breaks the contract is refused with reasons."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.contract.hints import hint_values
from anydet.contract.locations import MEMORY, repair_command
from anydet.contract.raw import RawPredictions, Scan
from anydet.contract.reading.coco_results import coco_ids, read_coco_results, scan_coco_results, sizes_by_id
from anydet.errors import AnydetWarning, ContractError
from anydet.scanner import COCO_RESULTS, Scanner, Stop
from anydet.types import GroundTruthColumns

_FOREIGN = (".csv", ".tsv", ".txt")
_DOCUMENT_KEYS = frozenset({"annotations", "labels"})

if TYPE_CHECKING:
    from anydet.contract.reading.source import Source


def load(
    path: Path | str,
    scanner: Scanner | None = None,
    truth: Callable[[], GroundTruthColumns] | None = None,
    class_map: str | None = None,
    *,
    refuse_odd: bool = False,
) -> RawPredictions:
    """The columns of a predictions file of any shape; warns of what is left out of it.

    Args:
        path: the file.
        scanner: reads what it can, faster; the result is the same.
        truth: gives the data set whose ids COCO results name; called for these alone.
        class_map: how numbers of classes count, where they are not the data set's (``class_map``).
        refuse_odd: raise for what is left out, which is warned of otherwise: ``--strict``.

    Raises:
        ContractError: the file cannot be read, breaks the contract (``issues`` has every finding), or is a
            COCO results file and there is no ``truth``.
        OptionError: there is no such class map, or it does not fit the classes.
    """
    return accepted(valid(path, read(path, scanner, truth, class_map)), refuse_odd=refuse_odd)


def accepted(raw: RawPredictions, *, refuse_odd: bool = False) -> RawPredictions:
    """The predictions, after a warning for each kind of thing that was left out; or a ``ContractError``."""
    if raw.oddities and refuse_odd:
        raise ContractError.of(
            [f"{raw.path}: {line}" for line in raw.oddities],
            fix=f"correct them, or leave out --strict; {repair_command(raw.path, ' --dataset DATASET')}",
        )
    for line in raw.oddities:
        warnings.warn(f"{raw.path}: {line}", AnydetWarning, stacklevel=3)
    return raw


def load_source(source: Source) -> RawPredictions:
    """As ``load``, of a file of the contract that is open already."""
    if source.shape == "coco":
        raise without_truth(source.path)
    from anydet.contract.reading.entries import scan

    return valid(source.path, scan(source))


def without_truth(path: Path | str) -> ContractError:
    """The error of COCO results that are read without their data set."""
    return ContractError(
        f"{path}: a COCO results file, whose image and class ids are those of its data set",
        fix="give the data set of the predictions: --dataset",
    )


def valid(path: Path | str, found: Scan) -> RawPredictions:
    """What was read, or ``ContractError`` with all that is wrong with it."""
    if found.errors:
        raise ContractError.of(
            found.errors,
            fix=found.fix
            or (str(path) == MEMORY and repair_command(path))
            or f"{hint_values(found.errors)}list all problems with "
            f"'anydet validate-predictions {path} --json', "
            f"repair them with 'anydet validate-predictions {path} --repair OUT'",
        )
    return found.predictions


def read(
    path: Path | str,
    scanner: Scanner | None = None,
    truth: Callable[[], GroundTruthColumns] | None = None,
    class_map: str | None = None,
) -> Scan:
    """As ``load``, with what is wrong beside what is right; only COCO results are right or refused.

    Folders, CSV and text files, and documents of other tools, are read by ``reading.foreign``.
    """
    path = Path(path)
    if path.suffix.lower() in _FOREIGN or path.is_dir():
        from anydet.contract.reading.foreign.formats import of_path

        name = of_path(path)
        if name is not None or path.is_dir():
            return _foreign(path, name, truth, class_map=class_map)
    known: GroundTruthColumns | None = None
    quick = scan_predictions(path, scanner)
    if isinstance(quick, RawPredictions) and not _may_be_foreign(quick):
        return Scan(_without_map(quick, class_map), ())
    if isinstance(quick, Stop) and quick.reason == COCO_RESULTS and truth is not None:
        known = truth()
        results = scan_coco_results(path, *coco_ids(known, class_map), scanner)
        if results is not None:
            return Scan(results, ())
    # What reads entry by entry takes a while to import, and a file that was scanned whole needs none of it.
    from anydet.contract.reading.entries import scan
    from anydet.contract.reading.opening import open_source

    with open_source(path) as source:
        if source.shape != "coco":
            from anydet.contract.reading.foreign.formats import of_source

            name = of_source(source)
            if name is not None:
                return _foreign(path, name, truth, source.text, class_map)
            found = scan(source, scanner)
            located = quick.locate(found.errors) if isinstance(quick, Stop) else found.errors
            return Scan(_without_map(found.predictions, class_map), located)
        if truth is None:
            raise without_truth(path)
        known = truth() if known is None else known
        return Scan(read_coco_results(source, *coco_ids(known, class_map), partial(sizes_by_id, known)), ())


def _may_be_foreign(raw: RawPredictions) -> bool:
    """Whether a map of images without detections may be an empty document of another tool."""
    return raw.shape == "map" and not len(raw) and bool(_DOCUMENT_KEYS & set(raw.images))


def _without_map(raw: RawPredictions, class_map: str | None) -> RawPredictions:
    """The predictions of a file of the contract, which has no use for a class map and says so."""
    if class_map is None:
        return raw
    note = f"{raw.path}: class_id counts from 0 in files of the contract; the class map was not used"
    return replace(raw, notes=(*raw.notes, note))


def _foreign(
    path: Path,
    name: str | None,
    truth: Callable[[], GroundTruthColumns] | None,
    text: bytes = b"",
    class_map: str | None = None,
) -> Scan:
    from anydet.contract.reading.foreign.formats import no_predictions, read_path

    if name is None:
        raise no_predictions(path)
    return read_path(path, name, None if truth is None else truth(), text, class_map)


def meta_of(path: Path | str) -> dict[str, Any]:
    """The ``meta`` of a predictions file; empty where it has none, as files of other tools."""
    path = Path(path)
    if path.is_dir() or path.suffix.lower() in _FOREIGN:
        return {}
    from anydet.contract.reading.entries import read_meta
    from anydet.contract.reading.opening import open_source

    with open_source(path) as source:
        return {} if source.shape == "coco" else read_meta(source)[0] or {}


def scan_predictions(path: Path, scanner: Scanner | None) -> RawPredictions | Stop:
    """The columns of a JSON file that keeps the contract in every point, or where to doubt it.

    A ``Stop`` with the reason ``COCO_RESULTS`` says that the file is one of those; any other, that it must be
    read entry by entry.
    """
    if scanner is None or path.suffix.lower() == ".parquet":
        return Stop(0, "nothing to scan it with")
    found = scanner.predictions(path)
    if isinstance(found, Stop):
        return found
    from anydet.contract.reading.scanned import join_columns

    raw = join_columns(path, found, scanner)
    return Stop(0, "something that only reading by entry explains") if raw is None else raw
