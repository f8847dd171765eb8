"""Arguments of the Python API: of the right type and in range, or an error that names them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from os import PathLike
from reprlib import repr as shortened
from typing import Any

from anydet.errors import OptionError

MOST_THREADS = 1024
"""The maximum of a number of threads."""
MOST_INTEGER = 2**63 - 1
"""The maximum of any integer: what 64 bits hold; torch, numpy and Python's own iterators take no more."""


def require(good: object, name: str, value: object, takes: str) -> None:
    """Raise ``OptionError`` unless an argument is good.

    Args:
        good: what was found out about it.
        name: of the argument.
        value: that was given.
        takes: what it shall be, for the message: "an integer".
    """
    if not good:
        raise OptionError(f"{name}: {shortened(value)} is not {takes}", fix=f"correct {name}")


def require_number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, above: bool = False
) -> None:
    """A finite number from ``low`` (where ``above`` is true, above it) to ``high``."""
    ends = (f"{'above' if above else 'from'} {low:g}", f"to {high:g}")
    shown = [text for text, end in zip(ends, (low, high), strict=True) if math.isfinite(end)]
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    good = good and (low < value if above else low <= value) and value <= high
    require(good, name, value, " ".join(["a finite number", *shown]))


def require_integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> None:
    """An integer of 64 bits from ``low`` to ``high``; numpy's are none, as they have no JSON form."""
    good = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_INTEGER
    good = good and (low is None or low <= value) and (high is None or value <= high)
    takes = "an integer of 64 bits" if low is None else f"an integer of at least {low}"
    if low is not None and high is None and isinstance(value, int) and value > MOST_INTEGER:
        high = MOST_INTEGER
    require(good, name, value, takes if high is None else f"an integer from {low} to {high}")


def require_flag(name: str, value: object) -> None:
    """``True`` or ``False``."""
    require(isinstance(value, bool), name, value, "True or False")


def require_text(name: str, value: object) -> None:
    """``str``."""
    require(isinstance(value, str), name, value, "text")


def require_path(name: str, value: object) -> None:
    """``str`` or a path object such as ``pathlib.Path``."""
    require(isinstance(value, str | PathLike), name, value, "a path (str or os.PathLike)")


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """One of a few texts."""
    known = list(choices)
    takes = " or ".join(map(repr, known))
    # Not `value in known` alone, which asks the value how it compares.
    require(isinstance(value, str) and value in known, name, value, takes)
