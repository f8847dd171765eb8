"""Text of predictions files: UTF-8, or another encoding, which a repair reads and all others name."""

from __future__ import annotations

from pathlib import Path

from anydet.errors import ContractError
from anydet.inputs import SAVE_AS_UTF8, read_file, recoded, text_problem


def not_utf8(path: Path, problem: str) -> ContractError:
    """The error of a file of which ``inputs.text_problem`` says something."""
    command = f"'anydet validate-predictions {path} --dataset DATASET --repair OUT.json'"
    # A repair can read what is text.
    repair = "" if "or no text" in problem else f", or have it written so by {command}"
    return ContractError(f"{path}: {problem}", fix=SAVE_AS_UTF8 + repair)


def text_of(path: Path, *, recode: bool) -> tuple[str, str]:
    """The text of a file, without a byte order mark of UTF-8, and why it had to be recoded, or "".

    Args:
        path: the file.
        recode: also read other encodings: that of its mark, or cp1252.

    Raises:
        ContractError: it is in another encoding, or no text.
        OSError: it cannot be read.
    """
    raw = read_file(path)
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        problem = text_problem(raw)
    text = recoded(raw) if recode else None
    if text is None:
        raise not_utf8(path, problem)
    return text.decode(), problem
