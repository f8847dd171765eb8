"""``Runs``: all methods on all tasks with all seeds; what is done already is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from anydet.continual.results import SEEN, Matrices, Results
from anydet.continual.scores import Score, score_groups
from anydet.continual.setting import Method, Setting
from anydet.continual.stages import Stage, Trainer
from anydet.continual.tasks import Task, open_tasks, seen, training_data, truth_of
from anydet.data.dataset.joined import Joined
from anydet.errors import OptionError
from anydet.evaluation.evaluator import Engine
from anydet.plugins.manager import Plugins
from anydet.text import counted
from anydet.training.devices.torchrun import process_count
from anydet.types import FloatArray

Row = dict[str, Score]
"""Task, or ``SEEN`` for all classes so far -> AP after a task."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The trainings and evaluations of a setting.

    Attributes:
        setting: what is learned.
        out: folder of all files.
        plugins: where adapters and formats come from.
        engine: matches detections.
        say: called with a line on what is done.
    """

    setting: Setting
    out: Path
    plugins: Plugins
    engine: Engine
    say: Callable[[str], None] = lambda _text: None

    def __len__(self) -> int:
        """Number of stages."""
        return sum(len(self._numbers(method)) for method in self.setting.methods) * len(self.setting.seeds)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, open; raises as ``open_tasks``."""
        return open_tasks(self.setting, self.plugins)

    def describe(self) -> list[str]:
        """A line on each task; raises as ``open_tasks``."""
        return [
            f"task {number + 1}: {self._title(number)}, {_images(task)}"
            for number, task in enumerate(self.tasks)
        ]

    def run(self) -> Results:
        """Train and evaluate what is missing.

        Raises:
            AnydetError: a training, a data set or an evaluation fails; what was done before is kept.
            InterruptedTraining: a signal arrived; the same call goes on.

        All trainings are built once before the first one, so that one that cannot begin costs none.
        """
        if process_count() > 1:
            raise OptionError(
                "tasks are learned in one process here, not by torchrun", fix="run anydet continual alone"
            )
        setting, tasks = self.setting, self.tasks
        trainer = Trainer(setting, self.out, self.plugins)
        self._rehearse(trainer)
        found = {method.name: self._method(method, trainer) for method in setting.methods}
        base = setting.baseline
        return Results(
            found,
            None if base is None else base.name,
            tuple(task.name for task in tasks),
            sum(len(task.validation) for task in self._evaluated),
            setting.resamples,
            setting.seeds,
        )

    def _rehearse(self, trainer: Trainer) -> None:
        """Build each training that is missing as far as its first step, before the first of them.

        The first two tasks of the first seed: later ones differ from the second by data, which is looked at,
        and by rows of classes.
        """
        seed = self.setting.seeds[0]
        with TemporaryDirectory(prefix="anydet-continual-") as scratch:
            for method in self.setting.methods:
                before: Stage | None = None
                for place, number in enumerate(self._numbers(method)):
                    data = training_data(self.tasks, number, method, seed)
                    if isinstance(data, Joined):
                        data.ground_truth()  # classes or states that do not go together
                    if place < 2:
                        before = trainer.rehearse(
                            self._task_name(method, number),
                            data,
                            method,
                            number=number,
                            seed=seed,
                            before=before,
                            scratch=Path(scratch),
                        )

    def _method(self, method: Method, trainer: Trainer) -> Matrices:
        rows: list[list[Row]] = []
        seconds: list[float | None] = []
        runs: list[tuple[str, ...]] = []
        for seed in self.setting.seeds:
            stages: list[Stage] = []
            scores: list[Row] = []
            for number in self._numbers(method):
                title = f"task {number + 1} of {len(self.tasks)}: {self._title(number)}"
                self.say(f"{method.name}, seed {seed}, {title if not method.joint else 'all tasks at once'}")
                data = training_data(self.tasks, number, method, seed)
                before = stages[-1] if stages else None
                name = self._task_name(method, number)
                stages.append(trainer.train(name, data, method, number=number, seed=seed, before=before))
                scores.append(self._scores(trainer, stages[-1], number))
            # What joint training leaves out was not measured.
            unknown: list[Row] = [{}] * (len(self.tasks) - len(scores))
            rows.append([*unknown, *scores])
            seconds += [stage.seconds for stage in stages]
            runs.append(tuple(str(stage.folder) for stage in stages))
        names, known = [task.name for task in self.tasks], [one for one in seconds if one is not None]
        values, draws = self._arrays(rows, names)
        all_values, all_draws = self._arrays(rows, [SEEN])
        return Matrices(
            values,
            draws,
            all_values[..., 0],
            None if all_draws is None else all_draws[..., 0],
            float(np.median(known)) if known else None,
            tuple(runs),
        )

    def _scores(self, trainer: Trainer, stage: Stage, number: int) -> Row:
        """AP of a stage on each task whose classes it knows, and on all of these."""
        table = seen(self.tasks[: number + 1])
        row: Row = {}
        for place, first in enumerate(self._evaluated):
            mine = [task for task in self.tasks if task.validation is first.validation]
            groups = {task.name: task.classes for task in mine if set(task.classes) <= set(table.names)}
            if len(self._evaluated) == 1:
                groups[SEEN] = table.names
            if not groups:
                continue
            # One data set that all tasks divide has the name of none of them.
            name = first.name if len(self._evaluated) > 1 else ""
            predictions, identity = trainer.predict(stage, first.validation, name)
            row |= score_groups(
                truth_of(first, table),
                predictions,
                groups,
                self.engine,
                resamples=self.setting.resamples,
                seed=place,
                identity=identity,
            )
        return row

    def _arrays(
        self, rows: Sequence[Sequence[Row]], names: Sequence[str]
    ) -> tuple[FloatArray, FloatArray | None]:
        """(S, T, N) values and (S, B, T, N) draws of rows by seed and task; NaN where one is missing."""
        blank = np.full(self.setting.resamples, np.nan)
        values = [[[row[n].value if n in row else np.nan for n in names] for row in one] for one in rows]
        scores = [row[n] for one in rows for row in one for n in names if n in row]
        if any(score.draws is None for score in scores):
            return np.array(values, np.float64), None
        draws = [[[row[n].draws if n in row else blank for n in names] for row in one] for one in rows]
        return np.array(values, np.float64), np.moveaxis(np.array(draws, np.float64), 3, 1)

    def _numbers(self, method: Method) -> range:
        """Numbers of the tasks that are trained: all, or the last one, which has all classes."""
        last = len(self.tasks)
        return range(last - 1 if method.joint else 0, last)

    @cached_property
    def _evaluated(self) -> tuple[Task, ...]:
        """The first task of each set of images to evaluate on."""
        found = {id(task.validation): task for task in reversed(self.tasks)}
        return tuple(task for task in self.tasks if found[id(task.validation)] is task)

    def _task_name(self, method: Method, number: int) -> str:
        return "joint" if method.joint else self.tasks[number].name

    def _title(self, number: int) -> str:
        task = self.tasks[number]
        return f"{task.name} ({counted(len(task.classes), 'class')})"


def _images(task: Task) -> str:
    data = f"{len(task.training)} images of {task.training.root} ({task.training.note})"
    return f"{data}; evaluated on {len(task.validation)} of {task.validation.root} ({task.validation.note})"
