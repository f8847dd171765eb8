"""Predictions in several files: which ones are meant by a folder or a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import TypeAlias

from anydet.errors import ContractError, OptionError

PredictionPaths: TypeAlias = Path | str | Sequence[Path | str]
"""A file, a folder of files, a pattern like ``shards/*.jsonl``, or a list of files."""
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet", ".csv")


def prediction_files(predictions: PredictionPaths) -> list[Path]:
    """The files that are meant; raises ``ContractError`` where there are none."""
    if not isinstance(predictions, str | Path):
        return [Path(path) for path in predictions]
    path = Path(predictions)
    if path.is_dir():
        from anydet.contract.reading.foreign.formats import no_predictions, of_path

        if of_path(path) is not None:
            return [path]  # a file for each image, read as one
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    elif not path.exists() and any(mark in str(path) for mark in "*?["):
        found = sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207 (an absolute pattern too)
        # All label files of a folder are one set of predictions: apart, reading takes as long as images^2.
        if found and found == sorted(found[0].parent.glob("*.txt")):
            return [found[0].parent]
    else:
        return [path]
    if not found and path.is_dir():
        raise no_predictions(path)
    if not found:
        raise ContractError(
            f"{path}: no predictions files there", fix=f"give files that end in {', '.join(_SUFFIXES)}"
        )
    return found


def single_file(predictions: Path, what: str) -> Path:
    """The file that a folder or pattern means, for what makes one file of one.

    Raises ``OptionError`` where it means several; ``what`` is what to type for one of them, ``FILE`` in its
    place.
    """
    files = prediction_files(predictions)
    if len(files) > 1:
        raise OptionError(
            f"{predictions}: {len(files)} files of predictions, and one is made of one",
            fix=f"name one after another: {what.replace('FILE', str(files[0]))}",
        )
    return files[0]
