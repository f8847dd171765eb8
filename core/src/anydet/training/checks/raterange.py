"""The learning-rate range test: rates rise until the loss does.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3; rates rise by a
constant factor instead of in a straight line, so that several orders of magnitude are seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from anydet.training.checks.subject import Subject
from anydet.training.checks.verdict import State, Verdict
from anydet.training.stepping import StepRejected
from anydet.types import FloatArray

LOWEST, HIGHEST = 1e-6, 10.0
_SMOOTHING = 0.6
_DIVERGED = 4.0
"""Times the lowest loss at which the sweep ends."""
_FALLS = 0.95
"""Fraction of the first loss that the lowest must be under, else no rate helps."""
_SAFETY = 10.0
"""Without a steepest place: so far below the rate of the lowest loss."""


@dataclass(frozen=True, slots=True)
class RateRange:
    """Losses at rising rates.

    Attributes:
        rates: (N,) learning rates.
        losses: (N,) smoothed.
        end: why the sweep ended before the highest rate, or "".
    """

    rates: Sequence[float]
    losses: Sequence[float]
    end: str = ""

    @property
    def lowest_rate(self) -> float:
        """Where the loss is lowest."""
        return self.rates[int(np.argmin(self.losses))]

    @property
    def suggested(self) -> float | None:
        """Where the loss falls fastest, ``None`` where it never falls.

        The rate of the steepest descent over the logarithm of the rate, before the lowest loss, and no nearer
        to that than a tenth.
        """
        at = int(np.argmin(self.losses))
        if at < 2 or self.losses[at] > _FALLS * self.losses[0]:
            return None
        slopes: FloatArray = np.gradient(np.asarray(self.losses[: at + 1]), np.log(self.rates[: at + 1]))
        return min(self.rates[int(np.argmin(slopes))], self.lowest_rate / _SAFETY)


def sweep_rates(subject: Subject, steps: int) -> RateRange:
    """Take a step at each of ``steps`` rising rates, on one batch after the other.

    The recipe's optimizer and clipping are used; its guards do not end the sweep, a loss that rises does.
    """
    stepper = subject.stepper(max_grad_norm=0.0, on_nonfinite="stop", check_inputs=False)
    rates, losses = np.geomspace(LOWEST, HIGHEST, steps).tolist(), list[float]()
    for rate, loaded in zip(rates, cycle(subject.batches), strict=False):
        try:
            loss = stepper.take(loaded, rate)["loss"]
        except StepRejected as bad:
            return _range(rates, losses, f"at rate {rate:.2g} {bad.problem.split('; images')[0]}")
        losses.append(_SMOOTHING * losses[-1] + (1 - _SMOOTHING) * loss if losses else loss)
        if loss > _DIVERGED * max(min(losses), 1e-12):
            return _range(rates, losses, f"at rate {rate:.2g} the loss is {loss:.3g}")
    return _range(rates, losses, "")


def _range(rates: Sequence[float], losses: Sequence[float], end: str) -> RateRange:
    return RateRange(rates[: len(losses)], losses, end)


def check_learning_rate(subject: Subject, found: RateRange) -> Iterator[Verdict]:
    """The recipe's rate beside what the sweep suggests."""
    rate = subject.settings.lr
    numbers = {
        "rates": list(found.rates),
        "losses": list(found.losses),
        "learning_rate": rate,
        "end": found.end,
    }
    if len(found.losses) < 3 or found.suggested is None:
        message = "the loss falls at no rate" + (f"; {found.end}" if found.end else "")
        fix = "see the failures above; the loss must fall at some rate"
        yield Verdict("learning rate", "range", "fail" if found.end else "warn", message, fix, numbers)
        return
    best, top = found.suggested, found.lowest_rate
    numbers |= {"suggested": best, "lowest_loss_rate": top}
    message = f"lr {rate:.2g}; steepest at {best:.2g}, lowest loss at {top:.2g}"
    state, fix = _judge(rate, best, top, diverged=bool(found.end))
    yield Verdict(
        "learning rate", "range", state, message + (f"; {found.end}" if found.end else ""), fix, numbers
    )


def _judge(rate: float, best: float, top: float, *, diverged: bool) -> tuple[State, str]:
    """A rate beyond the lowest loss is too large, one far below the steepest place slow."""
    nearest = f"--lr {10 ** round(math.log10(best)):g}"
    if rate > top:
        return ("fail" if diverged and rate > 3 * top else "warn"), f"try {nearest}"
    if rate < best / 100:
        return "warn", f"it learns slowly: try {nearest}"
    return "pass", ""
