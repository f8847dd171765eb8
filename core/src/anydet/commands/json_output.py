"""``--json [PATH]``: alone it prints the result as JSON, with a path it writes it there, beside the text."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from anydet.commands.messages import echo_encoded, say
from anydet.commands.paths import OUTPUT_JSON

_F = TypeVar("_F", bound=Callable[..., Any])

STDOUT = Path("-")


def json_option(what: str = "the result") -> Callable[[_F], _F]:
    """``--json``, whose value is ``None``, ``STDOUT`` or a path, as ``json_path``."""
    return click.option(
        "--json",
        "json_path",
        type=OUTPUT_JSON,
        is_flag=False,
        flag_value="-",
        metavar="[PATH]",
        help=f"Print {what} as JSON in place of the text; with a PATH, write it there and print the text.",
    )


def write_json(value: Any, path: Path | None) -> bool:
    """Write a result to where ``--json`` says; NaN and infinity become ``null``.

    Args:
        value: plain data.
        path: of ``json_option``.

    Returns:
        Whether stdout has the JSON, so that text must not follow there.
    """
    if path is None:
        return False
    write_encoded(encode(value), path)
    return path == STDOUT


def encode(value: Any) -> str:
    """Plain data as JSON."""
    import json

    try:
        return json.dumps(value, indent=2, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=2, allow_nan=False)


def write_encoded(text: str, path: Path) -> None:
    """Write what is JSON already to a file or, for ``STDOUT``, print it."""
    if path == STDOUT:
        echo_encoded(text)
        return
    from anydet.outputs import new_file

    with new_file(path) as file:
        file.write(f"{text}\n".encode())
    say(f"wrote {path}")


def _finite(value: Any) -> Any:
    """The same with ``null`` for NaN and infinity, which JSON has no notation for."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
