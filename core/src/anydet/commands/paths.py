"""Paths that commands read from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class InputPath(click.Path):
    """A file or folder; of a pipe, which is read once, a file of what came through it; ``-`` is stdin."""

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(path_type=Path, exists=exists, allow_dash=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of a file that can be opened as often as needed."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.is_file():
            from anydet.inputs import keep

            keep(path)
        if path.is_file() or path.is_dir():
            return path
        from anydet.errors import OptionError
        from anydet.inputs import as_file

        try:
            return as_file(path)
        except OptionError as exc:
            self.fail(f"{exc.problem}; {exc.fix}", param, ctx)


class DatasetPath(InputPath):
    """A data set: as ``InputPath``, or ``corruption:NAME:SEVERITY:PATH``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name by which ``open_dataset`` opens it."""
        clean = clean_path(value)
        found = super().convert(clean, param, ctx)
        return Path(f"{str(value).removesuffix(str(clean))}{found}")


def clean_path(dataset: Path | str) -> Path:
    """The path in the name of a data set, without the corruption before it."""
    if not str(dataset).startswith("corruption:"):
        return Path(dataset)
    from anydet.data.corruptions.corruption import split_path

    return split_path(dataset)[1]


INPUT = InputPath()
DATASET = DatasetPath()
