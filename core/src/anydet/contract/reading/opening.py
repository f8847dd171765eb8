"""Opening a predictions file by its shape."""

from __future__ import annotations

from contextlib import ExitStack
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import cast

from anydet.contract.reading.json_source import open_document, open_lines
from anydet.contract.reading.source import Source
from anydet.errors import ContractError
from anydet.inputs import recoded, text_problem

_LINE_SUFFIXES = (".jsonl", ".ndjson")


def open_source(path: Path | str, *, recode: bool = False) -> Source:
    """Take a file apart, whatever its shape. It is closed by leaving the source's context.

    ``recode`` also takes text that is not in UTF-8, for a repair: its ``recoded`` says why it had to be.

    Raises:
        ContractError: it is not there, not JSON (with line and byte), or neither a list nor an object.
    """
    path = Path(path)
    try:
        with ExitStack() as opened:
            file = opened.enter_context(path.open("rb"))
            problem, readable = _in_utf8(file) if recode else ("", file)
            source = _take_apart(path, readable)
            source.recoded = problem
            if source.file is file:
                # Entries of this shape are read while they are taken: the source closes the file.
                opened.pop_all()
            return source
    except OSError as exc:
        absent = isinstance(exc, FileNotFoundError)
        problem = "no such file" if absent else f"cannot be read: {exc.strerror}"
        raise ContractError(f"{path}: {problem}", fix="give the path of a predictions file") from exc


def _in_utf8(file: BufferedReader) -> tuple[str, BufferedReader]:
    """Why a text had to be written as UTF-8, and a file of it; the file itself where all is well."""
    if file.peek(4)[:4] == b"PAR1":
        return "", file
    raw = file.read()
    text = recoded(raw)
    opened = cast("BufferedReader", BufferedReader(BytesIO(raw if text is None else text)))
    return ("" if text is None else text_problem(raw)), opened


def _take_apart(path: Path, file: BufferedReader) -> Source:
    # Peeking instead of reading and going back: a pipe cannot go back.
    if path.suffix.lower() == ".parquet" or file.peek(4)[:4] == b"PAR1":
        from anydet.contract.reading.parquet import open_parquet

        return open_parquet(path)
    if path.suffix.lower() in _LINE_SUFFIXES:
        return open_lines(path, file)
    return open_document(path, file)
