"""Where a writer puts a split: into a new folder, or beside the splits that it wrote before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from anydet.errors import OptionError
from anydet.outputs import new_folder, new_parts


@contextmanager
def split_folder(
    root: Path,
    parts: Sequence[str],
    classes: Sequence[str],
    classes_there: Callable[[], Sequence[str] | None],
    *,
    common: Sequence[str] = (),
) -> Iterator[Path]:
    """A folder to fill with one split. What is written takes its place in ``root`` when all went well.

    Args:
        root: new or empty, or a data set of the same format and classes that lacks the split.
        parts: files and folders of the split alone, relative to ``root``.
        classes: names of the split's classes.
        classes_there: those of a data set of the format in ``root``; ``None`` where there is no such one.
        common: files of all splits, written anew; they come last, as readers begin with them.

    Raises:
        OptionError: ``root`` is a folder of something else, of other classes, or has the split.
    """
    there = classes_there() if root.is_dir() else None
    if there is None:
        with new_folder(root) as folder:
            yield folder
        return
    for part in parts:
        if (root / part).exists():
            raise OptionError(f"{root / part}: already there", fix="name another split, or another folder")
    if list(there) != list(classes):
        raise OptionError(
            f"{root}: its classes are not {', '.join(classes)}", fix="write into a folder of its own"
        )
    with new_parts(root) as folder:
        yield folder
        for part in (*parts, *common):
            if (folder / part).exists():
                (root / part).parent.mkdir(parents=True, exist_ok=True)
                (folder / part).replace(root / part)
