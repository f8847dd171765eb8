"""Values of options: finite numbers, alone or in lists, and lists of words."""

from __future__ import annotations

import math
from reprlib import repr as shortened
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
    """``0.05,0.1`` to as many positive numbers as the option takes; integers for ``--max-dets``."""
    if text is None:
        return None
    from anydet.evaluation.matches import MOST_DETECTIONS, MOST_KEYPOINTS, MOST_LIMITS, MOST_THRESHOLDS

    whole = param.name == "max_detections"
    count, most = {
        "max_detections": (MOST_LIMITS, MOST_DETECTIONS),
        "iou_thresholds": (MOST_THRESHOLDS, 1),
        "keypoint_sigmas": (MOST_KEYPOINTS, math.inf),
    }.get(param.name or "", (math.inf, math.inf))
    words = text.split(",")
    try:
        numbers = tuple((int if whole else float)(word) for word in words)
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number <= most and number < math.inf for number in numbers):
        example = "1,10,300" if whole else "0.05,0.1"
        takes = "positive numbers" if most == math.inf else f"numbers above 0 and up to {most}"
        raise click.BadParameter(f"{shortened(text)} is not a list of {takes} like {example}")
    if len(numbers) > count:
        raise click.BadParameter(f"{len(numbers)} numbers, at most {count} are supported")
    return numbers


def read_areas(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> dict[str, tuple[float, float]] | None:
    """``all=0:1e10,tiny=0:256`` to finite ranges by name."""
    if text is None:
        return None
    from anydet.evaluation.matches import MOST_AREAS

    ranges = {}
    for item in text.split(","):
        name, _, limits = item.partition("=")
        low, _, high = limits.partition(":")
        try:
            ranges[name] = (float(low), float(high))
        except ValueError:
            ranges[name] = (1.0, 0.0)  # an empty range, which the check below refuses like a reversed one
        if not name or not 0 <= ranges[name][0] <= ranges[name][1] < math.inf:
            raise click.BadParameter(f"{shortened(item)} is not an area range like tiny=0:256")
    if len(ranges) > MOST_AREAS:
        raise click.BadParameter(f"{len(ranges)} area ranges, at most {MOST_AREAS} are supported")
    return ranges


def read_words(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """``backbone,head.*`` to its words."""
    if text is None:
        return None
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise click.BadParameter("there is no word in it")
    return words
