"""Opening a predictions file by its shape."""

from __future__ import annotations

from pathlib import Path

from anydet.contract.reading.json_source import open_document, open_lines
from anydet.contract.reading.source import Source
from anydet.errors import ContractError

_LINE_SUFFIXES = (".jsonl", ".ndjson")


def open_source(path: Path | str) -> Source:
    """Take a file apart, whatever its shape.

    Raises:
        ContractError: it is not there, not JSON (with line and byte), or neither a list nor an object.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".parquet" or file.read(4) == b"PAR1":
                from anydet.contract.reading.parquet import open_parquet

                return open_parquet(path)
        if path.suffix.lower() in _LINE_SUFFIXES:
            return open_lines(path)
        return open_document(path, path.read_bytes())
    except OSError as exc:
        absent = isinstance(exc, FileNotFoundError)
        problem = "no such file" if absent else f"cannot be read: {exc.strerror}"
        raise ContractError(f"{path}: {problem}", fix="give the path of a predictions file") from exc
