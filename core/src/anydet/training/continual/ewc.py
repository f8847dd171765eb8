"""``ElasticWeights``: EWC, whose penalty holds weights by their Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anydet.data.dataset.protocols import Dataset
from anydet.training.batches.samples import sample_of
from anydet.training.continual.importance import Importance, trained
from anydet.training.devices.processes import Processes
from anydet.training.extra_loss import ExtraLoss
from anydet.training.hooks import LoopState
from anydet.training.numerics.rng import isolated_rng
from anydet.training.task import StepOutput, TrainingTask
from anydet.training.validation import evaluating


class ElasticWeights(ExtraLoss):
    """``ewc_lambda / 2`` times the sum over earlier tasks, and weights, of F (w - w*)^2.

    w* are the weights at the end of a task, F the diagonal of their Fisher information. Each task keeps its
    own anchor: the sum of the penalties is held as one quadratic. Source: Kirkpatrick et al. 2017,
    "Overcoming catastrophic forgetting in neural networks", equation 3.

    Args:
        strength: ``ewc_lambda``.

    Attributes:
        importance: F summed over tasks, and anchors.
    """

    name = "ewc"

    def __init__(self, strength: float) -> None:
        self.importance, self._strength = Importance(), strength

    def before_train(self, loop: LoopState) -> None:
        """Onto the model's device."""
        self.importance.to(loop.processes.device)

    def losses(self, task: TrainingTask, batch: Any, output: StepOutput) -> Mapping[str, Tensor]:
        """``ewc``; 0 in a first task."""
        del batch, output
        return {"ewc": self._strength / 2 * self.importance.distance(task.model)}

    def state_dict(self) -> Mapping[str, Any]:
        """What earlier tasks left."""
        return self.importance.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        self.importance.load_state_dict(state)

    def after_task(self, task: TrainingTask, fisher: Mapping[str, Tensor]) -> Importance:
        """Importance for the next task; ``task.model`` has the weights that this one ends with."""
        return self.importance.with_task(fisher, trained(task.model), keep_anchors=True)


def fisher_information(
    task: TrainingTask,
    dataset: Dataset,
    images: int,
    processes: Processes,
    *,
    seed: int,
    stop: Callable[[], None],
) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information: the mean over images of squared gradients of losses.

    Each image is a batch of its own: squares of gradients of a batch would leave out what cancels within it.
    The loss stands for the negative log-likelihood of the labels, with which it agrees but for the scale
    where it is a mean. The labels are those of the data, not drawn from the model as in the true Fisher
    information; Kunstner et al. 2019, "Limitations of the empirical Fisher approximation", has what differs.
    The model is in evaluation mode, and images are not augmented.

    Args:
        task: whose model has the weights in question.
        dataset: images of the task.
        images: how many of them at most, evenly spread.
        processes: each takes its part of them.
        seed: of random choices within the losses.
        stop: called before each image; raises where the run is to end.

    Returns:
        Name of each trained parameter -> its diagonal, the same in all processes.
    """
    places = np.linspace(0, len(dataset) - 1, min(images, len(dataset))).round().astype(np.int64).tolist()
    sums = {name: torch.zeros_like(one) for name, one in trained(task.model).items()}
    with isolated_rng(seed), evaluating(task.model):
        # As many rounds in each process, as stop() is a collective operation.
        for start in range(0, len(places), processes.world):
            stop()
            if start + processes.rank < len(places):
                sample = sample_of(dataset[places[start + processes.rank]], task.label_kinds)
                batch = processes.to_device(task.collate([task.item(sample)]))
                for name, gradient in _gradients(task, batch).items():
                    sums[name] += gradient.square()
    task.model.zero_grad(set_to_none=True)
    return {name: processes.total(one) / len(places) for name, one in sums.items()}


def _gradients(task: TrainingTask, batch: Any) -> dict[str, Tensor]:
    """Gradients of the loss of a batch, by the names of the parameters that it depends on."""
    task.model.zero_grad(set_to_none=True)
    loss = task.validation_step(batch).loss
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    model: nn.Module = task.model
    return {
        name: one.grad for name, one in model.named_parameters() if one.requires_grad and one.grad is not None
    }
