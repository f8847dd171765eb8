"""``measure_pace``: how long a step takes here, before a run that has so many minutes."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from anydet.training.engine import train
from anydet.training.hooks import LoopState, TrainingHook
from anydet.training.run import Run, RunPaths
from anydet.training.task import TrainingTask

_WARM_UP = 2
"""First steps, in which memory is taken and libraries are loaded."""


class Pace(TrainingHook):
    """Notes how long each step takes, with the time it waits for its data.

    Attributes:
        seconds: of the steps so far.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def after_step(self, loop: LoopState) -> None:
        """One more."""
        self.seconds.append(loop.metrics["data_s"] + loop.metrics["step_s"])


def measure_pace(build: Callable[[Run], TrainingTask], run: Run, *, steps: int = 6) -> float:
    """Seconds of a step of a run: the median over ``steps`` of them after two, all for nothing.

    Learning rates go by steps, so a run that has so many minutes wants to know how many steps these are
    before it begins (and ``max_minutes``, as a pace may change).

    Args:
        build: as for ``train``; it is called once more by the real run.
        run: stays as it is; nothing is written into its folder.
        steps: how many are measured.

    Raises ``AnydetError`` as training does.
    """
    settings = msgspec.structs.replace(
        run.settings, max_steps=steps + _WARM_UP, epochs=None, save_every=0, log_with="", restore_best=False
    )
    pace = Pace()
    with tempfile.TemporaryDirectory(prefix="anydet-pace-") as folder:
        paths = RunPaths.of_folder(Path(folder))
        train(build, replace(run, settings=settings, paths=paths, validation=None, plugins=None), [pace])
    return statistics.median(pace.seconds[_WARM_UP:])
