"""The progress bar of all long commands: on stderr, and silent if that is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    label: str, total: int, *, done: int = 0, unit: str = "images"
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; yields a function that advances it by a count.

    Args:
        label: text before the bar.
        total: count at the end.
        done: count at the start, above 0 for a resumed run.
        unit: of the count.
    """
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Speed(TextColumn):
        """Counts per second."""

        def __init__(self) -> None:
            super().__init__("{task.speed}")

        def render(self, task):  # type: ignore[no-untyped-def]
            from rich.text import Text

            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else f"? {unit}/s")

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done)
        yield lambda count: bar.advance(task, count)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show what is being done, where nothing can be counted; yields a function of the next step's text."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("...") as status:
        yield lambda text: status.update(f"{text} ...")


@contextmanager
def phases() -> Iterator[Callable[[str, int, int], None]]:
    """Show phases of a work as bars; yields a function of a phase, what of it is done, and all of it."""
    if not sys.stderr.isatty():
        yield lambda _phase, _done, _steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, steps: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=steps)
            bar.update(tasks[phase], completed=done, total=steps)

        yield show
