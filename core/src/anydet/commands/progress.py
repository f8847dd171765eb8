"""One progress bar for every long command: on stderr, quiet where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    label: str, total: int, *, done: int = 0, unit: str = "images"
) -> Iterator[Callable[[int], None]]:
    """A function to call with each further count.

    Args:
        label: what is being done.
        total: count at the end.
        done: count at the start (a resumed run).
        unit: what is counted.
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
