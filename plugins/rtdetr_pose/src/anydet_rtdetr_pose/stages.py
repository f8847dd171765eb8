"""``Stages``: the offset head alone, then the camera head alone, then everything."""

from __future__ import annotations

from torch import nn

from anydet.errors import OptionError
from anydet.training.hooks import LoopState, TrainingHook
from anydet_rtdetr_pose.model import PoseDetector


class Stages(TrainingHook):
    """Counts the steps, and freezes all but one head in a run's first ones.

    What is frozen has no gradient, so that no optimizer moves it, and is in evaluation mode, so that no norm
    collects statistics.

    Args:
        model: that is trained.
        off_steps: first steps, in which the offset head learns.
        k_steps: steps after those, in which the camera head learns.

    Attributes:
        steps_done: optimizer steps taken; matching costs that begin later look at it.

    Raises:
        OptionError: the model lacks the head of a stage.
    """

    def __init__(self, model: PoseDetector, off_steps: int = 0, k_steps: int = 0) -> None:
        self._model = model
        self.steps_done = 0
        self._off_end, self._k_end = off_steps, off_steps + k_steps
        self._frozen: list[nn.Parameter] = []
        self._learning: nn.Module | None = None
        self._check()

    @property
    def any(self) -> bool:
        """Whether there are steps in which a head learns alone."""
        return self._k_end > 0

    def before_step(self, loop: LoopState) -> None:
        """Freeze and thaw for this step."""
        self.begin(loop.progress.step)

    def begin(self, step: int) -> None:
        """The same for a number of steps taken."""
        self.steps_done = step
        head = self._head_at(step)
        if head is not self._learning:
            self._thaw()
            if head is not None:
                self._freeze_all_but(head)
            self._learning = head
        if head is not None:
            self._model.eval()  # an epoch begins in training mode
            head.train()

    def _check(self) -> None:
        for key, begin, end in (("off", 0, self._off_end), ("k", self._off_end, self._k_end)):
            if end > begin and self._head_at(begin) is None:
                raise OptionError(
                    f"stage_{key}_steps {end - begin}: the model has no such head",
                    fix=f"leave --stage-{key}-steps out, or train on poses with the head switched on",
                )

    def _head_at(self, step: int) -> nn.Module | None:
        """The head that learns alone after so many steps, or ``None`` where everything does."""
        if step < self._off_end:
            return dict(self._model.heads.items()).get("offsets")
        return self._model.camera_head if step < self._k_end else None

    def _freeze_all_but(self, head: nn.Module) -> None:
        kept = set(head.parameters())
        # What was frozen before, such as a backbone's first stages, must not be thawed afterwards.
        self._frozen = [p for p in self._model.parameters() if p.requires_grad and p not in kept]
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def _thaw(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        if self._frozen:
            self._model.train()
        self._frozen = []
