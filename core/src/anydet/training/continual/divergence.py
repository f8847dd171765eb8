"""How far a student's answers are from a teacher's: classes, numbers, features; each a mean over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Kind: TypeAlias = Literal["forward", "reverse", "sym"]
Activation: TypeAlias = Literal["sigmoid", "softmax"]


def row_divergence(
    student: Tensor, teacher: Tensor, activation: Activation, *, temperature: float, kind: Kind
) -> Tensor:
    """(...) divergence of distributions over the last axis of two (..., C) logits, times temperature squared.

    With p of the teacher and q of the student, at temperature T: forward is KL(p || q), as in Hinton et al.
    2015, "Distilling the Knowledge in a Neural Network"; reverse is KL(q || p), as in Gu et al. 2024,
    "MiniLLM"; sym is their mean. Gradients by logits shrink by 1 / T^2, which the factor T^2 makes up for
    (Hinton et al. 2015, section 2). With sigmoids each class is a distribution of its own, and the classes'
    divergences are added up.
    """
    q, p = student.float() / temperature, teacher.float() / temperature
    if kind == "sym":
        rows = (_kl(p, q, activation) + _kl(q, p, activation)) / 2
    else:
        rows = _kl(p, q, activation) if kind == "forward" else _kl(q, p, activation)
    return temperature**2 * rows


def _kl(first: Tensor, second: Tensor, activation: Activation) -> Tensor:
    """KL(first || second) of logits."""
    if activation == "softmax":
        logs = first.log_softmax(-1)
        return (logs.exp() * (logs - second.log_softmax(-1))).sum(-1)
    found = torch.zeros_like(first)
    for sign in (1.0, -1.0):  # of a class, and of its absence
        logs = functional.logsigmoid(sign * first)
        found = found + logs.exp() * (logs - functional.logsigmoid(sign * second))
    return found.sum(-1)


def confidence(logits: Tensor, activation: Activation, background: int | None) -> Tensor:
    """(B, N, C) probabilities that rows show a class; 0 in the column of the background."""
    found = logits.float().softmax(-1) if activation == "softmax" else logits.float().sigmoid()
    if background is not None:
        found = found.clone()
        found[..., background] = 0.0
    return found


def class_loss(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor,
    activation: Activation,
    *,
    temperature: float = 1.0,
    kind: Kind = "forward",
) -> Tensor:
    """Divergence of the classes of rows, as a scalar.

    The rows of an image are averaged with softmax, as cross-entropy is; with sigmoid they are added up and
    divided by the number of objects that the teacher expects (at least 1), as focal losses are.

    Args:
        student: (B, N, C) logits, with gradient.
        teacher: (B, N, C) logits.
        valid: (B, N) which rows count.
        activation: how logits become probabilities.
        temperature: of both.
        kind: see ``row_divergence``.
    """
    rows = row_divergence(student, teacher, activation, temperature=temperature, kind=kind) * valid
    counts = valid.sum(1)
    if activation == "sigmoid":
        counts = (confidence(teacher, activation, None).amax(-1) * valid).sum(1)
    return (rows.sum(1) / counts.clamp(min=1.0)).mean()


def number_loss(student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """Distance of the numbers of rows, weighted by how sure the teacher is that there is an object.

    Args:
        student: (B, N, n), or (B, N, C, n) with numbers for each class; with gradient.
        teacher: of the same shape.
        weights: (B, N, C) ``confidence`` of the teacher; 0 for rows that do not count.
    """
    distance = (student.float() - teacher.float()).abs().sum(-1)
    sure = weights if distance.ndim == 3 else weights.amax(-1)
    return _weighted(distance, sure)


def state_loss(
    student: Tensor, teacher: Tensor, weights: Tensor, *, temperature: float, kind: Kind
) -> Tensor:
    """Divergence of the states of rows, weighted as ``number_loss``."""
    rows = row_divergence(student, teacher, "softmax", temperature=temperature, kind=kind)
    return _weighted(rows, weights.amax(-1))


def _weighted(rows: Tensor, weights: Tensor) -> Tensor:
    found = (rows * weights).flatten(1).sum(1)
    return (found / weights.flatten(1).sum(1).clamp(min=1.0)).mean()


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of feature maps, the mean over maps.

    Source: Romero et al. 2015, "FitNets", equation 3, without a regressor, as the maps are of one family.
    """
    losses = [functional.mse_loss(s.float(), t.float()) for s, t in zip(student, teacher, strict=True)]
    return torch.stack(losses).mean()
