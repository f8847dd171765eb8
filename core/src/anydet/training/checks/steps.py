"""Steps of the run's own recipe: one, and as many as it takes to overfit one batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from anydet.training.checks.subject import Subject
from anydet.training.checks.verdict import State, Verdict, shortened
from anydet.training.config.settings import TrainSettings
from anydet.training.stepping import StepRejected

_TRIES = 3
_FIRST_RATE = 0.1
"""Fraction of the rate of a first step where the recipe warms up."""
_WARM_UP = 0.2
"""Fraction of the steps on one batch over which a recipe that warms up does so here."""
LARGE_UPDATE = 0.5
"""Fraction of all weights' norm that one step should not move."""
ALMOST = 0.9


def check_optimizer(subject: Subject) -> Iterator[Verdict]:
    """A step moves the weights, and the same batch then costs less."""
    model, settings = subject.task.model, subject.settings
    before, first = _weights(model), subject.loss()
    rate = settings.lr * (_FIRST_RATE if warms_up(settings) else 1.0)
    stepper = subject.stepper()
    losses = []
    try:
        for _ in range(_TRIES):
            stepper.take(subject.batches[0], rate)
            losses.append(subject.loss())
            if len(losses) == 1:
                moved = _moved(model, before)
    except StepRejected as bad:
        yield Verdict("optimizer", "step", "fail", bad.problem, _RECIPE_FIX)
        return
    yield _update(moved, rate)
    least = min(losses)
    numbers = {"before": first, "after": losses, "learning_rate": rate}
    message = f"{first:.4g} before, then {', '.join(f'{loss:.4g}' for loss in losses)} at rate {rate:.2g}"
    falls = math.isfinite(least) and least < first
    yield Verdict(
        "optimizer",
        "loss after a step",
        "pass" if falls else "warn",
        message,
        "" if falls else _RECIPE_FIX,
        numbers,
    )


_RECIPE_FIX = "lower --lr, warm up (--lr-warmup-steps 500), clip (--clip-grad-norm 1.0)"


def check_overfit(subject: Subject, *, steps: int, fraction: float) -> Iterator[Verdict]:
    """One batch can be overfit, by the run's own recipe at its full rate.

    Args:
        subject: what is examined.
        steps: how many are taken.
        fraction: of the first loss that the last must be under.
    """
    settings, stepper = subject.settings, subject.stepper(max_grad_norm=0.0, on_nonfinite="stop")
    warm = _WARM_UP * steps if warms_up(settings) else 0.0
    losses: list[float] = []
    try:
        for step in range(steps):
            rate = settings.lr * min(1.0, (step + 1) / warm) if warm else settings.lr
            losses.append(stepper.take(subject.batches[0], rate)["loss"])
    except StepRejected as bad:
        message = f"step {len(losses) + 1} of {steps}: {bad.problem}"
        yield Verdict("overfit", "one batch", "fail", message, _RECIPE_FIX, {"losses": losses})
        return
    last = sum(losses[-3:]) / len(losses[-3:])
    ratio = last / losses[0] if losses[0] > 0 else math.inf
    message = f"{losses[0]:.4g} to {last:.4g} in {steps} steps ({ratio:.0%}; {fraction:.0%} or less passes)"
    numbers = {"losses": losses, "share": ratio}
    state: State = "pass" if ratio <= fraction else "warn" if ratio <= ALMOST else "fail"
    fix = {
        "pass": "",
        "warn": "give it more --overfit-steps; if it stays so, see the learning rate above",
    }.get(state, "a model that cannot learn one batch learns nothing: see the failures above, and --lr")
    yield Verdict("overfit", "one batch", state, message, fix, numbers)


def warms_up(settings: TrainSettings) -> bool:
    """Whether the recipe begins with smaller rates."""
    return bool(settings.lr_warmup_steps or settings.lr_warmup_epochs or settings.scheduler == "onecycle")


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def _moved(model: nn.Module, before: dict[str, torch.Tensor]) -> tuple[float, list[str], int]:
    """Fraction of the norm that the step moved, names that it did not move, number of tensors."""
    now = dict(model.named_parameters())
    away = torch.stack([(now[name].detach() - old).norm() for name, old in before.items()]).norm()
    size = torch.stack([old.norm() for old in before.values()]).norm()
    still = [name for name, old in before.items() if torch.equal(now[name].detach(), old)]
    return float(away / size.clamp(min=1e-12)), still, len(before)


def _update(moved: tuple[float, list[str], int], rate: float) -> Verdict:
    fraction, still, count = moved
    numbers = {"relative_update": fraction, "unmoved": still, "learning_rate": rate}
    message = f"a step at rate {rate:.2g} moves the weights by {fraction:.2g} of their norm"
    if fraction == 0:
        fix = "raise --lr; look whether the optimizer has the parameters that the loss depends on"
        return Verdict("optimizer", "update", "fail", "a step moves no weight", fix, numbers)
    if fraction > LARGE_UPDATE:
        return Verdict("optimizer", "update", "warn", message, _RECIPE_FIX, numbers)
    if still:
        fix = "freeze what is not to be trained; the rest must depend on the loss"
        message = f"{message}; {len(still)} of {count} do not move: {shortened(still)}"
        return Verdict("optimizer", "update", "warn", message, fix, numbers)
    return Verdict("optimizer", "update", "pass", message, "", numbers)
