"""``TrainingDisplay``: how far a run is, on stderr."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeGuard

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as RemainingColumn
from rich.text import Text

from anydet.text import safe_line
from anydet.training.optim.early_stopping import lower_is_better

Metrics = Mapping[str, Any]

_HIDDEN = ("step", "epoch", "avg_train_loss", "learning_rate")
_PARTS = ("val_loss_", "val_sanitized_")
_SHOWN = 6
"""So many parts of a loss, and so many numbers of a validation, fit on a line."""


class TrainingDisplay:
    """A progress bar with the numbers of the last step where stderr is a terminal; else a line an epoch.

    A step costs a few microseconds: numbers are formatted when the bar is drawn, ten times a second, in a
    thread of its own.

    Args:
        console: where to; stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar: _Bar | None = None
        self._latest: Metrics = {}
        self._printed: object = None
        self._best: dict[str, float] = {}

    def start(self, total_steps: int, done: int = 0) -> None:
        """Before the first step of ``total_steps``; a resumed run has ``done`` some already."""
        if self._console.is_terminal:
            self._bar = _Bar(self._console)
            self._bar.add_task("train", total=total_steps, completed=done)
            self._bar.start()

    def step(self, metrics: Metrics) -> None:
        """Numbers of an optimizer step, with ``step`` and ``epoch``."""
        epoch = self._latest.get("epoch")
        if epoch is not None and epoch not in (metrics.get("epoch"), self._printed):
            self._print_epoch()
        self._latest = metrics
        if self._bar is not None:
            self._bar.latest = metrics
            self._bar.update(self._bar.task_ids[0], completed=int(metrics["step"]))

    def validation(self, metrics: Metrics) -> None:
        """Numbers of a validation: a line that stays, with the best so far where that was another one."""
        self._printed = metrics.get("epoch")
        shown = [name for name in metrics if name not in _HIDDEN and not name.startswith(_PARTS)]
        found = [(name, metrics[name]) for name in shown if _is_number(metrics[name])]
        parts = [_number(name, value) + self._best_so_far(name, value) for name, value in found[:_SHOWN]]
        train_loss = _number("train_loss", metrics.get("avg_train_loss"))
        self._write("  ".join([_position(metrics), *([train_loss] if train_loss else []), *parts]))

    def message(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._write(text)

    def close(self) -> None:
        """Leave the bar as it is and give the terminal back."""
        if self._latest and self._printed != self._latest.get("epoch"):
            self._print_epoch()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._latest = {}

    def _print_epoch(self) -> None:
        """The last step's numbers, for epochs without validation."""
        self._printed = self._latest.get("epoch")
        self._write("  ".join([_position(self._latest), *_numbers(self._latest)]))

    def _best_so_far(self, name: str, value: float) -> str:
        best = self._best.setdefault(name, value)
        if (value <= best) if lower_is_better(name) else (value >= best):
            self._best[name] = value
            return ""
        return f" (best {best:.3g})"

    def _write(self, text: str) -> None:
        # A run does not end because nobody can read how far it is: stderr may lead to a disk that is full.
        with suppress(OSError):
            self._console.print(Text(safe_line(text)), soft_wrap=True)


class _Bar(Progress):
    """The bar, and below it the numbers of the last step."""

    def __init__(self, console: Console) -> None:
        self.latest: Metrics = {}
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            RemainingColumn(),
            console=console,
            expand=True,
            redirect_stdout=False,  # which is for data, and may be a pipe
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar's row and the numbers."""
        yield self.make_tasks_table(self.tasks)
        if self.latest:
            yield Text("  ".join([f"epoch {self.latest.get('epoch', 0)}", *_numbers(self.latest)]))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _position(metrics: Metrics) -> str:
    return f"epoch {metrics.get('epoch', 0)}  step {metrics.get('step', 0)}"


def _numbers(metrics: Metrics) -> list[str]:
    """Losses, learning rate, speed, time for data and for the step, memory."""
    losses = [name for name in metrics if name.startswith("train_loss")][: 1 + _SHOWN]
    shown = [
        _number(name.removeprefix("train_loss_").removeprefix("train_"), metrics[name]) for name in losses
    ]
    if "learning_rate" in metrics:
        shown.append(f"lr {metrics['learning_rate']:.3g}")
    for name, text, scale in (
        ("images_per_s", "{:.1f} images/s", 1.0),
        ("data_s", "data {:.0f} ms", 1000.0),
        ("step_s", "step {:.0f} ms", 1000.0),
        ("memory_mb", "{:.0f} MB", 1.0),
    ):
        if isinstance(metrics.get(name), int | float):
            shown.append(text.format(metrics[name] * scale))
    return shown


def _number(name: str, value: object) -> str:
    return f"{name} {value:.3g}" if isinstance(value, int | float) else ""
