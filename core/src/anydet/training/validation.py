"""``Validator``: losses and real metrics of a model in training, which notices nothing of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import nn

from anydet.contract.columns import to_columns
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import AnydetWarning, OptionError, PluginError, did_you_mean
from anydet.evaluation import compatibility
from anydet.evaluation.reading import Inputs
from anydet.evaluation.run import EvaluationRun, run_evaluators
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.prediction.checks import check_results
from anydet.prediction.pipeline import predict_chunks
from anydet.text import listed
from anydet.training.batches.loading import TrainingLoader
from anydet.training.config.settings import TrainSettings
from anydet.training.devices.processes import Processes
from anydet.training.numerics.rng import isolated_rng
from anydet.training.task import TrainingTask
from anydet.types import GroundTruthColumns, ImagePredictions


@dataclass(eq=False)
class Validator:
    """Validates the live model of a task.

    Attributes:
        adapter: registered name, for messages.
        task: has the model.
        dataset: validation images.
        loader: this process's batches of them, for the losses.
        processes: this one and those it trains with.
        settings: batch size, and the seed at which random numbers of a validation start each time.
        plugins: evaluators by name.
    """

    adapter: str
    task: TrainingTask
    dataset: Dataset
    loader: TrainingLoader
    processes: Processes
    settings: TrainSettings
    plugins: Plugins

    def __call__(self) -> dict[str, float]:
        """``avg_val_loss``, ``val_loss_<name>`` and the numbers of the task's evaluators.

        The same in all processes. Random numbers, modes, weights and buffers are afterwards as before.
        """
        # training goes on with the same random numbers as if no validation had been
        with isolated_rng(self.settings.seed), evaluating(self.task.model), torch.no_grad():
            losses = self.losses()
            metrics = self.metrics()
        return {**losses, **self.processes.broadcast(metrics)}

    def losses(self) -> dict[str, float]:
        """Means over all validation images; ``val_sanitized_<name>`` are counts over all of them."""
        sums: dict[str, torch.Tensor] = {}
        counts: dict[str, int] = {}
        count = 0
        for loaded in self.loader.batches(0):
            batch = self.processes.to_device(loaded.batch)
            with self.processes.accelerator.autocast():
                output = self.task.validation_step(batch)
            count += len(loaded.keys)
            named = {f"val_loss_{name}": loss for name, loss in output.losses.items()}
            for name, loss in {"avg_val_loss": output.loss, **named}.items():
                # float64: in float32 a sum over many images loses the digits that validations differ by.
                sums[name] = sums.get(name, 0.0) + loss.detach().double() * len(loaded.keys)
            for name, number in output.sanitized.items():
                counts[name] = counts.get(name, 0) + int(number)
        gathered = self.processes.gather([(count, {name: float(value) for name, value in sums.items()})])
        sanitized = self.processes.gather([counts])
        images = sum(count for count, _ in gathered)
        names = dict.fromkeys(name for _, found in gathered for name in found)
        means = {name: sum(found.get(name, 0.0) for _, found in gathered) / images for name in names}
        changed = dict.fromkeys(name for found in sanitized for name in found)
        return means | {
            f"val_sanitized_{name}": sum(found.get(name, 0) for found in sanitized) for name in changed
        }

    def metrics(self) -> dict[str, float]:
        """Numbers of the evaluators that apply; in the main process only.

        A name that an earlier evaluator of the task has already becomes ``EVALUATOR/NAME``.
        """
        found = self.processes.gather(list(self._predict()))
        if not self.processes.main:
            return {}
        # Each process has every world-th image, so that gathered results are out of order.
        predictions = [prediction for _, prediction in sorted(found, key=lambda pair: pair[0])]
        detections = to_columns(predictions, self.task.classes.names)
        compatibility.check_class_ids(detections, len(self.task.classes))
        inputs = Inputs(detections, self.ground_truth, context={}, warnings=())
        run = run_evaluators([inputs], self.task.evaluators, required=False, plugins=self.plugins)
        named: dict[str, float] = {}
        for evaluator, result in run.results.items():
            for name, value in result.metrics.items():
                # The task's first evaluator keeps the plain name: --best-metric AP means its AP, whichever
                # evaluators apply beside it.
                unique = f"{evaluator}/{name}" if name in named else name
                named[unique] = math.nan if value is None else float(value)
        self._require_best_metric(named, run, something=any(map(_holds_results, predictions)))
        for error in run.failed.values():
            # A run of hours goes on without numbers of an evaluator, unless they choose its best checkpoint.
            if self.settings.best_metric not in {"val_loss", *named}:
                raise error
            warnings.warn(f"{error.problem}; its metrics are missing", AnydetWarning, stacklevel=2)
        return named

    def _require_best_metric(self, named: Iterable[str], run: EvaluationRun, *, something: bool) -> None:
        """Refuse a ``best_metric`` that nobody measures: no checkpoint would ever be the best.

        An evaluator may not apply as long as nothing is predicted, and a failed one is an error of its own.
        """
        metric = self.settings.best_metric
        known = ["val_loss", *named]
        if metric in known or run.failed or (run.skipped and not something):
            return
        skipped = "".join(f"; {name} does not apply: {reason}" for name, reason in run.skipped.items())
        raise OptionError(
            f"best_metric {metric!r} is not measured; there are {listed(known, 40, quotes=False)}"
            f"{did_you_mean(metric, known)}{skipped}",
            fix="choose one of them with --best-metric; with --resume the run goes on where it is",
        )

    @cached_property
    def ground_truth(self) -> GroundTruthColumns:
        """Annotations of all validation images."""
        return self.dataset.ground_truth()

    def _checked(self, records: Sequence[Record]) -> Sequence[ImagePredictions]:
        calls = PluginCalls("adapters", self.adapter, self.plugins)
        try:
            return check_results(self.task.predict(list(records)), records, len(self.task.classes), calls)
        except PluginError as exc:
            raise PluginError(
                f"validation: {exc.problem}",
                fix="where a number is nan, training has diverged: lower lr, or set clip_grad_norm; "
                f"else {exc.fix}",
            ) from exc

    def _predict(self) -> Iterator[tuple[int, ImagePredictions]]:
        """Position and result of each image of this process."""
        positions = range(self.processes.rank, len(self.dataset), self.processes.world)
        chunks = predict_chunks(
            self._checked,
            (self.dataset[i] for i in positions),
            size=self.settings.batch_size,
            workers=1,  # training's own workers are alive beside it
        )
        return zip(positions, chain.from_iterable(chunks), strict=True)


def _holds_results(one: ImagePredictions) -> bool:
    return bool(len(one)) or one.classification is not None or one.semantic_mask is not None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """All modules in evaluation mode; afterwards each in the mode in which it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            # Not train(mode), which sets all modules below as well, such as norms that are frozen.
            module.training = mode
