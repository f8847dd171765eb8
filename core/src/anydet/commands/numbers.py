"""Numbers as values of options: finite ones, alone or in lists."""

from __future__ import annotations

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A finite number in a range: no comparison refuses NaN, and an open range has infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails as click's own types do."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def read_numbers(_ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    """``0.05,0.1`` to finite positive numbers; integers for ``--max-dets``."""
    if text is None:
        return None
    whole = param.name == "max_detections"
    try:
        numbers = tuple((int if whole else float)(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < math.inf for number in numbers):
        example = "1,10,300" if whole else "0.05,0.1"
        raise click.BadParameter(f"{text!r} is not a list of positive numbers like {example}")
    return numbers


def read_areas(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> dict[str, tuple[float, float]] | None:
    """``all=0:1e10,tiny=0:256`` to finite ranges by name."""
    if text is None:
        return None
    ranges = {}
    for item in text.split(","):
        name, _, limits = item.partition("=")
        low, _, high = limits.partition(":")
        try:
            ranges[name] = (float(low), float(high))
        except ValueError:
            ranges[name] = (1.0, 0.0)  # an empty range, which the check below refuses like a reversed one
        if not name or not 0 <= ranges[name][0] <= ranges[name][1] < math.inf:
            raise click.BadParameter(f"{item!r} is not an area range like tiny=0:256")
    return ranges
