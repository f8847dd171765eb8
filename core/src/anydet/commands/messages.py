"""All that commands print: text from files and plugins reaches a terminal escaped and cut.

Results go to stdout, talk and warnings to stderr.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from anydet.text import escaped, safe_line

_NOT_ASCII = re.compile(r"[^\n\x20-\x7e]")


def echo(*lines: str, **style: Any) -> None:
    """Print lines of a result; a line break within one of them is escaped."""
    click.secho("\n".join(map(safe_line, lines)), **style)


def echo_path(path: Path | str) -> None:
    """Print where something was written, whole, as scripts read it."""
    click.echo(escaped(str(path)))


def echo_encoded(text: str, *, end: str = "\n") -> None:
    """Print JSON that is encoded already, as ASCII: a terminal obeys characters that JSON does not escape."""
    click.echo((text if text.isascii() else _NOT_ASCII.sub(_escape, text)) + end, nl=False)


def _escape(found: re.Match[str]) -> str:
    import json

    return json.dumps(found[0])[1:-1]


def say(*lines: str) -> None:
    """Print what is done to stderr."""
    click.echo("\n".join(map(safe_line, lines)), err=True)


def warn(text: object, label: str = "warning") -> None:
    """Print a warning to stderr."""
    click.secho(f"{label}: {safe_line(str(text))}", err=True, fg="yellow")
