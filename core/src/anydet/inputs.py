"""Input: files that are read whole, and pipes, which are read once into a file that can be opened again.

A file may be of any size and not what it is taken for: where its beginning shows that, the rest is not read.
"""

from __future__ import annotations

import atexit
import errno
import os
import stat
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import IO, Any

from anydet.errors import DatasetError, OptionError
from anydet.text import quoted, show_as

MOST_BYTES = 1 << 36
"""Of what is read from a pipe: 64 GiB, so that one that never ends does."""
_BLOCK = 1 << 20
_HEAD = 1 << 13
"""Bytes at the beginning that are looked at; what Python's files read at once."""
_MARKS = (
    (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"),
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
SAVE_AS_UTF8 = "save it as UTF-8 without a byte order mark, as editors offer it, or convert it with iconv"
"""What to do with a file of which ``text_problem`` says something."""
_read: set[tuple[int, int]] = set()
_kept: list[dict[tuple[int, int], Path]] = []
"""Of each command that runs: files by (device, inode) that outputs must not replace."""
_looking: list[bool] = []
_MOST_KEPT = 10_000
"""Files that are kept: those that are named, annotations, and as many label files as memory is to hold."""


@contextmanager
def keeping_inputs() -> Iterator[None]:
    """Around a command: no output may replace a file that the command was given or reads data from."""
    _kept.append({})
    try:
        yield
    finally:
        _kept.pop()


@contextmanager
def only_looking() -> Iterator[None]:
    """Around a look at what files of a folder are: those that are no data may be replaced."""
    _looking.append(True)
    try:
        yield
    finally:
        _looking.pop()


def keep(path: Path) -> None:
    """Count a file among those that no output of this command may replace."""
    if _looking or not _kept or len(_kept[-1]) >= _MOST_KEPT:
        return
    with suppress(OSError, ValueError):  # not there: for whoever opens it to say
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            _kept[-1][found.st_dev, found.st_ino] = path


def release(path: Path) -> None:
    """Let a file be written again, as one of the run's own that goes on with what is in it."""
    if not _kept:
        return
    with suppress(OSError, ValueError):
        found = path.stat()
        _kept[-1].pop((found.st_dev, found.st_ino), None)


def is_kept(path: Path) -> bool:
    """Whether a file is one that this command reads, under this name or another one."""
    if not _kept or not _kept[-1]:
        return False
    try:
        found = path.stat()
        kept = _kept[-1].get((found.st_dev, found.st_ino))
        # The inode of a file that was removed since is given to a new one.
        return kept is not None and kept.stat().st_ino == found.st_ino
    except (OSError, ValueError):
        return False


def as_file(path: Path) -> Path:
    """``path`` itself; of a pipe (``/dev/stdin``, a FIFO, ``<(...)``), a file of what came through it.

    The file is gone when the process ends. ``-`` is stdin.

    Raises:
        OptionError: a pipe is named twice, gives more than can be kept, or it is a device or a socket.
    """
    if path == Path("-"):
        path = Path("/dev/stdin")
    try:
        found = path.stat()
    except (OSError, ValueError):  # not there, or no name at all: for whoever opens it to say
        return path
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return path
    # A terminal is a device from which a file can be typed.
    if not stat.S_ISFIFO(found.st_mode) and not _is_terminal(path):
        raise OptionError(f"{path}: is {kind_of(found.st_mode)}", fix="name a file, a folder or a pipe")
    identity = (found.st_dev, found.st_ino)
    if identity in _read:
        raise OptionError(
            f"{path}: a pipe can be read once, and it has been read",
            fix="write what comes through it to a file",
        )
    _read.add(identity)
    with path.open("rb") as pipe:
        first = pipe.read(_BLOCK)
        # The suffix says what a file holds: formats of data sets go by it.
        suffix = path.suffix or (".json" if first.lstrip()[:1] in (b"{", b"[") else "")
        try:
            # In a folder of its own: the name of the file is that of the pipe.
            target = _folder() / str(len(_read)) / f"{path.stem}{suffix}"
            target.parent.mkdir()
            _copy(path, first, pipe, target)
            show_as(str(target), str(path))
        except OSError as exc:
            raise OptionError(
                f"{path}: cannot be kept in the temporary folder: {exc.strerror or exc}",
                fix="write it to a file, or give TMPDIR a folder with more room",
            ) from exc
    return target


def _copy(path: Path, block: bytes, pipe: IO[bytes], target: Path) -> None:
    size = 0
    with target.open("wb") as file:
        while block:
            size += len(block)
            if size > MOST_BYTES:
                raise OptionError(
                    f"{path}: more than {MOST_BYTES >> 30} GiB came through it", fix="write it to a file"
                )
            file.write(block)
            block = pipe.read(_BLOCK)


def open_file(path: Path) -> BufferedReader:
    """A file within a data set, opened to be read.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a socket, which could be read only once.
    """
    mode = path.stat().st_mode if path.exists() else stat.S_IFREG  # opening it says that it is absent
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, f"it is {kind_of(mode)}, not a file", str(path))
    keep(path)
    return path.open("rb")


def read_file(path: Path) -> bytes:
    """The bytes of a file within a data set; raises as ``open_file``."""
    with open_file(path) as file:
        return file.read()


def read_json(file: Path | BufferedReader) -> bytes:
    """The bytes of a JSON file; of one that begins like no list and no object, the beginning."""
    return _read_whole(file, lambda head: head.lstrip()[:1] in (b"{", b"[", b""))


def read_xml(path: Path) -> bytes:
    """The bytes of an XML file, in any encoding; of one that begins like none, the beginning."""
    return _read_whole(path, _begins_like_xml)


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The text of a file; raises as ``Path.read_text``, for no text (NUL, not UTF-8) after its beginning."""
    text = _read_whole(path, _is_text).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text_bytes(path: Path) -> bytes:
    """As ``read_text``, not decoded."""
    return _read_whole(path, _is_text)


def known_json(path: Path) -> dict[str, Any]:
    """Keys and values of a file that a run left for the next one; none where it is not there or broken."""
    import json

    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_whole(file: Path | BufferedReader, fits: Callable[[bytes], bool]) -> bytes:
    if isinstance(file, Path):
        with open_file(file) as opened:
            return _read_whole(opened, fits)
    head = file.peek(_HEAD)
    return file.read() if fits(head) else file.read(min(len(head), _HEAD))


def _begins_like_xml(head: bytes) -> bool:
    # Of UTF-16, every other byte is zero.
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1] in (b"<", b"")


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        # A character may be cut at the end of what was looked at.
        return exc.start >= len(head) - 3 and b"\0" not in head
    return b"\0" not in head


def mark_problem(raw: bytes) -> str:
    """As ``text_problem``, of what the beginning of a text shows."""
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return f"it is {name}, where plain UTF-8 belongs"
    if b"\0" in raw[:_HEAD]:
        return "it holds zero bytes: UTF-16 without a byte order mark, or no text"
    return ""


def text_problem(raw: bytes) -> str:
    """Why bytes are no UTF-8 text without a mark, and how they look instead; "" where they are."""
    if problem := mark_problem(raw):
        return problem
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        return (
            f"not UTF-8 at byte {exc.start + 1}, in line {line} (0x{raw[exc.start]:02x}): perhaps latin-1 or "
            "cp1252"
        )
    return ""


def recoded(raw: bytes) -> bytes | None:
    """Text of another encoding as UTF-8 without a mark; ``None`` where it is that, or is no text.

    Bytes that are no UTF-8 are taken for cp1252, which has all of what latin-1 prints.
    """
    if not text_problem(raw):
        return None
    mark = next((name for mark, name in _MARKS if raw.startswith(mark)), "")
    known = {"UTF-8 with a byte order mark": "utf-8-sig", "UTF-32": "utf-32", "UTF-16": "utf-16"}
    for encoding in (known[mark],) if mark else ("cp1252", "latin-1"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text.encode()
    return None


def text_file_problem(path: Path) -> str:
    """As ``text_problem``, of a file, in which a byte order mark of UTF-8 is fine; raises ``OSError``."""
    return text_problem(read_text_bytes(path).removeprefix(_MARKS[0][0]))


def require_text(path: Path) -> None:
    """Raise ``DatasetError`` for a file that is no UTF-8 text; a byte order mark of UTF-8 is fine."""
    try:
        problem = text_file_problem(path)
    except OSError:
        return  # for whoever reads it to say
    if problem:
        raise DatasetError(f"{path}: {problem}", fix=SAVE_AS_UTF8)


def unique_keys(loader: type[Any]) -> type[Any]:
    """A PyYAML loader like ``loader`` that refuses a key twice in a mapping, of which the last would win."""
    import yaml

    class UniqueKeys(loader):  # type: ignore[misc]  # a class that is known when this runs
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{quoted(key.value)} occurs twice", key.start_mark
                        )
                    seen.add(key.value)
            return node

    return UniqueKeys


def first_files(folder: Path, suffixes: Container[str], most: int) -> Iterator[Path]:
    """Files of a folder by their suffixes (in small letters), hidden ones left out; none if it is none."""
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if not entry.name.startswith("."))
            named = (folder / name for name in names if Path(name).suffix.lower() in suffixes)
            yield from islice(named, most)
    except OSError:
        return


def there_is(file: Path) -> bool:
    """Whether a data set has a file of that name.

    Raises ``DatasetError`` where what has it is no file that can be opened twice: a pipe, a device, a socket.
    """
    if file.is_file():
        return True
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return False
    if stat.S_ISDIR(mode):
        return False
    raise DatasetError(f"{file}: it is {kind_of(mode)}, not a file", fix="put a file there, or remove it")


@cache
def _folder() -> Path:
    import shutil
    from tempfile import mkdtemp

    folder = Path(mkdtemp(prefix="anydet-pipe-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_terminal(path: Path) -> bool:
    try:
        return path == Path("/dev/stdin") and os.isatty(0)
    except OSError:
        return False


def kind_of(mode: int) -> str:
    """What something with this ``st_mode`` is that is no regular file."""
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISDIR, "a folder"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")
