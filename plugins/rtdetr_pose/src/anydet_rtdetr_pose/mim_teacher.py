"""``MimTeacherHook``: the teacher of masked image modeling follows the model while it is trained."""

from __future__ import annotations

from anydet.training.hooks import LoopState, TrainingHook
from anydet_rtdetr_pose.task import PoseTraining


class MimTeacherHook(TrainingHook):
    """Takes the model into its teacher's average after each step that was taken.

    The average is a part of the model, so that checkpoints hold it.
    """

    def after_step(self, loop: LoopState) -> None:
        """Follow, where there is a teacher."""
        task = loop.task
        assert isinstance(task, PoseTraining)
        task.model.update_teacher()
