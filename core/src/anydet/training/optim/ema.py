"""``Ema``: an exponential moving average of a model's weights and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from anydet.errors import OptionError
from anydet.training.lora.quantized import is_quantized
from anydet.training.weights import ModelWeights

_COUNT, _MODULE = "n_averaged", "module."
"""Names that torch's ``AveragedModel`` gives them."""
_SOURCE = "the average of weights in the checkpoint"


class Ema:
    """Averages what a model was after each step; it starts as the model after the first one.

    ``average = d * average + (1 - d) * model`` for every floating-point parameter and buffer; whole numbers,
    such as the count of batches of a norm, are copied. After n steps ``d = min(decay, (1 + n) / (10 + n))``,
    as in TensorFlow's ``ExponentialMovingAverage``: with ``decay`` from the start, a run of a few thousand
    steps would still hold part of its random first weights, and of the 1 at which a norm's running variance
    begins, which is more than all there is of a variance of 0.004.

    Args:
        model: on the device and in the type in which it is trained; the average is there, too.
        decay: weight of the old average in each step, once there were enough steps.
        weights: which tensors of the average are saved, and how.

    Raises:
        OptionError: the model cannot be copied.
    """

    def __init__(self, model: nn.Module, decay: float, weights: ModelWeights | None = None) -> None:
        self._decay, self._weights = decay, weights or ModelWeights()
        self._updates = 0
        try:
            self._averaged = AveragedModel(model)
        except Exception as error:  # a copy runs any code of the model's
            raise OptionError(
                f"use_ema needs a copy of the model, and {type(model).__name__} cannot be copied: {error}",
                fix="train without --use-ema, or give the model a __deepcopy__ that works",
            ) from error
        self._averaged.requires_grad_(requires_grad=False)

    def update(self, model: nn.Module) -> None:
        """Take in what the model is now; call it after each step that the optimizer took."""
        pairs = list(zip(_tensors(self._averaged.module), _tensors(model), strict=True))
        if not self._updates:
            _copy((new for _, new in pairs), (old for old, _ in pairs))
        else:
            groups: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
            for old, new in pairs:
                groups.setdefault((old.device, old.dtype), []).append((old, new))
            for group in groups.values():
                self._average([old for old, _ in group], [new for _, new in group])
        self._averaged.n_averaged += 1
        self._updates += 1

    def weights(self) -> dict[str, Tensor]:
        """What predicts as the average does."""
        return self._weights.predicting_state(self._averaged.module)

    def state_dict(self) -> dict[str, Tensor]:
        """The average, its names after ``module.``, and how many models are in it."""
        state = self._weights.training_state(self._averaged.module)
        return {_COUNT: self._averaged.n_averaged, **{f"{_MODULE}{name}": state[name] for name in state}}

    def load_state_dict(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from ``state_dict``; the average stays on its device.

        Raises:
            OptionError: there is no average to go on from.
            TrainingError: it is another model's.
        """
        if state is None:
            raise OptionError(
                "use_ema is on, but the checkpoint has no average of weights to resume from",
                fix="resume without --use-ema, or start a new run with it",
            )
        weights = {name.removeprefix(_MODULE): state[name] for name in state if name != _COUNT}
        self._weights.load_training_state(self._averaged.module, weights, source=_SOURCE)
        self._averaged.n_averaged.copy_(state[_COUNT])
        self._updates = int(self._averaged.n_averaged)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Lend the average to ``model`` in place; afterwards it holds the very bits it held before.

        Needs memory for one more copy of the model while it lasts.
        """
        # Copied in place: the optimizer and the wrapper for several processes hold these very tensors.
        live = list(_tensors(model))
        kept = [tensor.detach().clone() for tensor in live]
        _copy(_tensors(self._averaged.module), live)
        try:
            yield
        finally:
            _copy(kept, live)

    @torch.no_grad()
    def _average(self, averages: list[Tensor], models: list[Tensor]) -> None:
        """Of one type; torch's own function averages whole numbers as well, and cuts the result off."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        if averages[0].is_floating_point() or averages[0].is_complex():
            torch._foreach_lerp_(averages, models, 1 - decay)
        else:
            torch._foreach_copy_(averages, models)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, but quantized weights, which are never trained and take no part in sums."""
    return (one.detach() for one in chain(model.parameters(), model.buffers()) if not is_quantized(one))


@torch.no_grad()
def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
