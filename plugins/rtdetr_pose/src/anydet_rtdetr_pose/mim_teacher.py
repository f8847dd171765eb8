"""``MimTeacherHook``: the teacher of masked image modeling follows the model while it is trained."""

from __future__ import annotations

from anydet.training.hooks import LoopState, TrainingHook
from anydet_rtdetr_pose.model import PoseDetector


class MimTeacherHook(TrainingHook):
    """Takes the model into its teacher's average after each step that was taken.

    The average is a part of the model, so that checkpoints hold it.

    Args:
        model: that is trained.
    """

    def __init__(self, model: PoseDetector) -> None:
        self._model = model

    def after_step(self, loop: LoopState) -> None:
        """Follow, where there is a teacher."""
        del loop
        self._model.update_teacher()
