"""Figures of a result as PNG files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.commands.messages import say, warn

if TYPE_CHECKING:
    from anydet.evaluation.figures import Figure


def draw_figures(figures: Iterable[Figure], folder: Path) -> None:
    """Draw figures into a folder, by their names; without matplotlib it is said that they are missing."""
    from anydet.errors import AnydetError
    from anydet.report.charts import draw_figure

    for figure in figures:
        path = folder / f"{figure.name}.png"
        try:
            draw_figure(figure, path)
        except AnydetError as exc:
            warn(f"no charts: {exc.problem}; {exc.fix}")
            return
        say(f"wrote {path}")
