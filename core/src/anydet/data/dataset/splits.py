"""Choosing the split of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anydet.dataclass import dataclass
from anydet.errors import DatasetError, SplitError, did_you_mean

SPLITS = ("val2017", "val", "valid", "validation", "train2017", "train")
"""Splits in the order of preference when none is named."""


@dataclass(frozen=True, slots=True)
class Split:
    """A choice.

    Attributes:
        name: the split; "" where there are none.
        note: the choice as it is printed: ``split val2017 (of train2017, val2017)``.
    """

    name: str
    note: str


UNSPLIT = Split("", "no splits")


@contextmanager
def split_named_by(option: str) -> Iterator[None]:
    """Around opening a data set whose split another setting than ``split`` names, for its errors."""
    try:
        yield
    except SplitError as exc:
        exc.option = option
        raise


def choose_split(root: Path, available: Iterable[str], wanted: str | None) -> Split:
    """The split wanted, else the first of ``SPLITS`` that exists, else the only one there.

    Raises ``SplitError``, which lists what is there, where there is none of that name or nothing decides, and
    ``DatasetError`` where there are no splits at all.
    """
    names = sorted(set(available))
    listed = ", ".join(names) or "none"
    if wanted is not None and wanted not in names:
        hint = did_you_mean(wanted, names)
        raise SplitError(f"{root}: no split {wanted!r} (there are: {listed}){hint}", fix="name another split")
    known = [name for name in SPLITS if name in names]
    name = wanted or next(iter(known), names[0] if len(names) == 1 else "")
    if not name:
        if not names:
            raise DatasetError(f"{root}: no splits", fix="check that the folder holds a data set")
        raise SplitError(f"{root}: several splits and none given (there are: {listed})", fix="name the split")
    return Split(name, f"split {name}" + (f" (of {listed})" if len(names) > 1 else ""))
