"""Image keys of a predictions file onto those of a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from anydet.contract.hints import hint_keys
from anydet.errors import ContractError, did_you_mean
from anydet.text import first_of, listed, quoted
from anydet.types import IntArray

_NAMED = 5


def join_keys(keys: Sequence[str], known: Sequence[str], *, source: str = "predictions") -> IntArray:
    """Position in ``known`` of each key: exactly, else by unix-slash path, else by unique basename.

    Args:
        keys: image keys of a file, each once.
        known: image keys of a data set, each once.
        source: what the keys come from, for messages.

    Raises:
        ContractError: a key that is not known (``issues`` has all), a basename of several known images, or
            two keys for one image.
    """
    at, problems = match_keys(keys, known)
    if problems:
        hint = hint_keys([keys[i] for i in np.flatnonzero(at < 0).tolist()], known)
        named = "; ".join(first_of(problems, _NAMED))
        raise ContractError(
            f"{source}: {len(problems)} of {len(keys)} images do not join the data set: {named}",
            fix=f"{hint}check data set and split; keys are paths relative to the split's image folder",
            issues=problems,
        )
    return at


def match_keys(keys: Sequence[str], known: Sequence[str]) -> tuple[IntArray, list[str]]:
    """As ``join_keys``, with -1 and a line of text for each key that does not join."""
    index = KeyIndex(known)
    at = index.exact(keys)
    problems: list[str] = []
    for i in np.flatnonzero(at < 0).tolist():
        found = index.find(keys[i])
        if len(found) == 1:
            at[i] = found[0]
        else:
            close = known if len(problems) < _NAMED else ()
            problems.append(_unknown(keys[i], [known[j] for j in found[:_NAMED]], len(found), close))
    return at, problems + _shared(keys, known, at)


class KeyIndex:
    """Finds image keys among known ones, each of which is there once."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known
        self._exact = {key: i for i, key in enumerate(known)}

    def exact(self, keys: Sequence[str]) -> IntArray:
        """(N,) position of each key, -1 where it is not known as it is."""
        get = self._exact.get
        return np.fromiter((get(key, -1) for key in keys), np.int64, len(keys))

    def find(self, key: str) -> Sequence[int]:
        """Positions of a key: exactly, else by unix-slash path, else by basename; several are ambiguous."""
        exact = self._exact.get(key)
        if exact is not None:
            return (exact,)
        by_path = self._paths.get(unix_path(key))
        return self._names.get(_basename(key), ()) if by_path is None else by_path

    @cached_property
    def _paths(self) -> dict[str, list[int]]:
        return _index(self._known, unix_path)

    @cached_property
    def _names(self) -> dict[str, list[int]]:
        return _index(self._known, _basename)


def unix_path(key: str) -> str:
    """The key with unix slashes and without a leading ``./``."""
    return key.replace("\\", "/").removeprefix("./")


def _basename(key: str) -> str:
    return unix_path(key).rpartition("/")[2]


def _index(known: Sequence[str], name: Callable[[str], str]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(known):
        index[name(key)].append(i)
    return index


def _unknown(key: str, candidates: list[str], count: int, close: Sequence[str]) -> str:
    if candidates:
        return f"{quoted(key)} may be any of {listed(candidates)} ({count} images)"
    return f"{quoted(key)} is not in the data set{did_you_mean(key, close)}"


def _shared(keys: Sequence[str], known: Sequence[str], at: IntArray) -> list[str]:
    """Lines for images that more than one key joined."""
    order = np.argsort(at, kind="stable")
    rows, starts, counts = np.unique(at[order], return_index=True, return_counts=True)
    lines = []
    for i in np.flatnonzero((counts > 1) & (rows >= 0)).tolist():
        same = [keys[j] for j in order[starts[i] : starts[i] + counts[i]].tolist()]
        names = " and ".join(map(quoted, same[:_NAMED]))
        more = f" and {len(same) - _NAMED} more" if len(same) > _NAMED else ""
        lines.append(f"{names}{more} are all {quoted(known[int(rows[i])])}")
    return lines
