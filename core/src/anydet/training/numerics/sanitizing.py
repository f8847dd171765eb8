"""``sanitize``: numbers that a loss can bear, and how many had to be changed for it.

A task hands the counts over as ``StepOutput.sanitized``; the engine logs them as ``train_sanitized_<name>``,
so that nothing is hidden by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sanitized:
    """Finite numbers.

    Attributes:
        values: what came in, within the limit; the gradient is 0 where it was changed.
        nonfinite: scalar int64, how many were NaN or infinite.
        clamped: scalar int64, how many finite ones were beyond the limit.
    """

    values: Tensor
    nonfinite: Tensor
    clamped: Tensor


def sanitize(values: Tensor, limit: float = math.inf) -> Sanitized:
    """NaN becomes 0 and infinity the limit (by ``torch.nan_to_num``); then all are clamped to ±limit.

    Args:
        values: floating-point numbers of any shape.
        limit: largest absolute value; infinity stands for the largest number of the type.
    """
    most = min(limit, torch.finfo(values.dtype).max)
    finite = torch.isfinite(values.detach())
    large = finite & (values.detach().abs() > most)
    sane = torch.nan_to_num(values, nan=0.0, posinf=most, neginf=-most).clamp(-most, most)
    return Sanitized(sane, (~finite).sum(), large.sum())
