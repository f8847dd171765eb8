"""Names of classes in a file onto those of a data set: as they are, else whatever their case and spaces."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from anydet.errors import AnydetWarning
from anydet.text import listed, quoted

_NAMED = 3


def as_known(
    path: Path | str, given: Iterable[str], known: Sequence[str], *, quiet: bool = False
) -> dict[str, str]:
    """The data set's name for each name of a file; one that is none of them stays as it is.

    Names that differ in case, white space and underscores alone are one, with a warning, unless two classes
    of the data set, or two names of the file, would be.

    Args:
        path: the file, for the warning.
        given: its names.
        known: the data set's.
        quiet: do not warn.
    """
    names, own = list(dict.fromkeys(given)), set(known)
    if own.issuperset(names):
        return {name: name for name in names}
    of_known, of_given = Counter(map(_plain, own)), Counter(map(_plain, names))
    alike = {plain: name for name in own if of_known[plain := _plain(name)] == 1}
    found = {
        name: alike.get(plain, name) if name not in own and of_given[plain := _plain(name)] == 1 else name
        for name in names
    }
    pairs = [f"{quoted(name)} is {quoted(one)}" for name, one in found.items() if name != one]
    if pairs and not quiet:
        warnings.warn(
            f"{path}: names of classes that are the data set's whatever their case and spaces: {len(pairs)} "
            f"({listed(pairs, _NAMED, quotes=False)}); they are joined",
            AnydetWarning,
            stacklevel=3,
        )
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
