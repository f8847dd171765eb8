"""``Verdict``: one row of ``anydet diagnose``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from anydet.text import WORD, listed

State = Literal["pass", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found.

    Attributes:
        group: data, initialization, forward, loss, backward, optimizer, learning rate or overfit.
        check: what was looked at, in two or three words.
        state: "skipped" is a check that could not be made because one before it failed.
        measured: what was found, for people.
        fix: what to do, or an empty string.
        numbers: the same for programs, plain data.
    """

    group: str
    check: str
    state: State
    measured: str
    fix: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


def worst(states: list[State]) -> State:
    """The worst of several."""
    order: tuple[State, ...] = ("fail", "warn", "skipped", "pass")
    return min(states, key=order.index, default="pass")


def shortened(names: list[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    return listed(names, most, quotes=False, longest=WORD)
