"""Running statistics of norms, estimated again on the images that are predicted.

Sources: Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift
adaptation"; Nado et al. 2020, "Evaluating Prediction-Time Batch Normalization for Robustness under
Covariate Shift".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class NormStatistics:
    """The norms of a model whose running statistics follow the images.

    While ``following`` is open, each norm moves its statistics by what goes through it, and normalizes by the
    moved ones: the very numbers that the prediction will use. The papers normalize by the batch alone, which
    ruins batches of few images; here they enter with a weight and add up over the stream.

    Args:
        norms: name -> norm in evaluation mode, see ``select_statistics``.
        momentum: weight of a batch of ``batch_size`` images against the statistics so far.
        batch_size: images of a full batch; smaller ones weigh less.
    """

    def __init__(self, norms: Mapping[str, nn.Module], momentum: float, batch_size: int) -> None:
        self.norms = norms
        self.momentum, self._batch_size = momentum if norms else 0.0, batch_size

    def names(self) -> list[str]:
        """Names of the buffers that it moves."""
        return [f"{name}.{own}" for name in self.norms for own in ("running_mean", "running_var")]

    @contextmanager
    def following(self) -> Iterator[None]:
        """Move the statistics by each batch that goes through the model meanwhile."""
        if not self.momentum:
            yield
            return
        with ExitStack() as stack:
            for norm in self.norms.values():
                stack.callback(norm.register_forward_pre_hook(self._follow).remove)
            yield

    @contextmanager
    def measuring(self) -> Iterator[dict[str, float]]:
        """How far the batches are from the statistics, norm by norm, filled in when it ends.

        The mean over channels of the divergence KL(batch || running) of normal distributions, in nats.
        """
        shifts: dict[str, list[Tensor]] = {name: [] for name in self.norms}
        found: dict[str, float] = {}
        with ExitStack() as stack:
            for name, norm in self.norms.items():

                def measure(module: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
                    shifts[name].append(_divergence(module, inputs[0].detach()))

                stack.callback(norm.register_forward_pre_hook(measure).remove)
            yield found
        found.update({name: float(torch.stack(each).mean()) for name, each in shifts.items() if each})

    def _follow(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        values = inputs[0].detach()
        weight = 1 - (1 - self.momentum) ** (len(values) / self._batch_size)
        mean, variance = _moments(values)
        for name, moment in (("running_mean", mean), ("running_var", variance)):
            buffer: Tensor = getattr(module, name)
            # A new tensor: the graph of an earlier batch holds the old one for its backward pass.
            module._buffers[name] = torch.lerp(buffer, moment.to(buffer.dtype), weight)


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of each channel of (B, C, ...) values."""
    rows = values.float().transpose(0, 1).flatten(1)
    count = rows.shape[1]
    variance, mean = torch.var_mean(rows, dim=1, correction=1 if count > 1 else 0)
    return mean, variance


def _divergence(module: Any, values: Tensor) -> Tensor:
    mean, variance = _moments(values)
    eps = float(getattr(module, "eps", 1e-5)) or 1e-5
    ratio = (variance + eps) / (module.running_var + eps)
    distance = (mean - module.running_mean).square() / (module.running_var + eps)
    divergence: Tensor = 0.5 * (ratio + distance - 1 - ratio.log()).mean()
    return divergence
