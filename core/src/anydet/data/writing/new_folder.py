"""A new folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anydet.errors import OptionError


@contextmanager
def new_folder(root: Path) -> Iterator[Path]:
    """A folder to fill beside ``root``, which takes its place when all went well, and goes when not.

    Raises:
        OptionError: ``root`` exists and is not an empty folder.
    """
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        raise OptionError(
            f"{root}: exists already and is not an empty folder", fix="remove it or name another"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: a rename works within one file system, and a temporary folder may be on another.
    partial = root.with_name(f".{root.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        yield partial
        if root.exists():
            root.rmdir()
        partial.rename(root)
    except BaseException:  # KeyboardInterrupt too must leave nothing behind
        shutil.rmtree(partial)
        raise
