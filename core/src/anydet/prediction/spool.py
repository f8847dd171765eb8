"""Where finished chunks wait: one encoded entry a line, on disk as soon as the chunk is done.

Whatever the output's format, entries go to ``OUTPUT.partial`` first. A run that is killed leaves it behind
with a description of the run in ``OUTPUT.partial.json``; ``--resume`` cuts it at the last whole chunk and
goes on. The finished file is assembled from it, written aside and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from anydet.errors import OptionError


@dataclass(slots=True)
class Spool:
    """The entries of one run.

    Attributes:
        entries: the file of encoded entries.
        identity_path: the file that says which run they belong to.
        count: entries in it.
    """

    entries: Path
    identity_path: Path
    count: int
    _file: IO[bytes]

    @classmethod
    def open(cls, output: Path, identity: Mapping[str, Any], *, chunk: int, resume: bool) -> Spool:
        """Start a spool beside ``output``, or go on with the one that is there.

        Args:
            output: the file that shall come out at the end.
            identity: everything that decides what the entries are; a resumed run must have the same.
            chunk: entries a chunk; a resumed spool is cut to a multiple of it.
            resume: go on with a spool that is there.

        Raises:
            OptionError: a spool is there and ``resume`` is off, or it belongs to another run.
        """
        entries = output.with_name(output.name + ".partial")
        described = output.with_name(output.name + ".partial.json")
        output.parent.mkdir(parents=True, exist_ok=True)
        if not entries.exists():
            described.write_text(json.dumps(identity, indent=1), "utf-8")
            return cls(entries, described, 0, entries.open("xb"))
        if not resume:
            raise OptionError(
                f"{entries} holds an unfinished run",
                fix=f"add --resume to go on with it, or remove {entries} to start over",
            )
        _same_run(described, identity)
        count, size = _whole_chunks(entries, chunk)
        file = entries.open("r+b")
        file.truncate(size)
        file.seek(size)
        return cls(entries, described, count, file)

    def append(self, lines: Sequence[bytes]) -> None:
        """Add a finished chunk and hand it to the operating system, so that a killed run keeps it."""
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()
        self.count += len(lines)

    def lines(self) -> Iterator[bytes]:
        """All entries, without line ends, one at a time."""
        self._file.flush()
        with self.entries.open("rb") as file:
            for line in file:
                yield line[:-1]

    def close(self) -> None:
        """Stop writing and leave everything on disk."""
        self._file.close()

    def remove(self) -> None:
        """The output is complete: nothing is left to resume."""
        self.close()
        self.entries.unlink(missing_ok=True)
        self.identity_path.unlink(missing_ok=True)


def _same_run(described: Path, identity: Mapping[str, Any]) -> None:
    fix = "give the same options as the first run, or remove the .partial files to start over"
    try:
        before = json.loads(described.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise OptionError(f"{described} does not say which run it belongs to: {exc}", fix=fix) from exc
    now = json.loads(json.dumps(identity))
    changed = [f"{k}: {before.get(k)!r} then, {v!r} now" for k, v in now.items() if before.get(k) != v]
    if changed:
        raise OptionError(f"cannot resume {described}: it is another run ({'; '.join(changed)})", fix=fix)


def _whole_chunks(entries: Path, chunk: int) -> tuple[int, int]:
    """(entries, bytes) up to the end of the last whole chunk; a torn last line does not count."""
    count = size = whole_count = whole_size = 0
    with entries.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            count, size = count + 1, size + len(line)
            if count % chunk == 0:
                whole_count, whole_size = count, size
    return whole_count, whole_size
