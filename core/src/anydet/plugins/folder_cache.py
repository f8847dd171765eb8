"""What was found in folders and files, remembered from one process to the next.

The cache is one file, ``anydet/folders.json`` in the user's cache folder (``XDG_CACHE_HOME``, else
``~/.cache``); ``ANYDET_CACHE=0`` neither reads nor writes it. An entry holds while its folder or file and the
files that were read have the times of modification that they had. Whatever is wrong with the file (absent,
damaged, of another user, in a folder that cannot be written) costs the time of looking again, and no more.
"""

from __future__ import annotations

import json
import os
import time
from binascii import crc32
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

_LAYOUT = 1
_MOST_ENTRIES = 100
_SETTLED_NS = 2_000_000_000
"""Age of a change below which nothing is remembered: file systems count time in steps of up to two
seconds, and a second change within one step would not show."""


class FolderCache:
    """Values by folder or file; ``save`` writes those that are new.

    Args:
        file: where they are kept, ``None`` for nowhere.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._entries = _read(file) if file else {}
        self._modified: dict[str, int] = {}
        self._new = False

    @classmethod
    def of_user(cls) -> FolderCache:
        """The cache of the user who runs the process."""
        base = os.environ.get("XDG_CACHE_HOME", "")
        folder = Path(base) if base else Path(os.path.expanduser("~"), ".cache")  # noqa: PTH111 (never raises)
        off = os.environ.get("ANYDET_CACHE") == "0" or not folder.is_absolute()
        return cls(None if off else folder / "anydet" / "folders.json")

    def value(self, path: str, look: Callable[[], tuple[Any, Iterable[str]]]) -> Any:
        """The value of a folder or file: the one remembered while it holds, else a new one.

        Args:
            path: absolute path.
            look: gives a new value, made of lists and strings, and the files that it was read from.
        """
        found = self.known(path)
        if found is None:
            found, files = look()
            self.remember(path, found, files)
        return found

    def known(self, path: str) -> Any:
        """The value remembered of a folder or file, ``None`` where none is or it does not hold any more."""
        # Read before a new value is: what changes while that is made shows the next time.
        modified = self._modified[path] = _modified(path)
        entry = self._entries.get(path)
        if entry and modified == entry[0] and all(_modified(f) == t for f, t in entry[1].items()):
            return entry[2]
        return None

    def remember(self, path: str, value: Any, files: Iterable[str]) -> None:
        """Remember a value that was made after ``known`` gave none; arguments as in ``value``."""
        modified, times = self._modified[path], {file: _modified(file) for file in files}
        if all(t < time.time_ns() - _SETTLED_NS for t in (modified, *times.values())):
            self._entries.pop(path, None)  # the newest are last
            self._entries[path] = [modified, times, value]
            self._new = True

    def save(self) -> None:
        """Write what is new. Of two processes that do so at a time, the last one's file stays."""
        if self._file is None or not self._new:
            return
        kept = dict(list(self._entries.items())[-_MOST_ENTRIES:])
        content = json.dumps([_LAYOUT, kept]).encode()
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(b"%08x %b" % (crc32(content), content))
            draft.replace(self._file)
            self._new = False
        except OSError:
            with suppress(OSError):
                draft.unlink()


def _read(file: Path) -> dict[str, Any]:
    """The entries of a file; none of one that is not as it was written."""
    try:
        with file.open("rb") as stream:
            if hasattr(os, "geteuid") and os.fstat(stream.fileno()).st_uid != os.geteuid():
                return {}
            checksum, _, content = stream.read().partition(b" ")
        if checksum != b"%08x" % crc32(content):
            return {}
        layout, entries = json.loads(content)
    except (OSError, ValueError):
        return {}
    return entries if layout == _LAYOUT else {}


def _modified(path: str) -> int:
    """Time of modification in nanoseconds; -1 for what is not there."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 (a path object for each takes longer than the call)
    except (OSError, ValueError):
        return -1
