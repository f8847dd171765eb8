"""Paths that commands read from and write to."""

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
            _require_no_output(path, ctx)
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
        # As a path both end alike: a shell completes folders with a slash.
        return Path(f"{str(Path(value)).removesuffix(str(clean))}{found}")


class OutputPath(click.Path):
    """A file or folder to write, looked at before the work that it is for.

    Args:
        file: whether it may be a file.
        folder: whether it may be a folder.
        dash: whether ``-`` is stdout.
        suffixes: in small letters, of which a file's name must have one, as its content follows it.
    """

    def __init__(
        self, *, file: bool = True, folder: bool = False, dash: bool = False, suffixes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(path_type=Path, file_okay=file, dir_okay=folder, allow_dash=dash)
        self._suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; refused where it cannot be written, or another output of the command has it."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if self._suffixes:
            self._require_suffix(path, param, ctx)
        if ctx is not None and param is not None:
            self._require_single(path, param, ctx)
        if path != Path("-"):
            from anydet.outputs import require_writable, require_writable_folder

            check = require_writable if self.file_okay and not path.is_dir() else require_writable_folder
            check(path)
        return path

    def _require_suffix(self, path: Path, param: click.Parameter | None, ctx: click.Context | None) -> None:
        from anydet.outputs import is_stream

        if path.suffix.lower() not in self._suffixes and not is_stream(path):
            known = f"{', '.join(self._suffixes[:-1])} or {self._suffixes[-1]}"
            self.fail(f"the name of {path} does not end in {known}", param, ctx)

    def _require_single(self, path: Path, param: click.Parameter, ctx: click.Context) -> None:
        """Of two outputs with one name the second would replace the first, or be mixed with it."""
        if path == Path(os.devnull):
            return
        place = os.path.realpath("/dev/stdout" if path == Path("-") else path)
        name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        other = ctx.meta.setdefault(_OUTPUTS, {}).setdefault(place, name)
        if other != name:
            self.fail(f"{path} is the output of {other}, too: name another one", param, ctx)


_OUTPUTS = "anydet.outputs"
"""Key in the ``meta`` of a context: place of each output -> the option that names it."""


def _require_no_output(path: Path, ctx: click.Context | None) -> None:
    """Raise ``OptionError`` for an input that an option before it names as output."""
    if ctx is not None and os.path.realpath(path) in ctx.meta.get(_OUTPUTS, {}):
        from anydet.outputs import refuse_input

        refuse_input(path)


def clean_path(dataset: Path | str) -> Path:
    """The path in the name of a data set, without the corruption before it."""
    if not str(dataset).startswith("corruption:"):
        return Path(dataset)
    from anydet.data.corruptions.corruption import split_path

    return split_path(dataset)[1]


INPUT = InputPath()
DATASET = DatasetPath()
OUTPUT = OutputPath()
OUTPUT_JSON = OutputPath(dash=True)
OUTPUT_FOLDER = OutputPath(file=False, folder=True)
OUTPUT_ANY = OutputPath(folder=True)
CHART = OutputPath(suffixes=(".png", ".svg"))
"""A picture that matplotlib draws, in the format that its suffix names."""
