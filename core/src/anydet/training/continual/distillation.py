"""``SelfDistillation``: a model that learns is to answer as a teacher of its own family does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from anydet.errors import OptionError, TrainingError
from anydet.plugins.adapter import ClassLogits
from anydet.text import WORD, listed
from anydet.training.config.settings import TrainSettings
from anydet.training.continual.correspondence import (
    common_columns,
    joined_columns,
    kind_of_rows,
    match_queries,
)
from anydet.training.continual.divergence import (
    class_loss,
    confidence,
    feature_loss,
    number_loss,
    state_loss,
)
from anydet.training.extra_loss import ExtraLoss
from anydet.training.first_weights import Names
from anydet.training.hooks import LoopState
from anydet.training.model import TorchModel
from anydet.training.task import StepOutput, TrainingTask

FEATURES = "features"
"""Key that the engine offers for every model that names its modules."""


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A model that has learned before.

    Attributes:
        model: of the student's family, with its weights.
        names: of its classes and states.
        source: the checkpoint, for messages.
        digest: of its weights.
    """

    model: TorchModel
    names: Names
    source: str
    digest: str


class SelfDistillation(ExtraLoss):
    """The student's answers are to be the teacher's, for the classes that both know.

    Sources: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (classes); Li and Hoiem 2016,
    "Learning without Forgetting" (the teacher is the model from before, and new classes are left out);
    Shmelkov et al. 2017, "Incremental Learning of Object Detectors without Catastrophic Forgetting" (boxes).

    Args:
        task: whose model is trained.
        teacher: what it is to answer as.
        settings: ``self_distill_...``.

    Attributes:
        line: what is taught, for the start of the run.

    Raises:
        OptionError: a key is none of the task's, or the teacher knows no class of the data.
    """

    name = "self_distill"

    def __init__(self, task: TrainingTask, teacher: Teacher, settings: TrainSettings) -> None:
        self._keys = chosen_keys(task, settings)
        self._teacher, self._settings, self._names = teacher, settings, task.names
        self._task = task.with_model(teacher.model)
        # A list, as the order of a set differs between processes, and with it the rounding of sums.
        self._of_row = wanted = [key for key in self._keys if key != FEATURES]
        task.wanted = self._task.wanted = tuple(dict.fromkeys([*task.wanted, *wanted]))
        known = set(task.classes.names) & set(teacher.names.classes)
        if wanted and not known:
            raise OptionError(
                f"self_distill_from: {teacher.source} knows none of the classes to learn (it knows "
                f"{listed(list(teacher.names.classes), 8, quotes=False, longest=WORD) or 'no names'})",
                fix=f"give a teacher of some of them, or add --self-distill-keys {FEATURES}",
            )
        self.line = (
            f"self-distillation of {', '.join(self._keys)} from {teacher.source}, which knows {len(known)} "
            f"of {len(task.classes)} classes"
        )
        models = (task.model, teacher.model) if FEATURES in self._keys else ()
        self._taps = [FeatureTap() for _ in models]
        # Not in the taps, which are copied with the model.
        self._handles = [
            last_of_neck(model).register_forward_hook(tap)
            for model, tap in zip(models, self._taps, strict=True)
        ]

    def frozen(self) -> Sequence[nn.Module]:
        """The teacher."""
        return [self._teacher.model]

    def before_step(self, loop: LoopState) -> None:
        """What a validation has left behind is no part of the step."""
        del loop
        for tap in self._taps:
            tap.clear()

    def after_train(self, loop: LoopState) -> None:
        """The model is exported and predicts without being listened to."""
        del loop
        for handle in self._handles:
            handle.remove()

    def losses(self, task: TrainingTask, batch: Any, output: StepOutput) -> Mapping[str, Tensor]:
        """``distill_<key>`` of each key, weighted.

        Raises ``TrainingError`` where the student gives no logits, or the feature maps differ in size.
        """
        with torch.no_grad():
            teacher = self._answers(batch, output.logits)
        found: dict[str, Tensor] = {}
        if self._taps:
            found[FEATURES] = feature_loss(*self._maps())
        if self._of_row:
            if output.logits is None:
                raise TrainingError(
                    f"{type(task).__name__} gives no class logits in its steps", fix="train without them"
                )
            found |= self._of_rows(output.logits, teacher)
        return {f"distill_{key}": self._settings.self_distill_weight * found[key] for key in self._keys}

    def state_dict(self) -> Mapping[str, Any]:
        """Which teacher it was, as another one would be another training."""
        return {"teacher": self._teacher.digest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise ``TrainingError`` where the run began with another teacher."""
        if state["teacher"] != self._teacher.digest:
            raise TrainingError(
                f"self_distill_from: {self._teacher.source} holds other weights than the run began with",
                fix="put the teacher's checkpoint back, or begin a new run",
            )

    def _answers(self, batch: Any, student: ClassLogits | None) -> ClassLogits:
        """The teacher's answer: of its own queries, or of the student's regions and places."""
        queries = student is None or kind_of_rows(student) == "queries"
        return self._task.logits(batch, like=None if queries else student)

    def _of_rows(self, student: ClassLogits, teacher: ClassLogits) -> dict[str, Tensor]:
        settings = self._settings
        kl: dict[str, Any] = {
            "temperature": settings.self_distill_temperature,
            "kind": settings.self_distill_kl,
        }
        own, other = joined_columns(
            self._names.classes, self._teacher.names.classes, student.background, teacher.background
        )
        student, teacher = common_columns(student, own), common_columns(teacher, other)
        if kind_of_rows(student) == "queries":
            student, teacher = match_queries(student, teacher)
        valid = student.valid & teacher.valid
        sure = confidence(teacher.logits, teacher.activation, teacher.background) * valid[..., None]
        found = {"logits": class_loss(student.logits, teacher.logits, valid, student.activation, **kl)}
        for name in (key for key in self._of_row if key != "logits"):
            ours, theirs = student.beside[name], teacher.beside[name]
            if ours.kind == "states":
                found[name] = self._of_states(ours.values, theirs.values, sure, kl)
            else:
                found[name] = number_loss(ours.values, theirs.values, sure)
        return found

    def _of_states(self, student: Tensor, teacher: Tensor, sure: Tensor, kl: Mapping[str, Any]) -> Tensor:
        own, other = joined_columns(self._names.states, self._teacher.names.states, None, None)
        if not own:
            return student.sum() * 0.0
        return state_loss(student[..., own], teacher[..., other], sure, **kl)

    def _maps(self) -> tuple[list[Tensor], list[Tensor]]:
        student, teacher = (list(tap.maps) for tap in self._taps)
        for tap in self._taps:
            tap.clear()
        sizes = [[tuple(one.shape) for one in maps] for maps in (student, teacher)]
        if sizes[0] != sizes[1] or not student:
            raise TrainingError(
                f"self_distill_keys features: the student's feature maps are {sizes[0]}, those of "
                f"{self._teacher.source} {sizes[1]}",
                fix="give a teacher of the same architecture and input size, or leave features out",
            )
        return student, teacher


class FeatureTap:
    """Keeps the feature maps that a module gives in its first pass since they were last cleared.

    Attributes:
        maps: (B, C, H, W) tensors.
    """

    def __init__(self) -> None:
        self.maps: list[Tensor] = []

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        """Called by torch after the module."""
        if not self.maps:
            self.maps = list({id(one): one for one in _maps_of(output)}.values())

    def clear(self) -> None:
        """The next pass is kept."""
        self.maps = []


def last_of_neck(model: TorchModel) -> nn.Module:
    """The last module of a model's neck, or of its backbone where it has none.

    Raises ``OptionError`` where the model names neither.
    """
    parts = model.module_names()
    names = [*parts.get("backbone", ()), *parts.get("neck", ())]
    if not names:
        raise OptionError(
            f"self_distill_keys features: {type(model).__name__} names no module of backbone and neck",
            fix="leave features out of --self-distill-keys",
        )
    return model.get_submodule(names[-1])


def chosen_keys(task: TrainingTask, settings: TrainSettings) -> list[str]:
    """Keys of ``self_distill_keys``; raises ``OptionError`` that lists those which the task offers."""
    given = settings.self_distill_keys
    keys = [key.strip() for key in (given.split(",") if isinstance(given, str) else given)]
    offered = [*task.distill_keys, FEATURES]
    for key in keys or [""]:
        if key not in offered:
            raise OptionError(
                f"self_distill_keys: {type(task.model).__name__} has no {key!r:.80} to distill",
                fix=f"choose among {', '.join(offered)}",
            )
    return list(dict.fromkeys(keys))


def _maps_of(output: Any) -> list[Tensor]:
    """The feature maps in what a module gave."""
    if isinstance(output, Tensor):
        return [output] if output.ndim == 4 and output.is_floating_point() else []
    if isinstance(output, Mapping):
        return [one for value in output.values() for one in _maps_of(value)]
    return [one for value in output for one in _maps_of(value)] if isinstance(output, list | tuple) else []
