"""``Schedule``: the learning rate of each step, as a function of the step.

Torch has these schedules as objects that multiply the last rate by something. Here a rate follows from the
number of the step alone, so that a run that was resumed has the very bits of one that was not, and a step
that was skipped costs nothing. Their values are torch's (``torch.optim.lr_scheduler``).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping

from torch.optim import Optimizer

from anydet.errors import OptionError
from anydet.training.config.settings import TrainSettings

_PLATEAU_THRESHOLD = 1e-4
"""Relative progress below this is none, as in ``ReduceLROnPlateau``."""
_RISE, _START_DIVISOR, _END_DIVISOR = 0.3, 25.0, 1e4
"""Rising part of one cycle; its first rate is the 25th part, its last the 250,000th (``OneCycleLR``)."""
_MOMENTA = 0.95, 0.85
"""Momentum of one cycle at its ends and at its top."""


class Schedule:
    """Sets the learning rate of every group: warm-up, then the scheduler over the steps that remain.

    Warm-up rises in a straight line from ``lr_warmup_init`` (times the group's multiplier) at step 0 to the
    scheduler's first rate. Milestones count from the start of the run. ``onecycle`` also moves momentum
    (beta 1 of AdamW).

    No rate is ever under ``min_lr``, neither in warm-up nor at the end, but in a group whose own full rate is
    lower than that: there the full rate is the floor, so a multiplier of 0 stays 0.

    Args:
        optimizer: its groups' ``lr`` are the full rates; the first rates are set at once.
        settings: the ``lr``, ``scheduler_*``, ``plateau_*`` and ``lr_warmup_*`` keys.
        steps_per_epoch: optimizer steps, for a warm-up that is given in epochs.
        total_steps: optimizer steps of the whole run. A run shorter than its warm-up is warm-up only.

    Raises:
        OptionError: milestones are no rising whole numbers, or missing.
    """

    def __init__(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int, total_steps: int
    ) -> None:
        self._optimizer = optimizer
        self._settings = settings
        self._warmup = settings.lr_warmup_steps or round(settings.lr_warmup_epochs * steps_per_epoch)
        self._rest = max(1, total_steps - self._warmup)
        self._milestones = milestones(settings)
        self._step = 0
        self._decays = 0
        self._best: float | None = None
        self._waited = 0
        for group in optimizer.param_groups:
            # The key of torch's own schedulers; it is saved with the optimizer.
            group.setdefault("initial_lr", group["lr"])
        self._full_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._set()

    @property
    def learning_rate(self) -> float:
        """Of the step to come, at multiplier 1."""
        return self._rate(self._settings.lr)

    def step(self) -> None:
        """Go on; call it after each step that the optimizer took."""
        self._step += 1
        self._set()

    def validated(self, value: float, *, lower_is_better: bool = True) -> None:
        """Take in a validation's result: ``plateau`` decays after more than its patience without progress.

        Progress is relative, by more than 1e-4. NaN is none. The other schedulers do not look.
        """
        if self._settings.scheduler != "plateau":
            return
        if self._is_progress(value, lower_is_better):
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        if self._waited > self._settings.plateau_patience:
            self._decays, self._waited = self._decays + 1, 0
        self._set()

    def state_dict(self) -> dict[str, int | float | None]:
        """Where it stands; plain numbers."""
        return {"step": self._step, "decays": self._decays, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, int | float | None]) -> None:
        """Go on from ``state_dict`` and set the rates; call it after the optimizer's state is loaded."""
        self._step, self._decays, self._waited = (int(state[k] or 0) for k in ("step", "decays", "waited"))
        self._best = state["best"]
        self._set()

    def _is_progress(self, value: float, lower_is_better: bool) -> bool:
        if self._best is None:
            return math.isfinite(value)
        progress = self._best - value if lower_is_better else value - self._best
        return progress > _PLATEAU_THRESHOLD * abs(self._best)

    def _set(self) -> None:
        # the optimizer replaces its groups where it loads a state
        for group, full in zip(self._optimizer.param_groups, self._full_lrs, strict=True):
            group["lr"] = self._rate(full)
            if self._settings.scheduler == "onecycle":
                momentum = _momentum(max(0, self._step - self._warmup), self._rest)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum

    def _rate(self, full: float) -> float:
        # A group whose multiplier puts it below min_lr must not be lifted above its own full rate.
        floor = min(self._settings.min_lr, full)
        rate = self._scheduled(full, floor, max(self._step, self._warmup))
        if self._step < self._warmup:
            first = self._settings.lr_warmup_init * full / self._settings.lr
            rate = first + (rate - first) * self._step / self._warmup
        # Rounding may leave a rate one bit above its full rate.
        return min(max(rate, floor), full)

    def _scheduled(self, full: float, floor: float, step: int) -> float:
        done = step - self._warmup
        match self._settings.scheduler:
            case "cosine":
                return _cosine(full, floor, min(1.0, done / self._rest))
            case "onecycle":
                return _one_cycle(full / _START_DIVISOR, full, done, self._rest, 1 / _END_DIVISOR)
            case "multistep":
                return full * self._settings.scheduler_gamma ** bisect_right(self._milestones, step)
            case "plateau":
                return full * self._settings.plateau_factor**self._decays
            case _:
                return full


def milestones(settings: TrainSettings) -> list[int]:
    """``scheduler_milestones`` as rising numbers of steps; none where another scheduler is used.

    Raises:
        OptionError: they are no whole numbers above 0, or missing.
    """
    if settings.scheduler != "multistep":
        return []
    given = settings.scheduler_milestones
    words = [word for word in given.split(",") if word.strip()] if isinstance(given, str) else given
    try:
        steps = sorted(int(word) for word in words)
    except ValueError:
        steps = []
    if not steps or steps[0] < 1:
        raise OptionError(
            f"scheduler_milestones is {given!r}: the scheduler multistep needs steps, whole numbers above 0",
            fix="--scheduler-milestones 1000,2000",
        )
    return steps


def _cosine(start: float, end: float, fraction: float) -> float:
    """From ``start`` to ``end`` on half a wave (Loshchilov and Hutter 2017, equation 5)."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))


def _one_cycle(low: float, top: float, done: int, steps: int, last: float) -> float:
    """``low`` to ``top``, then to ``low * last``, on half waves (Smith and Topin 2018, as in torch)."""
    # Minus one as in torch's OneCycleLR, so that the last step has the last rate.
    turn, end = _RISE * steps - 1, steps - 1
    done = min(done, end)
    if done <= turn:
        return _cosine(low, top, done / turn)
    return _cosine(top, low * last, (done - turn) / (end - turn))


def _momentum(done: int, steps: int) -> float:
    return _one_cycle(*_MOMENTA, done, steps, 1.0)
