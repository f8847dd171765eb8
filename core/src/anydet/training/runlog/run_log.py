"""``RunLog``: what a run writes down while it trains; only the main process does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from anydet.training.run import Run
from anydet.training.runlog.console import TrainingDisplay
from anydet.training.runlog.metrics_file import MetricsFile
from anydet.training.runlog.trackers import trackers_of


class RunLog:
    """Metrics files, trackers and the terminal, behind one interface.

    Args:
        run: its paths and its trackers.
        main: whether this process writes; the others do nothing.
    """

    def __init__(self, run: Run, *, main: bool) -> None:
        self._run, self._main = run, main
        self._every = run.settings.log_every

    def __enter__(self) -> RunLog:
        if self._main:
            paths = self._run.paths
            self._display = TrainingDisplay()
            self._trackers = trackers_of(self._run, self._display.message)
            self._train = MetricsFile(paths.train_metrics, paths.train_csv)
            self._val = MetricsFile(paths.val_metrics, paths.val_metrics.with_suffix(".csv"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._main:
            self._train.close()
            self._val.close()
            self._trackers.close()
            self._display.close()

    def start(self, total_steps: int, done: int) -> None:
        """Before the first step; lines that a run before wrote after its last checkpoint go."""
        if self._main:
            self._train.truncate_after(done if done else -1)
            self._val.truncate_after(done if done else -1)
            self._display.start(total_steps, done)

    def require_there(self) -> None:
        """Raise ``OutputError`` where the metrics files were removed, and with them the run's folder."""
        if self._main:
            self._train.require_there()
            self._val.require_there()

    def message(self, text: str) -> None:
        """Something that people should know."""
        if self._main:
            self._display.message(text)

    def step(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """An optimizer step."""
        if not self._main:
            return
        line = {"step": step, "epoch": epoch, **metrics}
        self._display.step(line)
        if step % self._every == 0:
            self._train.append(line)
            self._trackers.log(metrics, step)

    def skipped(self, step: int, epoch: int, reason: str) -> None:
        """A step that was not taken, after step ``step``."""
        if self._main:
            self._train.append({"step": step, "epoch": epoch, "skipped": reason})
            self._display.message(f"step {step + 1} skipped: {reason}")

    def overflowed(self, step: int, epoch: int, reason: str) -> None:
        """A step that fp16 could not take; the next one has a lower loss scale."""
        if self._main:
            self._train.append({"step": step, "epoch": epoch, "overflow": reason})

    def validation(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """A validation after step ``step``."""
        if self._main:
            line = {"step": step, "epoch": epoch, **metrics}
            self._val.append(line)
            self._trackers.log(metrics, step)
            self._display.validation(line)

    def artifact(self, path: Path) -> None:
        """A file that trackers shall keep."""
        if self._main:
            self._trackers.artifact(path)
