"""``attach``: the keys of a run become its methods of continual learning, with what earlier runs left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from anydet.errors import OptionError, TrainingError
from anydet.training.checkpoints.checkpoint import Checkpoint
from anydet.training.continual.distillation import SelfDistillation, Teacher
from anydet.training.continual.ewc import ElasticWeights, fisher_information
from anydet.training.continual.handover import Handover, read_handover, weights_digest, write_handover
from anydet.training.continual.importance import Importance, trained
from anydet.training.continual.replay import DarkReplay
from anydet.training.continual.si import SynapticIntelligence
from anydet.training.extra_loss import ExtraLoss
from anydet.training.first_weights import Names
from anydet.training.hooks import LoopState
from anydet.training.numerics.rng import kept_rng
from anydet.training.run import Run
from anydet.training.task import TrainingTask

OpenTeacher: TypeAlias = Callable[[str], Teacher]
"""Builds the model of a checkpoint of the adapter that is trained."""


@dataclass(frozen=True, slots=True)
class Methods:
    """The methods of a run.

    Attributes:
        task: whose model is trained.
        run: its settings.
        losses: what is minimized beside the task.
        lines: printed at its start.
    """

    task: TrainingTask
    run: Run
    losses: Sequence[ExtraLoss] = ()
    lines: Sequence[str] = ()

    def hand_over(self, best: Checkpoint, loop: LoopState, say: Callable[[str], None]) -> None:
        """Write ``continual.pt`` for a run that begins with the best checkpoint; all processes take part.

        The weights that are held are those of the best checkpoint; the way of SI ends at the last ones. The
        model is afterwards as it was.

        Args:
            best: of this run.
            loop: of this run, which has ended.
            say: called with a line on what takes its time.

        Raises ``InterruptedTraining`` where a signal arrives; ``--resume`` does it again then.
        """
        task, left = self.task, dict[str, Mapping[str, Any]]()
        last = {name: tensor.clone() for name, tensor in task.weights.training_state(task.model).items()}
        end = trained(task.model)
        task.weights.load_predicting_state(task.model, best.state, source=best.source)
        try:
            for method in self.losses:
                if (state := self._left(method, end, loop, say)) is not None:
                    left[method.name] = state
        finally:
            task.weights.load_training_state(task.model, last, source="the weights of the last step")
        if left and loop.processes.main:
            handover = Handover(self.run.adapter, task.names, weights_digest(best), left)
            write_handover(self.run.paths.continual, handover)

    def _left(
        self, method: ExtraLoss, end: Mapping[str, Any], loop: LoopState, say: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """What a method leaves; ``None`` for one that leaves nothing."""
        if isinstance(method, SynapticIntelligence):
            return method.after_task(self.task, end).state_dict()
        if isinstance(method, ElasticWeights):
            return method.after_task(self.task, self._fisher(loop, say)).state_dict()
        if isinstance(method, DarkReplay) and method.reservoir is not None:
            return method.state_dict()
        return None

    def _fisher(self, loop: LoopState, say: Callable[[str], None]) -> dict[str, Any]:
        settings, processes, dataset = self.run.settings, loop.processes, self.run.dataset
        count = min(settings.ewc_images, len(dataset))
        say(f"EWC: Fisher information of {count} of {len(dataset)} images")

        def stop() -> None:
            if processes.stop_requested():
                processes.raise_stopped(loop.progress.step)

        return fisher_information(self.task, dataset, count, processes, seed=settings.seed, stop=stop)


def attach(task: TrainingTask, run: Run, open_teacher: OpenTeacher | None = None) -> Methods:
    """The methods that the settings switch on, with what the run of ``--checkpoint`` left of them.

    A run that is resumed gets all of that from its own last checkpoint afterwards.

    Args:
        task: with its first weights, and LoRA where it has that.
        run: its settings.
        open_teacher: builds the teacher of self-distillation; ``None`` where nobody can.

    Raises:
        OptionError: the task cannot do what a key asks for.
        TrainingError: the teacher, or what the other run left, cannot be read or does not fit.
        DatasetError: stored outputs of DER++ cannot be read.
    """
    settings = run.settings
    if not (settings.self_distill_from or settings.derpp or settings.ewc or settings.si):
        return Methods(task, run)
    begins_with = None if settings.resume else settings.checkpoint
    left = read_handover(begins_with, adapter=run.adapter) if begins_with and _leaves(run) else None
    losses: list[ExtraLoss] = []
    lines: list[str] = []
    if settings.derpp:
        replay = DarkReplay(task, run)
        if left is not None and "derpp" in left.methods:
            replay.take_over(left.methods["derpp"])
        losses.append(replay)
        lines.append(replay.line)
    for name in ("ewc", "si"):
        if getattr(settings, name):
            method = (
                ElasticWeights(settings.ewc_lambda)
                if name == "ewc"
                else SynapticIntelligence(settings.si_c, settings.si_epsilon)
            )
            method.importance, line = _importance(name, task, left)
            losses.append(method)
            lines += [line] if not settings.resume else []
    # The last: it looks at features of the first pass since it was last called, which is the task's own.
    if settings.self_distill_from:
        with kept_rng():  # a teacher's model is built of random numbers first
            distillation = SelfDistillation(task, _teacher(run, open_teacher), settings)
        losses.append(distillation)
        lines.append(distillation.line)
    return Methods(task, run, losses, lines)


def _leaves(run: Run) -> bool:
    """Whether the run has a method that leaves something to the next one."""
    return run.settings.derpp or run.settings.ewc or run.settings.si


def _teacher(run: Run, open_teacher: OpenTeacher | None) -> Teacher:
    if open_teacher is None:
        raise OptionError(
            f"self_distill_from: the training of {run.adapter} does not say how a teacher is built",
            fix="leave --self-distill-from out",
        )
    return open_teacher(str(run.settings.self_distill_from))


def _importance(name: str, task: TrainingTask, left: Handover | None) -> tuple[Importance, str]:
    """What earlier tasks need of the model, and a line on it."""
    title = name.upper()
    if left is None or name not in left.methods:
        return Importance(), f"{title}: no earlier task left anything; the next one can begin with this run"
    before = Importance()
    try:
        before.load_state_dict(left.methods[name])
        # The names of the first weights, as an option may have named classes that the file does not.
        first = task.first_weights
        theirs = first.theirs if first is not None and first.theirs.classes else left.names
        ours = Names(task.names.classes, task.names.states)
        found = before.taken_by(task.model, theirs, ours, source=left.source)
    except (KeyError, TypeError, AttributeError, RuntimeError) as exc:
        raise TrainingError(
            f"{left.source}: its state of {name} does not fit this model ({type(exc).__name__})",
            fix=f"leave --{name} out, or begin with a checkpoint of the same architecture",
        ) from exc
    return found, f"{title}: {len(found)} of {len(before)} parameters are held, as {left.source} says"
