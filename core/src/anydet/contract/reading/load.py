"""Read a predictions file into columns; a file that breaks the contract is refused with reasons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.contract.hints import hint_scores
from anydet.contract.raw import RawPredictions, Scan
from anydet.contract.reading.coco_results import coco_ids, load_coco_results, read_coco_results
from anydet.errors import ContractError
from anydet.scanner import COCO_RESULTS, Scanner, Stop
from anydet.types import GroundTruthColumns

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
    return _valid(path, read(path, scanner, truth, class_map))


def load_source(source: Source) -> RawPredictions:
    """As ``load``, of a file of the contract that is open already."""
    if source.shape == "coco":
        raise _without_truth(source.path)
    from anydet.contract.reading.entries import scan

    return _valid(source.path, scan(source))


def _without_truth(path: Path | str) -> ContractError:
    return ContractError(
        f"{path}: a COCO results file, whose image and class ids are those of its data set",
        fix="give the data set of the predictions: --dataset",
    )


def _valid(path: Path | str, found: Scan) -> RawPredictions:
    if found.errors:
        raise ContractError.of(
            found.errors,
            fix=f"{hint_scores(found.errors)}list all problems with "
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
    """As ``load``, with what is wrong beside what is right; only COCO results are right or refused."""
    quick = scan_predictions(Path(path), scanner)
    if isinstance(quick, RawPredictions):
        return Scan(quick, ())
    if quick.reason == COCO_RESULTS and truth is not None:
        return Scan(load_coco_results(path, *coco_ids(truth(), class_map), scanner), ())
    # What reads entry by entry takes a while to import, and a file that was scanned whole needs none of it.
    from anydet.contract.reading.entries import scan
    from anydet.contract.reading.opening import open_source

    with open_source(path) as source:
        if source.shape != "coco":
            found = scan(source, scanner)
            return Scan(found.predictions, quick.locate(found.errors))
        if truth is None:
            raise _without_truth(path)
        return Scan(read_coco_results(source, *coco_ids(truth(), class_map)), ())


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
