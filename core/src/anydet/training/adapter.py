"""``TorchAdapter``: an adapter whose training is the engine's."""

from __future__ import annotations

from abc import abstractmethod

from anydet.data.dataset.protocols import Dataset
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.training.run import Run
from anydet.training.task import TrainingTask


class TorchAdapter(Adapter):
    """Base class of adapters of torch models: say what a training task is, and ``train`` is there."""

    @abstractmethod
    def training_task(self, run: Run) -> TrainingTask:
        """The model to train, built by ``run.options`` for the classes of ``run.dataset``.

        The task's model becomes the adapter's live one: after training, ``predict`` uses it. Called after
        the seeds are set; a checkpoint in ``settings`` gives the first weights.
        """

    def train(self, dataset: Dataset, run: Run) -> TrainResult:
        """Train by the engine's loop; the result's checkpoint is what ``predict`` loads."""
        from anydet.training.engine import train

        return train(self.training_task, run)
