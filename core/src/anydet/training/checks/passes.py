"""One pass forward and one back: outputs, losses, and the gradient of each layer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial
from statistics import median

import torch
from torch import nn

from anydet.training.checks.subject import Subject
from anydet.training.checks.verdict import State, Verdict, shortened
from anydet.training.numerics.nonfinite import (
    first_nonfinite,
    first_nonfinite_gradient,
    first_nonfinite_module,
    name_images,
)

VANISHING, EXPLODING = 1e-6, 1e4
"""Gradient norm of a layer, in medians of all layers."""
FIRST_LOSS = "first loss"
FAR, TOO_FAR = 2.0, 10.0
"""Times the loss of an even guess at which a first loss is odd, and at which it is a fault."""
LARGE_NORM = 1e3
"""Norm of all gradients that no unclipped step should have."""


def check_forward(subject: Subject) -> Iterator[Verdict]:
    """One batch goes through, and every number on the way is finite."""
    loaded = subject.batches[0]
    if where := first_nonfinite(loaded.batch):
        yield Verdict(
            "forward",
            "input",
            "fail",
            f"{where} is not finite; images: {name_images(loaded.keys)}",
            "correct these images, or leave such batches out: --check-inputs --on-nonfinite skip",
        )
    start = time.perf_counter()
    with torch.no_grad():
        if module := first_nonfinite_module(subject.task.model, subject.forward):
            yield Verdict(
                "forward",
                "outputs",
                "fail",
                f"first not finite: the output of {module}",
                "look at this layer",
            )
            return
    took = (time.perf_counter() - start) / len(loaded.keys)
    yield Verdict(
        "forward",
        "outputs",
        "pass",
        f"{len(loaded.keys)} images, {1000 * took:.0f} ms each, all outputs finite",
        numbers={"seconds_per_image": took},
    )


def check_loss(subject: Subject) -> Iterator[Verdict]:
    """The loss is finite, hangs on the weights and begins where a guess is; changed numbers are counted."""
    output = subject.forward()
    values = {name: float(loss.detach()) for name, loss in output.losses.items()}
    numbers = {"loss": float(output.loss.detach()), "parts": values}
    message = f"{numbers['loss']:.4g} = " + ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    verdict = partial(Verdict, "loss")
    if not all(math.isfinite(value) for value in (float(output.loss.detach()), *values.values())):
        fix = "guard divisions and logarithms in the loss, clamp logits, look at the labels of this batch"
        yield verdict("value", "fail", f"not finite: {message}", fix, numbers)
    elif not output.loss.requires_grad:
        fix = (
            "let the loss be computed from the model's outputs, without detach() or a constant in their place"
        )
        yield verdict("value", "fail", f"{message}, and no gradient can reach the weights", fix, numbers)
    else:
        yield verdict("value", "pass", message, "", numbers)
        yield _first_loss(subject)
    changed = {name: int(count) for name, count in output.sanitized.items() if int(count)}
    if changed:
        message = ", ".join(f"{count} {name}" for name, count in changed.items())
        fix = (
            "they are replaced, and learn nothing: lower --lr, scale the last layer down, look at the inputs"
        )
        yield verdict("sanitized", "warn", message, fix, {"sanitized": changed})


def _first_loss(subject: Subject) -> Verdict:
    """A model that knows nothing costs what a guess costs; one that costs more is sure of wrong things."""
    chance = subject.task.chance_losses()
    with torch.no_grad():
        found = {name: float(loss) for name, loss in subject.forward().losses.items()}
    compared = [(name, found[name], chance[name]) for name in chance if name in found]
    numbers = {"first": found, "chance": dict(chance)}
    if not compared:
        message = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        return Verdict(
            "loss", FIRST_LOSS, "pass", f"{message}; what guessing costs is not known", "", numbers
        )
    message = ", ".join(f"{name} {value:.3g}, guessing {even:.3g}" for name, value, even in compared)
    ratio = max(value / even if math.isfinite(value) else math.inf for _, value, even in compared)
    if ratio > FAR:
        fix = "scale the last layer's first weights down, so that the model begins undecided"
        return Verdict("loss", FIRST_LOSS, "fail" if ratio > TOO_FAR else "warn", message, fix, numbers)
    return Verdict("loss", FIRST_LOSS, "pass", message, "", numbers)


def check_backward(subject: Subject) -> Iterator[Verdict]:
    """Gradients are finite, reach every layer, and are of one scale."""
    model = subject.task.model
    torch.autograd.backward(subject.forward().loss)
    if broken := first_nonfinite_gradient(model):
        fix = "guard square roots, divisions and logarithms behind it, or use --amp bf16 instead of fp16"
        yield Verdict("backward", "gradients", "fail", f"first not finite: that of {broken}", fix)
        return
    norms = gradient_norms(model)
    total = math.sqrt(sum(norm**2 for norm in norms.values()))
    yield _total(subject, total)
    yield _layers(norms)
    yield _reached(model)


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Name -> L2 norm of the gradient of each matrix or kernel that has one.

    Biases and norms are left out: in front of a normalization theirs are zero by right.
    """
    return {
        name: float(parameter.grad.norm())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.dim() > 1
    }


def _total(subject: Subject, norm: float) -> Verdict:
    settings = subject.settings
    limit = settings.max_grad_norm or LARGE_NORM
    clip = settings.clip_grad_norm
    message = f"{norm:.4g}" + (f", clipped to {clip:g}" if clip and norm > clip else "")
    numbers = {"norm": norm}
    if norm == 0:
        fix = "look for detach(), saturated activations and clamped outputs between the loss and the weights"
        return Verdict("backward", "gradient norm", "fail", "0: nothing can be learned", fix, numbers)
    if norm <= limit:
        return Verdict("backward", "gradient norm", "pass", message, "", numbers)
    if settings.max_grad_norm:
        fix = "scale first weights and losses down; such steps are skipped (--max-grad-norm)"
        return Verdict("backward", "gradient norm", "fail", f"{message}, above max_grad_norm", fix, numbers)
    state: State = "warn" if clip else "fail"
    fix = "clip (--clip-grad-norm 1.0) and warm up (--lr-warmup-steps 500); scale first weights down"
    return Verdict("backward", "gradient norm", state, f"{message}: exploding", fix, numbers)


def _layers(norms: dict[str, float]) -> Verdict:
    middle = median([norm for norm in norms.values() if norm] or [0.0])
    vanishing = [f"{name} ({norm:.2g})" for name, norm in norms.items() if 0 < norm < VANISHING * middle]
    exploding = [f"{name} ({norm:.2g})" for name, norm in norms.items() if norm > EXPLODING * middle]
    numbers = {"layers": norms}
    if vanishing or exploding:
        named = (("vanishing", vanishing), ("exploding", exploding))
        message = "; ".join(f"{word}: {shortened(names)}" for word, names in named if names)
        fix = "add norms or skip connections, initialize by the layers' fan, choose other activations"
        return Verdict("backward", "layers", "warn", message, fix, numbers)
    low, high = min(norms.values(), default=0.0), max(norms.values(), default=0.0)
    return Verdict(
        "backward", "layers", "pass", f"norms {low:.2g} to {high:.2g} in {len(norms)} layers", "", numbers
    )


def _reached(model: nn.Module) -> Verdict:
    """Parameters that the loss does not depend on, or not on this batch."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    without = [
        name for name, p in trained.items() if p.grad is None or (p.dim() > 1 and not bool(p.grad.any()))
    ]
    numbers = {"without": without}
    if without:
        fix = "freeze them (requires_grad_(False)), or connect them to the loss"
        message = f"{len(without)} of {len(trained)} without a gradient: {shortened(without)}"
        return Verdict("backward", "parameters", "warn", message, fix, numbers)
    return Verdict("backward", "parameters", "pass", f"all {len(trained)} have a gradient", "", numbers)
