"""The grid detector with first weights by name, for tests of tasks."""

from __future__ import annotations

from core.tests.training.grid import Grid, GridAdapter, GridTask

from anydet.training.first_weights import Names, start_from
from anydet.training.model import NamedRows
from anydet.training.run import Run


class GrowingGrid(Grid):
    """Its head has a row for each class, then four of the box."""

    def named_rows(self) -> dict[str, NamedRows]:
        return {f"head.{name}": NamedRows("classes", after=4) for name in ("weight", "bias")}


class GrowingTask(GridTask):
    """A task whose model is a ``GrowingGrid``."""

    def __init__(self, classes, options) -> None:
        super().__init__(classes, options)
        self.model = GrowingGrid(len(classes), **self.options)


class GrowingAdapter(GridAdapter):
    """Begins with the rows of a checkpoint's classes."""

    registered_name = "growing"

    def build_task(self, run: Run) -> GrowingTask:
        self.task = GrowingTask(run.classes, run.options)
        if self.saved is not None and not run.settings.resume:
            self.task.first_weights = start_from(
                self.task.model,
                self.saved.model,
                source=self.saved.source,
                theirs=Names(self.saved.classes),
                ours=Names(run.classes.names),
            )
        return self.task
