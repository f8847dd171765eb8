"""``Stages``: the offset head alone, then the camera head alone, then everything."""

from __future__ import annotations

from torch import nn

from anydet.errors import OptionError
from anydet.training.hooks import LoopState, TrainingHook
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.task import PoseTraining


class Stages(TrainingHook):
    """Passes the number of steps to the task, and freezes all but one head in a run's first steps.

    What is frozen has no gradient, so that no optimizer moves it, and is in evaluation mode, so that no norm
    collects statistics.

    Args:
        off_steps: first steps, in which the offset head learns.
        k_steps: steps after those, in which the camera head learns.
    """

    def __init__(self, off_steps: int = 0, k_steps: int = 0) -> None:
        self._off_end, self._k_end = off_steps, off_steps + k_steps
        self._frozen: list[nn.Parameter] = []
        self._learning: nn.Module | None = None

    @property
    def any(self) -> bool:
        """Whether there are steps in which a head learns alone."""
        return self._k_end > 0

    def before_step(self, loop: LoopState) -> None:
        """Freeze and thaw for this step."""
        task = loop.task
        assert isinstance(task, PoseTraining)
        self.begin(task, loop.progress.step)

    def begin(self, task: PoseTraining, step: int) -> None:
        """The same for a number of steps taken."""
        task.steps_done = step
        model = task.model
        head = self.head_at(model, step)
        if head is not self._learning:
            self._thaw(model)
            if head is not None:
                self._freeze_all_but(model, head)
            self._learning = head
        if head is not None:
            model.eval()  # an epoch begins in training mode
            head.train()

    def check(self, model: PoseDetector) -> None:
        """Raise ``OptionError`` where the model lacks the head of a stage."""
        for key, begin, end in (("off", 0, self._off_end), ("k", self._off_end, self._k_end)):
            if end > begin and self.head_at(model, begin) is None:
                raise OptionError(
                    f"stage_{key}_steps {end - begin}: the model has no such head",
                    fix=f"leave --stage-{key}-steps out, or train on poses with the head switched on",
                )

    def head_at(self, model: PoseDetector, step: int) -> nn.Module | None:
        """The head that learns alone after so many steps, or ``None`` where everything does."""
        if step < self._off_end:
            return dict(model.heads.items()).get("offsets")
        return model.camera_head if step < self._k_end else None

    def _freeze_all_but(self, model: PoseDetector, head: nn.Module) -> None:
        kept = set(head.parameters())
        # What was frozen before, such as a backbone's first stages, must not be thawed afterwards.
        self._frozen = [p for p in model.parameters() if p.requires_grad and p not in kept]
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def _thaw(self, model: PoseDetector) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        if self._frozen:
            model.train()
        self._frozen = []
