"""Weights before the first step: finite, and of a scale that signals survive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from anydet.training.checks.subject import Subject
from anydet.training.checks.verdict import Verdict, shortened
from anydet.training.numerics.nonfinite import first_nonfinite_weight

LARGE, SMALL = 1e3, 1e-4
"""Standard deviations of a layer's outputs beyond which signals explode or vanish in depth."""
_verdict = partial(Verdict, "initialization")
_SCALE_FIX = (
    "initialize by the layers' fan (kaiming_normal_, xavier_uniform_), normalize inputs, or add norms"
)


def check_initialization(subject: Subject) -> Iterator[Verdict]:
    """Weights, and the scale of activations."""
    yield _weights(subject.task.model)
    yield _activations(subject)


def _weights(model: nn.Module) -> Verdict:
    if broken := first_nonfinite_weight(model):
        return _verdict(
            "weights", "fail", f"{broken} is not finite", "load other weights, or initialize anew"
        )
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    numbers = {"parameters": total, "trained": trained}
    alike = [name for name, p in model.named_parameters() if _is_constant(p)]
    if alike:
        return _verdict(
            "weights",
            "warn",
            f"all numbers alike: {shortened(alike)}",
            "initialize them at random: alike they learn alike",
            numbers,
        )
    return _verdict("weights", "pass", f"{total:,} finite, {trained:,} of them trained", "", numbers)


def _is_constant(parameter: Tensor) -> bool:
    """Whether a matrix or kernel holds one number other than 0, as which last layers may well begin."""
    values = parameter.detach()
    if values.dim() < 2 or values.shape[0] < 2 or values.numel() <= values.shape[0]:
        return False
    first = values.flatten()[0]
    return bool(first != 0) and bool((values == first).all())


def _activations(subject: Subject) -> Verdict:
    scales: dict[str, float] = {}
    refusals = suppress(RuntimeError, ValueError, AssertionError)  # which the check of the loss reports
    with refusals, torch.no_grad(), _observing(subject.task.model, partial(_note_scale, scales)):
        subject.forward()
    broken = [name for name, scale in scales.items() if not math.isfinite(scale)]
    if broken:
        return _verdict("activations", "fail", f"not finite after {broken[0]}", _SCALE_FIX)
    large = [f"{name} ({scale:.3g})" for name, scale in scales.items() if scale > LARGE]
    small = [f"{name} ({scale:.3g})" for name, scale in scales.items() if scale < SMALL]
    low, high = min(scales.values(), default=0.0), max(scales.values(), default=0.0)
    measured = f"standard deviations {low:.3g} to {high:.3g} over {len(scales)} layers"
    numbers = {"standard_deviations": scales}
    if large or small:
        what = "; ".join(
            f"{word}: {shortened(names, 2)}" for word, names in (("large", large), ("small", small)) if names
        )
        return _verdict("activations", "warn", f"{measured}; {what}", _SCALE_FIX, numbers)
    return _verdict("activations", "pass", measured, "", numbers)


def _note_scale(scales: dict[str, float], name: str, output: Any) -> None:
    if isinstance(output, Tensor) and output.is_floating_point() and output.numel() > 1:
        scales.setdefault(name, float(output.detach().float().std()))


@contextmanager
def _observing(model: nn.Module, note: Callable[[str, Any], None]) -> Iterator[None]:
    """``note`` gets name and output of each layer that has weights."""
    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: note(name, output))
        for name, module in model.named_modules()
        if any(p.dim() > 1 for p in module.parameters(recurse=False))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
