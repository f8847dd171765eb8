"""``DarkReplay``: DER++, the replay of stored images with their labels and the logits they once had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from anydet.errors import OptionError, TrainingError
from anydet.plugins.adapter import ClassLogits
from anydet.text import counted
from anydet.training.batches.samples import sample_of
from anydet.training.continual.correspondence import common_columns, joined_columns, match_queries
from anydet.training.continual.memory import NamedAnswers, Reservoir
from anydet.training.continual.stored import Answer, Stored, batch_of
from anydet.training.extra_loss import ExtraLoss
from anydet.training.hooks import LoopState
from anydet.training.numerics.rng import kept_rng
from anydet.training.run import Run
from anydet.training.task import StepOutput, TrainingTask
from anydet.training.validation import evaluating


class DarkReplay(ExtraLoss):
    """Stored images are to keep their labels, and the logits that the model had for them.

    Beside the loss of each batch there is that of as many stored images,

        derpp_weight (derpp_alpha E |z' - h(x')|^2 + derpp_beta E loss(x', y')),

    with the logits h of the model and the stored ones z', as in Buzzega et al. 2020, "Dark Experience for
    General Continual Learning: a Strong, Simple Baseline", equation 6. Both terms are of one draw, which
    has the same expectation as two and takes one pass less; the square is the mean over rows and columns, as
    in the authors' program. Images are stored as they are, without augmentation, since boxes that moved would
    have other logits. Each row is compared with the stored one of the same thing; see ``correspondence``.

    A reservoir takes in images of the steps that were taken, with the logits of that time in evaluation mode.

    Args:
        task: whose model is trained.
        run: its data and settings.

    Attributes:
        reservoir: what the run fills; ``None`` where npz files are replayed.
        line: what it does, for the start of the run.

    Raises:
        OptionError: the task gives no logits.
        DatasetError: an npz file that a sidecar names cannot be read.
    """

    name = "derpp"

    def __init__(self, task: TrainingTask, run: Run) -> None:
        if "logits" not in task.distill_keys:
            raise OptionError(
                f"derpp stores class logits, and {type(task.model).__name__} gives none",
                fix="leave --derpp out",
            )
        self._task, self._run, self._settings = task, run, run.settings
        key = run.settings.derpp_teacher_key
        named = NamedAnswers(run.dataset, key, task.label_kinds, task.names)
        self.reservoir = None if len(named) else Reservoir(run.settings.derpp_size, run.settings.seed)
        self._memory = self.reservoir if self.reservoir is not None else named
        self.line = "DER++ fills its reservoir, which is empty"
        if len(named):
            _ = named[0]  # a wrong file is an error before the first step
            self.line = f"DER++ replays {counted(len(named), 'image')} whose sidecars have {key}"
        self._places = {name: place for place, name in enumerate(run.dataset.keys)}
        self._loop: LoopState | None = None
        self._number = 0

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on with the reservoir of another run."""
        if self.reservoir is not None:
            self.reservoir.load_state_dict(state)
            self.line = f"DER++ goes on with a reservoir of {counted(len(self.reservoir), 'image')}"

    def before_train(self, loop: LoopState) -> None:
        """Step numbers, and other processes, are the loop's."""
        self._loop = loop

    def before_step(self, loop: LoopState) -> None:
        """The next batch is the first one of its step."""
        del loop
        self._number = 0

    def losses(self, task: TrainingTask, batch: Any, output: StepOutput) -> Mapping[str, Tensor]:
        """``derpp_logits`` and ``derpp_labels``, weighted; 0 while the reservoir is empty."""
        del batch
        if not len(self._memory):
            zero = output.loss.new_zeros(())
            return {"derpp_logits": zero, "derpp_labels": zero}
        stored = self._drawn()
        assert self._loop is not None
        samples = [task.item(one.labeled_as(task.names)) for one in stored]
        replayed = self._loop.processes.to_device(task.collate(samples))
        labels = task.step(replayed)
        answers = [one.answer for one in stored]
        found = self._found(task, replayed, labels, answers)
        weight = self._settings.derpp_weight
        return {
            "derpp_logits": weight
            * self._settings.derpp_alpha
            * logit_loss(found, answers, task.names.classes),
            "derpp_labels": weight * self._settings.derpp_beta * labels.loss,
        }

    def after_step(self, loop: LoopState) -> None:
        """Offer the images of all processes to the reservoir."""
        if self.reservoir is not None:
            self.reservoir.offer(loop.processes.gather(list(loop.keys)), self._store)

    def state_dict(self) -> Mapping[str, Any]:
        """The reservoir."""
        return {} if self.reservoir is None else self.reservoir.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        if self.reservoir is not None:
            self.reservoir.load_state_dict(state)

    def _drawn(self) -> list[Stored]:
        """As many as a batch has, other ones in each process."""
        assert self._loop is not None
        processes, own = self._loop.processes, self._settings.batch_size
        step = self._loop.progress.step
        drawn = self._memory.draw(
            own * processes.world, seed=self._settings.seed, step=step, number=self._number
        )
        self._number += 1
        return [self._memory[place] for place in drawn[processes.rank * own : (processes.rank + 1) * own]]

    @staticmethod
    def _found(task: TrainingTask, batch: Any, output: StepOutput, answers: Sequence[Answer]) -> ClassLogits:
        """The model's logits of stored images; of the very regions that are stored."""
        if answers[0].rows == "regions":
            like = batch_of(answers, next(task.model.parameters()).device)
            return task.logits(batch, like=like)
        if output.logits is None:
            raise TrainingError(
                f"{type(task).__name__} gives no class logits in its steps", fix="train without --derpp"
            )
        return output.logits

    def _store(self, key: str) -> Stored:
        """An image of the data set, as it is, with what the model says of it now."""
        assert self._loop is not None
        task, processes = self._task, self._loop.processes
        sample = sample_of(self._run.dataset[self._places[key]], task.label_kinds)
        batch = processes.to_device(task.collate([task.item(sample)]))
        with kept_rng(), evaluating(task.model), torch.no_grad(), processes.accelerator.autocast():
            answer = Answer.of(task.logits(batch), task.names)
        return Stored(replace(sample, extra={}), task.names, answer)


def logit_loss(found: ClassLogits, answers: Sequence[Answer], classes: Sequence[str]) -> Tensor:
    """Mean squared difference of logits to stored ones: over rows and columns, then over images.

    Args:
        found: of the images of the answers, with gradient; rows of regions are those of the answers.
        answers: one an image.
        classes: names of the columns of ``found``, without the background.
    """
    losses = []
    for image, answer in enumerate(answers):
        now = _of_image(found, image)
        then = batch_of([answer], now.logits.device)
        own, other = joined_columns(classes, answer.classes, now.background, answer.background)
        if not own:
            losses.append(now.logits.sum() * 0.0)
            continue
        now, then = common_columns(now, own), common_columns(then, other)
        if answer.rows == "queries":
            now, then = match_queries(now, then)
        rows = then.logits.shape[1]
        if now.logits.shape[1] < rows:
            raise TrainingError(
                f"DER++: the model has {now.logits.shape[1]} rows for an image, and {rows} are stored",
                fix="replay with the input size that the answers were stored with, or begin a new reservoir",
            )
        # The rows of a batch are padded at their end; queries and places are as many in each image.
        losses.append((now.logits[:, :rows].float() - then.logits).square().mean())
    return torch.stack(losses).mean()


def _of_image(found: ClassLogits, image: int) -> ClassLogits:
    """The answer about one image of a batch."""
    own = slice(image, image + 1)
    return replace(
        found,
        logits=found.logits[own],
        valid=found.valid[own],
        boxes=None if found.boxes is None else found.boxes[own],
        sizes_wh=None if found.sizes_wh is None else found.sizes_wh[own],
        queries=None if found.queries is None else found.queries[own],
        beside={},
    )
