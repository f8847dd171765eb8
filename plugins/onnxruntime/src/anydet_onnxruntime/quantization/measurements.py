"""``Measurements``: numbers that took long, each on disk as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from anydet.errors import OptionError
from anydet.outputs import remove_leftovers, writing_to

SUFFIX = ".partial"
"""Behind the output's name: the file of an unfinished run."""


class Measurements:
    """The numbers of one run by name, in ``OUTPUT.partial``; a context manager that closes the file.

    Args:
        output: the file that shall come out at the end.
        identity: everything that decides what the numbers are; a resumed run must have the same.
        resume: go on with a file that is there.

    Attributes:
        path: the file.
        resumed: how many numbers an earlier run had left.

    Raises:
        OptionError: a file is there and ``resume`` is off, or it belongs to another run.
        OutputError: it cannot be written.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        self.path = output.with_name(output.name + SUFFIX)
        self._values: dict[str, list[float]] = {}
        with writing_to(output, self.path):
            output.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(output)
            there = self.path.exists()
            if there and not resume:
                raise OptionError(
                    f"{self.path} holds an unfinished run",
                    fix=f"add --resume to go on with it, or remove {self.path} to start over",
                )
            if there:
                self._read(identity)
            self._file: IO[bytes] = self.path.open("ab")
        self.resumed = len(self._values)
        if not there:
            self._append(identity)

    def __len__(self) -> int:
        return len(self._values)

    def __enter__(self) -> Measurements:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, name: str, measure: Callable[[], Sequence[float]]) -> Sequence[float]:
        """Numbers: those that are there, else what ``measure`` gives, which is kept."""
        if name not in self._values:
            self._values[name] = list(map(float, measure()))
            self._append({"name": name, "values": self._values[name]})
        return self._values[name]

    def remove(self) -> None:
        """Remove the file, when nothing is left to be resumed."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _append(self, line: Mapping[str, Any]) -> None:
        with writing_to(self.path):
            self._file.write(json.dumps(line).encode() + b"\n")
            # Handed to the operating system, so that a process that is killed leaves it.
            self._file.flush()

    def _read(self, identity: Mapping[str, Any]) -> None:
        """The numbers of an earlier run, without a last line that was cut short."""
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            first, *lines = map(json.loads, whole.splitlines())
            before = dict(first)
            self._values = {line["name"]: list(map(float, line["values"])) for line in lines}
        except (ValueError, TypeError, KeyError) as exc:
            raise OptionError(
                f"{self.path} is no file of an unfinished run", fix=f"remove {self.path} to start over"
            ) from exc
        differing = [key for key, value in identity.items() if before.get(key) != value]
        if differing:
            raise OptionError(
                f"{self.path} is of another run: {', '.join(differing)} differ",
                fix=f"repeat the former command with --resume, or remove {self.path} to start over",
            )
        if len(whole) < len(content):
            self.path.write_bytes(whole)
