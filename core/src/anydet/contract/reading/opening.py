"""Opening a predictions file by its shape."""

from __future__ import annotations

from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path

from anydet.contract.reading.json_source import open_document, open_lines
from anydet.contract.reading.source import Source
from anydet.errors import ContractError

_LINE_SUFFIXES = (".jsonl", ".ndjson")


def open_source(path: Path | str) -> Source:
    """Take a file apart, whatever its shape. It is closed by leaving the source's context.

    Raises:
        ContractError: it is not there, not JSON (with line and byte), or neither a list nor an object.
    """
    path = Path(path)
    try:
        with ExitStack() as opened:
            file = opened.enter_context(path.open("rb"))
            source = _take_apart(path, file)
            if source.file is file:
                # Entries of this shape are read while they are taken: the source closes the file.
                opened.pop_all()
            return source
    except OSError as exc:
        absent = isinstance(exc, FileNotFoundError)
        problem = "no such file" if absent else f"cannot be read: {exc.strerror}"
        raise ContractError(f"{path}: {problem}", fix="give the path of a predictions file") from exc


def _take_apart(path: Path, file: BufferedReader) -> Source:
    # Peeking instead of reading and going back: a pipe cannot go back.
    if path.suffix.lower() == ".parquet" or file.peek(4)[:4] == b"PAR1":
        from anydet.contract.reading.parquet import open_parquet

        return open_parquet(path)
    if path.suffix.lower() in _LINE_SUFFIXES:
        return open_lines(path, file)
    return open_document(path, file)
