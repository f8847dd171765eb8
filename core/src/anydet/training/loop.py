"""``Loop``: the training loop, the same for every adapter."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from types import MappingProxyType
from typing import NoReturn

from torch import nn

from anydet.errors import TrainingError
from anydet.training.batches.loading import LoadedBatch
from anydet.training.components import Components
from anydet.training.devices.processes import Processes, memory_mb
from anydet.training.hooks import Observed
from anydet.training.numerics.nonfinite import NUMBERS_FIX, first_nonfinite_weight
from anydet.training.numerics.rng import kept_rng
from anydet.training.progress import Progress
from anydet.training.run import Run
from anydet.training.stepping import SANITIZED, StepRejected


class Loop:
    """One run: epochs of steps, a validation after each, checkpoints in between.

    Attributes:
        run: data, settings and paths.
        components: task, loader, validator, optimizer, schedule, stepper, checkpoints, log and hooks.
        hooks: called around steps and epochs.
        progress: how far it is.
        keys: of the images of the last step.
        metrics: numbers of the last step.
        validation: numbers of the last validation.
    """

    def __init__(self, run: Run, components: Components) -> None:
        self.run, self.components, self.hooks = run, components, components.hooks
        self.settings = run.settings
        self.progress = Progress()
        self.keys: Sequence[str] = ()
        self.metrics: Mapping[str, float] = {}
        self.validation: Mapping[str, float] = {}
        self._ends_at = math.inf
        self._out_of_time = False

    @property
    def model(self) -> nn.Module:
        """The live model, on its device."""
        return self.components.task.model

    @property
    def processes(self) -> Processes:
        """This process and those it trains with."""
        return self.components.processes

    @property
    def finished(self) -> bool:
        """Whether all epochs or steps are done, time is up, or patience ran out."""
        progress, epochs = self.progress, self.settings.epochs
        return (
            progress.stopped_early
            or self._out_of_time
            or progress.step >= self.components.total_steps
            or (epochs is not None and progress.epoch >= epochs)
        )

    def fit(self) -> None:
        """Train to the end, from wherever ``progress`` is.

        Raises:
            TrainingError: the numbers are beyond repair; the last checkpoint is from before.
            InterruptedTraining: a signal arrived; everything is saved.
        """
        for hook in self.hooks:
            hook.before_train(self)
        self._notify("on_train_start")
        if self.settings.max_minutes is not None:
            self._ends_at = time.perf_counter() + 60 * self.settings.max_minutes
        while not self.finished:
            self._run_epoch()
        # max_steps and max_minutes may end in the middle of an epoch, which is not validated then.
        if self.progress.validated_step < self.progress.step:
            self._validate()
        for hook in self.hooks:
            hook.after_train(self)
        self.save()
        self._notify("on_train_end")

    def save(self) -> None:
        """Write the last checkpoint.

        Raises:
            TrainingError: weights are not finite.
            OutputError: it cannot be written, or the run's folder was removed.
        """
        self._check_weights()
        self.components.run_log.require_there()
        self.components.checkpointer.save_last(self.progress, self.validation)

    def _run_epoch(self) -> None:
        self.model.train()
        if self.progress.batch == 0:
            self.progress.epoch_steps = self.progress.epoch_skipped = self.progress.epoch_still = 0
            self.progress.loss_sum = 0.0
        for hook in self.hooks:
            hook.before_epoch(self)
        for window, data_s in self._windows():
            self._step(window, data_s)
            self.progress.batch += len(window)
            # In every step of every process: the answer is a collective operation, and a process that leaves
            # it out makes the others hang.
            stopping = self.processes.stop_requested()
            every = self.settings.save_every
            if stopping or (every and self.progress.step % every == 0):
                self.save()
            if stopping:
                self.processes.raise_stopped(self.progress.step)
            if self._took_last_step():
                break
        self._end_epoch()

    def _took_last_step(self) -> bool:
        """Whether all steps are done, or time is up by the clock of the main process."""
        done, total = self.progress.step, self.components.total_steps
        if done >= total:
            return True
        # Clocks differ: a process that ended a step before the others would leave them waiting.
        minutes = self.settings.max_minutes
        if minutes is not None and self.processes.broadcast(time.perf_counter() >= self._ends_at):
            self._out_of_time = True
            self.components.run_log.message(f"{minutes:.3g} minutes are over, after {done} of {total} steps")
        return self._out_of_time

    def _windows(self) -> Iterator[tuple[list[LoadedBatch], float]]:
        """The batches of each optimizer step, and for how many seconds they had to be waited for."""
        batches = self.components.loader.batches(self.progress.epoch, self.progress.batch)
        while True:
            start = time.perf_counter()
            # A slice of one iterator, not a loop over batches: the window of an optimizer step is taken as a
            # whole, so that the time waited for data is measured apart from the step, and the last window of
            # an epoch may be shorter.
            window = list(islice(batches, self.settings.gradient_accumulation_steps))
            if not window:
                return
            yield window, time.perf_counter() - start

    def _step(self, window: list[LoadedBatch], data_s: float) -> None:
        self.keys = [key for loaded in window for key in loaded.keys]
        for hook in self.hooks:
            hook.before_step(self)
        # read before the schedule moves on: the rate that this step is taken with
        rate = max(float(group["lr"]) for group in self.components.optimizer.param_groups)
        start = time.perf_counter()
        try:
            numbers = self.components.stepper.take(window, self._before_update)
        except StepRejected as bad:
            self._skip(bad)
            return
        # Only after a step that was taken: a skipped one must not use up warm-up or decay.
        self.components.schedule.step()
        self.progress.step += 1
        self.progress.epoch_steps += 1
        self.progress.epoch_still += numbers["grad_norm"] == 0
        self.progress.skipped_in_row = 0
        self.progress.loss_sum += numbers["loss"]
        step_s = time.perf_counter() - start
        images = sum(len(loaded.keys) for loaded in window) * self.processes.world
        measured = {f"train_{name}": value for name, value in numbers.items() if name != "grad_norm"} | {
            "learning_rate": rate,
            "grad_norm": numbers["grad_norm"],
            "images_per_s": images / (data_s + step_s),
            "data_s": data_s,
            "step_s": step_s,
            "memory_mb": memory_mb(self.processes.device),
        }
        self.metrics = MappingProxyType(measured)
        self.components.run_log.step(self.progress.step, self.progress.epoch, self.metrics)
        for hook in self.hooks:
            hook.after_step(self)
        self._notify("on_train_step")

    def _before_update(self) -> None:
        for hook in self.hooks:
            hook.before_update(self)

    def _skip(self, bad: StepRejected) -> None:
        """Count a step that was not taken; raises where the run must not go on."""
        progress, settings = self.progress, self.settings
        # No fault of the data: fp16 finds its loss scale by overflowing now and then.
        if bad.overflow:
            progress.overflows += 1
            self.components.run_log.overflowed(progress.step, progress.epoch, bad.problem)
            return
        where = f"step {progress.step + 1} (epoch {progress.epoch})"
        if bad.hopeless or settings.on_nonfinite == "stop":
            self._give_up(f"{where}: {bad.problem}", NUMBERS_FIX)
        progress.skipped += 1
        progress.epoch_skipped += 1
        progress.skipped_in_row += 1
        self.components.run_log.skipped(progress.step, progress.epoch, bad.problem)
        if progress.skipped_in_row >= settings.max_skips:
            self._give_up(
                f"{where}: {progress.skipped_in_row} steps in a row were skipped; the last: {bad.problem}",
                "look at these images, lower --lr, or allow more with --max-skips",
            )

    def _give_up(self, problem: str, fix: str) -> NoReturn:
        """Numbers are beyond repair: the model gets back what the last checkpoint holds."""
        raise TrainingError(f"{problem}; {self.components.checkpointer.put_back()}", fix=fix)

    def _end_epoch(self) -> None:
        """Judge, validate, save; an epoch that ``max_steps`` cut short stays where it is."""
        self._judge_skips()
        self._judge_gradients()
        progress, every = self.progress, self.settings.val_every
        if progress.batch < self.components.loader.batches_per_epoch:
            return
        if every and (progress.epoch + 1) % every == 0 and progress.validated_step < progress.step:
            # A validation may take long and be ended by force; what was trained must not be lost with it.
            self.save()
            self._validate()
        progress.epoch += 1
        progress.batch = 0
        for hook in self.hooks:
            hook.after_epoch(self)
        self._notify("on_train_epoch")
        self.save()
        if self.processes.stop_requested():
            self.processes.raise_stopped(progress.step)

    def _judge_skips(self) -> None:
        skipped, taken = self.progress.epoch_skipped, self.progress.epoch_steps
        fraction = skipped / max(1, skipped + taken)
        if fraction > self.settings.max_skip_share:
            self._give_up(
                f"epoch {self.progress.epoch}: {skipped} of {skipped + taken} steps were skipped, more than "
                f"max_skip_share {self.settings.max_skip_share:g} allows; reasons are in "
                f"{self.run.paths.train_metrics}",
                "lower --lr, look at the images named there, or allow more with --max-skip-share",
            )

    def _judge_gradients(self) -> None:
        """An epoch without any gradient learned nothing, however stable its loss looks."""
        progress, steps = self.progress, self.progress.epoch_steps
        if not steps or progress.epoch_still < steps:
            return
        counts = {
            name.removeprefix(f"train_{SANITIZED}"): value
            for name, value in self.metrics.items()
            if name.startswith(f"train_{SANITIZED}") and value
        }
        listed = ", ".join(f"{value:.0f} {name}" for name, value in counts.items())
        self._give_up(
            f"epoch {progress.epoch}: the gradient was 0 in all {steps} steps, so that nothing is learned"
            + (f"; the last one had {listed}" if listed else ""),
            "lower --lr and warm up (--lr-warmup-steps 500): outputs are saturated, or nothing is labeled",
        )

    def _check_weights(self) -> None:
        """A checkpoint never holds, and a validation never measures, weights that are not finite."""
        model, step = self.model, self.progress.step
        # Gathered, as all processes must give up together.
        if broken := [name for name in self.processes.gather([first_nonfinite_weight(model)]) if name]:
            self._give_up(f"after step {step} the weights of {broken[0]} are not finite", NUMBERS_FIX)

    def _validate(self) -> None:
        self._check_weights()
        progress, components = self.progress, self.components
        taken = max(1, progress.epoch_steps)
        found: dict[str, float] = {"avg_train_loss": progress.loss_sum / taken}
        if components.validator is not None:
            with components.checkpointer.as_predicted():
                found |= components.validator()
        found["learning_rate"] = components.schedule.learning_rate
        progress.validated_step = progress.step
        self.validation = MappingProxyType(found)
        # an evaluator that does not apply leaves its number out, which is no progress
        value = found.get(components.measured, math.nan)
        if components.validator is None or components.best.update(value, progress.step):
            components.checkpointer.save_best(progress, found)
        components.schedule.validated(found.get("avg_val_loss", found["avg_train_loss"]))
        progress.stopped_early = components.best.should_stop
        epoch = progress.epoch if progress.batch else progress.epoch - 1
        components.run_log.validation(progress.step, epoch, found)

    def _notify(self, event: str) -> None:
        plugins = self.run.plugins
        if plugins is None:
            return
        seen = Observed(self)
        # Random numbers that observers draw must not be missing in the training.
        with kept_rng() if plugins.is_observed(event) else nullcontext():
            plugins.notify(event, run=seen.run, state=seen)
