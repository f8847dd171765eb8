"""Results of an adapter as evaluators read them: through a file, as an export writes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from anydet.contract.encode import encode_entry
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.load import load
from anydet.contract.write import write_predictions
from anydet.scanner import Scanner
from anydet.types import ClassTable, ImagePredictions


def read_results(
    results: Iterable[ImagePredictions], classes: ClassTable | None, scanner: Scanner | None = None
) -> RawPredictions:
    """Results as they are read from a file of them.

    Args:
        results: of images.
        classes: of the adapter that gave them.
        scanner: reads JSON faster, with the same result.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.json"
        write_predictions(map(encode_entry, results), file)
        raw = load(file, scanner)
    return raw if classes is None else replace(raw, classes=classes.names)
