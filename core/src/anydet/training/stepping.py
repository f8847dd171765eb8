"""``Stepper``: one optimizer step over a window of batches, or the reason why it must not be taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from anydet.errors import TrainingError
from anydet.training.batches.loading import LoadedBatch
from anydet.training.config.settings import TrainSettings
from anydet.training.devices.processes import Processes
from anydet.training.extra_loss import ExtraLoss, added
from anydet.training.numerics.nonfinite import (
    BufferSnapshot,
    first_nonfinite,
    first_nonfinite_gradient,
    first_nonfinite_module,
    first_nonfinite_parameter,
    largest_gradient,
    name_images,
)
from anydet.training.numerics.rng import isolated_rng
from anydet.training.optim.ema import Ema
from anydet.training.task import TrainingTask

SANITIZED = "sanitized_"
"""Before names of counts, which are added up where losses are averaged."""


class StepRejected(Exception):  # noqa: N818 - a verdict on a step, whose meaning the caller decides
    """A step was not taken, and nothing of it is left.

    Attributes:
        problem: what was found, where and on which images.
        hopeless: whether the weights themselves are not finite, so that no other batch can do better.
        overflow: whether fp16 overflowed and the loss scale was lowered, which is its way of working.
    """

    def __init__(self, problem: str, *, hopeless: bool = False, overflow: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hopeless = hopeless
        self.overflow = overflow


class StepModule(nn.Module):
    """A task's step as a module, so that its gradients are averaged over processes when it is called.

    Args:
        task: the model and its losses.
        extra: losses beside them.
    """

    def __init__(self, task: TrainingTask, extra: Sequence[ExtraLoss] = ()) -> None:
        super().__init__()
        self.model = task.model
        # In a tuple: a teacher that were a submodule would be broadcast and wrapped as the model is.
        self._task, self._extra = task, tuple(extra)

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """``loss``, every single loss as ``loss_<name>``, every count as ``sanitized_<name>``."""
        output = added(self._extra, self._task, batch, self._task.step(batch))
        return {
            "loss": output.loss,
            **{f"loss_{name}": loss for name, loss in output.losses.items()},
            **{f"{SANITIZED}{name}": count.detach() for name, count in output.sanitized.items()},
        }


class Stepper:
    """Takes optimizer steps: forward, backward, one look at the numbers, clip, move the weights.

    What comes out is the same in all processes, bad steps too.

    Args:
        task: the model and its losses.
        settings: accumulation is the window's; clipping and guards are read here.
        processes: this one and those it trains with.
        optimizer: moves the weights.
        ema: follows them, or ``None``.
        extra: losses beside the task's own.
    """

    def __init__(
        self,
        task: TrainingTask,
        settings: TrainSettings,
        processes: Processes,
        optimizer: Optimizer,
        ema: Ema | None,
        *,
        extra: Sequence[ExtraLoss] = (),
    ) -> None:
        self._model, self._settings, self._processes, self._ema = task.model, settings, processes, ema
        self._bare = StepModule(task, extra)
        self._module = processes.wrap(self._bare, find_unused_parameters=task.find_unused_parameters)
        self._optimizer = processes.accelerator.prepare_optimizer(optimizer)
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._buffers = BufferSnapshot(task.model) if settings.on_nonfinite == "skip" else None

    def take(
        self, window: Sequence[LoadedBatch], before_update: Callable[[], None] | None = None
    ) -> dict[str, float]:
        """One step; gives ``loss``, ``loss_<name>``, ``sanitized_<name>`` and ``grad_norm`` before clipping.

        Args:
            window: batches of the step.
            before_update: called when the gradients are there and good, before they are clipped.

        Raises:
            StepRejected: a number is not finite or too large; weights and buffers are as before.
            TrainingError: the device's memory is too small.
        """
        if self._buffers:
            self._buffers.take()
        self._look_at_inputs(window)
        losses = self._backward(window)
        norm = self._gradient_norm()
        # one tensor for all numbers: each transfer to the CPU waits for the device, so there is one a step
        values = self._processes.mean(torch.stack([*losses.values(), norm.float()])).tolist()
        numbers = {
            # The sum over processes, of which mean() gave the mean.
            name: value * self._processes.world if name.startswith(SANITIZED) else value
            for name, value in zip((*losses, "grad_norm"), values, strict=True)
        }
        self._look_at_numbers(numbers, window)
        if before_update:
            before_update()
        if self._settings.clip_grad_norm:
            # By the norm that is known; clip_grad_norm_ would compute it again.
            clip_grads_with_norm_(self._parameters, self._settings.clip_grad_norm, norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._ema:
            self._ema.update(self._model)
        return numbers

    def _backward(self, window: Sequence[LoadedBatch]) -> dict[str, Tensor]:
        """Gradients of the mean over the window's batches; gives the means of their losses.

        Counts are added up.
        """
        sums: dict[str, Tensor] = {}
        try:
            for number, loaded in enumerate(window, start=1):
                with self._synchronized(number == len(window)):
                    losses = self._module(self._processes.to_device(loaded.batch))
                    self._processes.accelerator.backward(losses["loss"] / len(window))
                for name, loss in losses.items():
                    batches = 1 if name.startswith(SANITIZED) else len(window)
                    value = loss.detach().float() / batches
                    sums[name] = sums[name] + value if name in sums else value
        except torch.OutOfMemoryError as exc:
            raise TrainingError(
                f"{self._processes.device} is out of memory: {str(exc).splitlines()[0]}",
                fix="use a smaller --batch-size with --gradient-accumulation-steps, or --amp bf16",
            ) from exc
        return sums

    def _synchronized(self, now: bool) -> AbstractContextManager[Any]:
        """Gradients are averaged over processes with the last batch of a step only."""
        return nullcontext() if now else self._processes.accelerator.no_sync(self._module)

    def _gradient_norm(self) -> Tensor:
        # Under fp16 gradients carry the loss scale, which norm and limits must not see.
        self._processes.accelerator.unscale_gradients()
        return get_total_norm([p.grad for p in self._parameters if p.grad is not None])

    def _look_at_inputs(self, window: Sequence[LoadedBatch]) -> None:
        if not self._settings.check_inputs:
            return
        found = [
            f"{where} of the input is not finite; images: {name_images(loaded.keys)}"
            for loaded in window
            if (where := first_nonfinite(loaded.batch))
        ]
        if found := self._processes.gather(found):
            raise StepRejected("; ".join(found))

    def _look_at_numbers(self, numbers: Mapping[str, float], window: Sequence[LoadedBatch]) -> None:
        bad = [name for name, value in numbers.items() if not math.isfinite(value)]
        limit, norm = self._settings.max_grad_norm, numbers["grad_norm"]
        if not bad and (not limit or norm <= limit):
            return
        # Finite losses with infinite gradients are what an fp16 overflow looks like; a NaN loss stays NaN at
        # any scale.
        if bad == ["grad_norm"] and self._overflowed():
            raise StepRejected("fp16 overflowed; the loss scale was lowered", overflow=True)
        if bad:
            problem, hopeless = self._explain(bad, numbers, window)
        else:
            problem, hopeless = f"grad_norm {norm:.4g} is above max_grad_norm {limit:g}", False
        images = self._processes.gather([key for loaded in window for key in loaded.keys])
        self._optimizer.zero_grad(set_to_none=True)
        if self._buffers:
            self._buffers.put_back()
        raise StepRejected(f"{problem}; images: {name_images(images)}", hopeless=hopeless)

    def _overflowed(self) -> bool:
        """Let the loss scaler see gradients that are not finite; whether lowering its scale can help."""
        scaler = self._processes.accelerator.scaler
        # At a scale of 1 nothing is scaled: the gradients overflow by themselves.
        if scaler is None or scaler.get_scale() <= 1.0:
            return False
        self._optimizer.step()  # the scaler takes no step and lowers its scale
        self._optimizer.zero_grad(set_to_none=True)
        return True

    def _explain(
        self, bad: list[str], numbers: Mapping[str, float], window: Sequence[LoadedBatch]
    ) -> tuple[str, bool]:
        """What is not finite and where that begins; whether it is the weights themselves."""
        if self._buffers:
            self._buffers.put_back()
        listed = ", ".join(
            f"{name if name == 'grad_norm' else 'train_' + name} is {numbers[name]}" for name in bad
        )
        # The weights before all else: once they are broken, every other finding only follows from it.
        if weights := first_nonfinite_parameter(self._model):
            return f"{listed}: the weights of {weights} are not finite", True
        source = self._explain_gradient(only=bad == ["grad_norm"])
        for loaded in window:
            if where := first_nonfinite(loaded.batch):
                source = f"{where} of the input"
                break
            if module := first_nonfinite_module(self._model, partial(self._forward, loaded)):
                source = f"the output of {module}"
                break
        sources = dict.fromkeys(self._processes.gather([source]))
        return f"{listed}: first not finite: {', '.join(sources)}", False

    def _explain_gradient(self, *, only: bool) -> str:
        """Where backward went wrong; ``only`` the norm of gradients, while losses are finite."""
        if gradient := first_nonfinite_gradient(self._model):
            return f"the gradient of {gradient}"
        if not only:
            return "the losses"
        name, value = largest_gradient(self._model)
        return f"the norm itself, as the gradient of {name} reaches {value:.3g}"

    def _forward(self, loaded: LoadedBatch) -> None:
        with torch.no_grad(), isolated_rng(self._settings.seed), self._processes.accelerator.autocast():
            # Not the wrapped module: its synchronization would wait for processes that search elsewhere.
            self._bare(self._processes.to_device(loaded.batch))
