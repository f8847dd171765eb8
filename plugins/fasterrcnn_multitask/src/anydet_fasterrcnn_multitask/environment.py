"""Variables of a run: from the environment, or from a ``.env`` file."""

from __future__ import annotations

import os
from pathlib import Path

from anydet.errors import OptionError
from anydet.inputs import read_text

VARIABLES = ("TRAIN_JSON", "VAL_JSON", "TRAIN_CLEANED", "VAL_CLEANED", "OUTPUT_DIR")
"""Annotations to train and validate on, their image folders, and where results go."""


def read_variables(env_file: Path | None = None) -> dict[str, str]:
    """The variables that are set; the environment goes before the file.

    Args:
        env_file: lines ``NAME=value``; ``None`` takes ``.env`` of the working folder where there is one.

    Raises:
        OptionError: the file cannot be read, or a line is none of that form.
    """
    stated = read_env(env_file) if env_file is not None else _nearby()
    known = {name: os.environ.get(name) or stated.get(name, "") for name in VARIABLES}
    return {name: value for name, value in known.items() if value}


def read_env(file: Path) -> dict[str, str]:
    """What a ``.env`` file sets: ``NAME=value`` or ``export NAME="value"`` a line, ``#`` begins a comment."""
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise OptionError(f"{file}: cannot be read: {exc}", fix="name a file of lines NAME=value") from exc
    values = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise OptionError(
                f"{file}:{number}: {line!r} is not NAME=value", fix="correct or remove the line"
            )
        values[name.strip()] = _unquoted(value.strip())
    return values


def _nearby() -> dict[str, str]:
    file = Path(".env")
    return read_env(file) if file.is_file() else {}


def _unquoted(value: str) -> str:
    """Without its quotes; without a comment where there are none."""
    if value[:1] in {"'", '"'} and (end := value.find(value[0], 1)) > 0:
        return value[1:end]
    return value.partition(" #")[0].strip()
