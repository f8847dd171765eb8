"""Read a predictions file into columns; a file that breaks the contract is refused with reasons."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.contract.hints import hint_scores
from anydet.contract.locations import MEMORY, repair_command
from anydet.contract.raw import RawPredictions, Scan
from anydet.contract.reading.coco_results import coco_ids, load_coco_results, read_coco_results, sizes_by_id
from anydet.errors import ContractError
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
) -> RawPredictions:
    """The columns of a predictions file of any shape.

    Args:
        path: the file.
        scanner: reads what it can, faster; the result is the same.
        truth: gives the data set whose ids COCO results name; called for these alone.
        class_map: how their category ids count, where they are not the data set's (``result_ids``).

    Raises:
        ContractError: the file cannot be read, breaks the contract (``issues`` has every finding), or is a
            COCO results file and there is no ``truth``.
    """
    return valid(path, read(path, scanner, truth, class_map))


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
            or f"{hint_scores(found.errors)}list all problems with "
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
            return _foreign(path, name, truth)
    quick = scan_predictions(path, scanner)
    if isinstance(quick, RawPredictions) and not _may_be_foreign(quick):
        return Scan(quick, ())
    if isinstance(quick, Stop) and quick.reason == COCO_RESULTS and truth is not None:
        known = truth()
        ids = coco_ids(known, class_map)
        return Scan(load_coco_results(path, *ids, scanner, partial(sizes_by_id, known)), ())
    # What reads entry by entry takes a while to import, and a file that was scanned whole needs none of it.
    from anydet.contract.reading.entries import scan
    from anydet.contract.reading.opening import open_source

    with open_source(path) as source:
        if source.shape != "coco":
            from anydet.contract.reading.foreign.formats import of_source

            name = of_source(source)
            if name is not None:
                return _foreign(path, name, truth, source.text)
            found = scan(source, scanner)
            located = quick.locate(found.errors) if isinstance(quick, Stop) else found.errors
            return Scan(found.predictions, located)
        if truth is None:
            raise without_truth(path)
        known = truth()
        return Scan(read_coco_results(source, *coco_ids(known, class_map), partial(sizes_by_id, known)), ())


def _may_be_foreign(raw: RawPredictions) -> bool:
    """Whether a map of images without detections may be an empty document of another tool."""
    return raw.shape == "map" and not len(raw) and bool(_DOCUMENT_KEYS & set(raw.images))


def _foreign(
    path: Path, name: str | None, truth: Callable[[], GroundTruthColumns] | None, text: bytes = b""
) -> Scan:
    from anydet.contract.reading.foreign.formats import read_path

    if name is None:
        raise ContractError(
            f"{path}: a folder that holds no predictions with a file for each image",
            fix="give a predictions file, or a folder of label files with confidences",
        )
    return read_path(path, name, None if truth is None else truth(), text)


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
