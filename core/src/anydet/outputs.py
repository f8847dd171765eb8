"""Where results are written: whole or not at all, and into what is no file.

A file is written under a hidden name beside its target and renamed when it is complete, so that a process
that is killed leaves the former file as it was, and a hidden ``.NAME.*.partial``. Nothing waits for the disk:
what a loss of power leaves is up to the file system.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from anydet.errors import OptionError, OutputError
from anydet.inputs import is_kept

_FIXES = {
    errno.ENOSPC: "free space, or write to another disk",
    errno.EDQUOT: "free space within the quota, or write to another disk",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or write to another file system",
    errno.EROFS: "write to another folder: this file system is read-only",
    errno.EACCES: "write to another folder, or change its permissions",
    errno.EPERM: "write to another folder, or change its permissions",
    errno.ENOTDIR: "write to another folder: a part of this path is a file",
    errno.EEXIST: "write to another folder: a part of this path is a file",
    errno.EISDIR: "name a file in this folder",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EPIPE: "keep the reader of the pipe running",
    errno.EBADF: "do not close the stream, or write to a file",
}
"""What to do about an error of a write."""

_LOCK = ".anydet.lock"
"""Of a folder that one process at a time adds to; it stays, as a lock file that goes protects nothing."""

_NEVER_OF_A_READ = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Errors of which a call that names no file can only mean a write."""


def refused(target: Path | str, error: OSError) -> OutputError:
    """The error for a target that the operating system does not let be written."""
    fix = _FIXES.get(error.errno or 0, "write to another place")
    return OutputError(f"{target}: cannot be written: {error.strerror or error}", fix=fix)


@contextmanager
def writing_to(output: Path, *files: Path, pipe: bool = False) -> Iterator[None]:
    """Around writes: what the operating system refuses becomes an ``OutputError`` of ``output``.

    Args:
        output: named in the error.
        files: those that are written, ``output`` by default; errors of other files pass, as those of images
            that are read meanwhile.
        pipe: whether ``output`` may be a pipe, whose errors name no file.
    """
    try:
        yield
    except OSError as exc:
        unnamed = exc.errno in _NEVER_OF_A_READ or (pipe and exc.errno in {errno.EPIPE, errno.EIO})
        if (exc.filename is None and unnamed) or any(_names(exc, file) for file in files or (output,)):
            raise refused(output, exc) from exc
        raise


@contextmanager
def new_file(output: Path | str) -> Iterator[IO[bytes]]:
    """A file that takes the name ``output`` when the block ends well, and vanishes when it does not.

    A symbolic link stays, and the file that it leads to is replaced; a file that is there leaves its
    permissions to the new one, and its other names (hard links) keep the old content. What is no regular file
    (a device, a pipe, ``/dev/stdout``) is written into as it is.

    Raises:
        OptionError: it is a file that this command reads.
        OutputError: the operating system refuses it: no space, no permission, a folder, a name too long.
    """
    output = Path(output)
    refuse_input(output)
    if is_stream(output):
        with writing_to(output, pipe=True), _open_stream(output) as file:
            yield file
        return
    target = Path(os.path.realpath(output))
    aside = hidden_beside(target)
    with writing_to(output, aside, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Before the work, not after it: a folder cannot be replaced by a file.
        mode = _mode(target)
        try:
            with aside.open("xb") as file:
                if mode is not None:
                    aside.chmod(mode)
                yield file
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def write_file(output: Path | str, content: bytes | str) -> None:
    """Write a file as ``new_file`` does; text as UTF-8."""
    with new_file(output) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def growing_file(output: Path) -> Iterator[Callable[[bytes], None]]:
    """Appends to a new file under its own name, for logs: what was written stays, whatever ends the process.

    Raises:
        OptionError: it is a file that this command reads.
        OutputError: the operating system refuses it, now or at one of the writes.
    """
    refuse_input(output)
    with writing_to(output, pipe=True):
        if not is_stream(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        file = _open_stream(output) if is_stream(output) else output.open("wb")

    def append(content: bytes) -> None:
        with writing_to(output, pipe=True):
            file.write(content)
            # Without it, what a killed process had written would be lost in Python's own buffer.
            file.flush()

    try:
        yield append
    finally:
        # What a write left in the buffer fails again here.
        with writing_to(output, pipe=True):
            file.close()


@contextmanager
def new_folder(root: Path) -> Iterator[Path]:
    """A folder to fill beside ``root``, which takes its place when all went well, and goes when not.

    Raises:
        OptionError: ``root`` exists and is not an empty folder.
        OutputError: the operating system refuses it, or a file in it.
    """
    target = Path(os.path.realpath(root))
    # Beside the target: a rename works within one file system, and a temporary folder may be on another.
    partial = hidden_beside(target)
    with writing_to(root, target, partial):
        if root.exists() and not (root.is_dir() and not any(root.iterdir())):
            raise OptionError(
                f"{root}: exists already and is not an empty folder", fix="remove it or name another"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            yield partial
            if target.exists():
                target.rmdir()
            partial.rename(target)
        except BaseException:  # KeyboardInterrupt too must leave nothing behind
            shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def locked_folder(root: Path) -> Iterator[Path]:
    """A folder that results are added to, for this process alone until the block ends.

    It is made where it is missing. The operating system frees the lock of a process that is killed. A folder
    that was made here goes again if the block leaves it empty.

    Raises:
        OptionError: another process has it.
        OutputError: the operating system refuses it.
    """
    # Of the extra [torch], as all is that adds to folders for hours.
    from filelock import FileLock, Timeout

    target = Path(os.path.realpath(root))
    file = target / _LOCK
    with writing_to(root, target, file):
        made = [folder for folder in (target, *target.parents) if not folder.exists()]
        target.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout as exc:
            raise OptionError(
                f"{root}: another process of anydet writes into it now",
                fix="wait until that has ended, or name another folder",
            ) from exc
    try:
        yield target
    finally:
        lock.release()
        if made and not any(entry.name != _LOCK for entry in target.iterdir()):
            file.unlink(missing_ok=True)
            with suppress(OSError):  # what others put there meanwhile stays
                for folder in made:
                    folder.rmdir()


@contextmanager
def new_parts(root: Path) -> Iterator[Path]:
    """A hidden folder within ``root`` for parts that the block moves to their places; gone afterwards.

    Raises:
        OutputError: the operating system refuses it, or a file in it.
    """
    target = Path(os.path.realpath(root))
    with writing_to(root, target):
        target.mkdir(parents=True, exist_ok=True)
        parts = hidden_beside(target / "parts")
        parts.mkdir()
        try:
            yield parts
        finally:
            shutil.rmtree(parts, ignore_errors=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy bytes; raises ``OutputError`` for what ``target`` refuses, and ``OSError`` for ``source``."""
    try:
        shutil.copyfile(source, target)
    except OSError as exc:
        # copyfile names both files in what goes wrong between them.
        if exc.errno in _NEVER_OF_A_READ or _names(exc, target):
            raise refused(target, exc) from exc
        raise


def require_writable(output: Path, *suffixes: str) -> None:
    """Refuse a target that cannot be written, before the work that it is for.

    Args:
        output: a file to be.
        suffixes: of the files beside it that the work needs.

    Raises:
        OptionError: it is a file that this command reads.
        OutputError: it is a folder, its name is too long, or its folder is none or must not be written.
    """
    if is_stream(output):
        return
    refuse_input(output)
    target = Path(os.path.realpath(output))
    folder = _nearest_folder(output, target)
    reason = None
    if target.is_dir():
        reason = errno.EISDIR
    elif not folder.is_dir():
        reason = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        reason = errno.EACCES
    elif any(len(os.fsencode(output.name + suffix)) > _longest_name(folder) for suffix in ("", *suffixes)):
        reason = errno.ENAMETOOLONG
    if reason is not None:
        raise refused(output, OSError(reason, os.strerror(reason)))


def require_writable_folder(output: Path) -> None:
    """Refuse a folder that cannot be made or written into, before the work that it is for.

    Raises:
        OutputError: it is a file, a part of its path is one, or no folder there may be written into.
    """
    target = Path(os.path.realpath(output))
    folder = _nearest_folder(output, target / "file")
    reason = None
    if not folder.is_dir():
        reason = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        reason = errno.EACCES
    if reason is not None:
        raise refused(output, OSError(reason, os.strerror(reason)))


def _nearest_folder(output: Path, target: Path) -> Path:
    """What is there of the folders above a target; raises ``OutputError`` where no name can be looked up."""
    try:
        return next(parent for parent in target.parents if parent.exists())
    except OSError as exc:  # a name that is too long, or a folder that may not be looked into
        raise refused(output, exc) from exc


def refuse_input(output: Path) -> None:
    """Raise ``OptionError`` for a file that this command was given or reads data from."""
    if is_kept(output):
        raise OptionError(f"{output}: would replace a file that this command reads", fix="name another file")


def remove_leftovers(target: Path) -> None:
    """Remove what is left of processes that were killed while they wrote ``target``.

    Only for whom nobody else can be writing it now.
    """
    target = Path(os.path.realpath(target))
    name = hidden_beside(target).name
    start, length = name[: -len("0123456789ab.partial")], len(name)
    for entry in target.parent.glob(".*.partial"):
        if entry.name.startswith(start) and len(entry.name) == length and entry.is_file():
            entry.unlink(missing_ok=True)


def hidden_beside(target: Path) -> Path:
    """A new name in the same folder, for what takes the place of ``target`` when it is complete."""
    # Cut, so that every name that the file system takes has one.
    name = os.fsdecode(os.fsencode(target.name)[:200])
    return target.with_name(f".{name}.{uuid4().hex[:12]}.partial")


def is_stream(output: Path) -> bool:
    """Whether it is written into: it is there and no regular file or folder, or leads to an open file."""
    # A regular file that stdout is redirected to would be replaced while the shell writes to the old one.
    if output.absolute().parts[1:2] in (("dev",), ("proc",)):
        return True
    try:
        mode = output.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _open_stream(output: Path) -> IO[bytes]:
    """A device, a pipe, or an open file of this process, at the place up to which it is written."""
    streams = {"/dev/stdout": 1, "/dev/stderr": 2, **{f"/dev/fd/{n}": n for n in range(1, 256)}}
    number = streams.get(str(output.absolute()))
    if number is None:
        return output.open("wb")
    if number == 1:
        sys.stdout.flush()
        number = sys.stdout.fileno()  # the command line has moved it
    # Opened by its name, a file that stdout leads to would be written from its start again.
    return os.fdopen(os.dup(number), "wb")


def _mode(target: Path) -> int | None:
    """Permissions of the file that is there, ``None`` where there is none."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def _names(error: OSError, file: Path) -> bool:
    """Whether an error is about a file, something in it, or a folder above it."""
    named = [Path(os.fsdecode(n)) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)]
    return any(file == n or file in n.parents or n in file.parents for n in named)
