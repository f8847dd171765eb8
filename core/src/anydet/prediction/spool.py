"""Where finished chunks wait: one encoded entry a line, on disk as soon as the chunk is done.

Whatever the output's format, entries go to ``OUTPUT.partial`` first. ``OUTPUT.partial.log`` says which run
they belong to and what each chunk holds. A run that is killed leaves both behind; ``--resume`` cuts them at
the last whole chunk and goes on. The finished file is assembled from the entries, written aside and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import field
from pathlib import Path
from typing import IO, Any

import msgspec

from anydet.dataclass import dataclass
from anydet.errors import OptionError
from anydet.outputs import remove_leftovers, writing_to

LOG_SUFFIX = ".partial.log"
"""Behind the output's name: the file that says which run its entries belong to."""


class Tally(msgspec.Struct, frozen=True):
    """What a chunk holds.

    Attributes:
        images: entries.
        detections: detections in them.
        skipped: (image, reason) of images that could not be decoded or predicted.
    """

    images: int
    detections: int
    skipped: tuple[tuple[str, str], ...] = ()


class _Logged(msgspec.Struct, frozen=True):
    """A line of the log: a chunk and how many bytes of entries there are up to its end."""

    end: int
    tally: Tally


_decode_logged = msgspec.json.Decoder(_Logged).decode


@dataclass(slots=True)
class Spool:
    """The entries of one run.

    Attributes:
        path: the file of encoded entries.
        log_path: the file that says which run they belong to, and a line a chunk.
        images, detections, skipped: sums over all chunks, those of an earlier run too.
    """

    path: Path
    log_path: Path
    _entries: IO[bytes]
    _log: IO[bytes]
    images: int = 0
    detections: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def open(cls, output: Path, identity: Mapping[str, Any], *, resume: bool) -> Spool:
        """Start a spool beside ``output``, or go on with the one that is there.

        Args:
            output: the file that shall come out at the end.
            identity: everything that decides what the entries are; a resumed run must have the same.
            resume: go on with a spool that is there.

        Raises:
            OptionError: a spool is there and ``resume`` is off, or it belongs to another run.
        """
        path, log_path = _entries_path(output), _log_path(output)
        with writing_to(output, path, log_path):
            output.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(output)
            if not path.exists():
                # The log first: entries count as an unfinished run, and those need a log to be resumed.
                try:
                    log_path.write_text(json.dumps(identity) + "\n", "utf-8")
                    return cls(path, log_path, path.open("xb"), log_path.open("ab"))
                except BaseException:  # KeyboardInterrupt too: a log alone is no run to go on with
                    path.unlink(missing_ok=True)
                    log_path.unlink(missing_ok=True)
                    raise
        if not resume:
            raise _unfinished(path, log_path, identity)
        _require_same_run(log_path, identity)
        with ExitStack() as opened:  # until all is well, so that no file stays open
            entries = opened.enter_context(path.open("r+b"))
            log = opened.enter_context(log_path.open("r+b"))
            spool = cls(path, log_path, entries, log)
            spool._go_on()
            opened.pop_all()
        return spool

    def append(self, lines: Sequence[bytes], tally: Tally) -> None:
        """Add a finished chunk and hand it to the operating system, so that a killed run keeps it."""
        with writing_to(self.path, self.path, self.log_path):
            self._entries.write(b"".join(line + b"\n" for line in lines))
            # The entries go first: what the log names must be there, and a resumed run cuts off the rest.
            self._entries.flush()
            self._log.write(msgspec.json.encode(_Logged(self._entries.tell(), tally)) + b"\n")
            self._log.flush()
        self._count(tally)

    def lines(self) -> Iterator[bytes]:
        """All entries, without line ends, one at a time."""
        with self.path.open("rb") as file:
            for line in file:
                yield line[:-1]

    def close(self) -> None:
        """Stop writing and leave everything on disk."""
        for file in (self._entries, self._log):
            # Each chunk is flushed. What is left is of one that could not be written, which was said then.
            with suppress(OSError):
                file.close()

    def remove(self) -> None:
        """The output is complete: nothing is left to resume."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.log_path.unlink(missing_ok=True)

    def _go_on(self) -> None:
        """Sum up the whole chunks, and cut both files after the last of them."""
        size, end = self.path.stat().st_size, 0
        whole = len(self._log.readline())
        for line in self._log:
            if not line.endswith(b"\n"):
                break
            logged = _decode_logged(line)
            # After a loss of power the log may have reached the disk and the entries not
            if logged.end > size:
                break
            whole, end = whole + len(line), logged.end
            self._count(logged.tally)
        for file, length in ((self._entries, end), (self._log, whole)):
            file.seek(length)
            file.truncate()

    def _count(self, tally: Tally) -> None:
        self.images += tally.images
        self.detections += tally.detections
        self.skipped += tally.skipped


def discard(output: Path) -> None:
    """Remove what an interrupted run left beside ``output``; nothing where there is nothing."""
    for path in (_entries_path(output), _log_path(output)):
        path.unlink(missing_ok=True)


def is_unfinished(output: Path) -> bool:
    """Whether an interrupted run left parts of it that can be resumed."""
    return _entries_path(output).exists()


def _entries_path(output: Path) -> Path:
    return output.with_name(output.name + ".partial")


def _log_path(output: Path) -> Path:
    return output.with_name(output.name + LOG_SUFFIX)


def _unfinished(path: Path, log_path: Path, identity: Mapping[str, Any]) -> OptionError:
    try:
        before = _logged_identity(log_path)
    except (OSError, ValueError):
        before = {}
    if before.get("ttt"):
        return OptionError(
            f"{path} is left of a run with test-time training, which cannot be resumed",
            fix=f"remove {path} to start over",
        )
    if identity.get("ttt"):
        return OptionError(
            f"{path} holds an unfinished run without test-time training",
            fix=f"give another --output, or remove {path} to start over",
        )
    return OptionError(
        f"{path} holds an unfinished run",
        fix=f"add --resume to go on with it, or remove {path} to start over",
    )


def _logged_identity(log_path: Path) -> dict[str, Any]:
    """Raises ``OSError`` or ``ValueError`` where there is none."""
    with log_path.open("rb") as log:
        identity = json.loads(log.readline())
    if not isinstance(identity, dict):
        raise ValueError("its first line is no JSON object")
    return identity


def _require_same_run(log_path: Path, identity: Mapping[str, Any]) -> None:
    fix = "give the same options as the first run, or remove the .partial files to start over"
    try:
        before = _logged_identity(log_path)
    except (OSError, ValueError) as exc:
        raise OptionError(f"{log_path} does not say which run it belongs to: {exc}", fix=fix) from exc
    # Through JSON as the log was, which makes lists of tuples.
    now = json.loads(json.dumps(identity))
    changed = list(_differences(before, now))
    if changed:
        raise OptionError(f"cannot resume {log_path}: it is another run ({'; '.join(changed)})", fix=fix)


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """``tta.weights: [] then, [2.0, 1.0] now``: each value that differs, and nothing around it."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif before != now:
        yield f"{path}: {before!r} then, {now!r} now"
