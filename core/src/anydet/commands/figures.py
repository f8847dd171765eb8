"""Figures of a result as PNG files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.commands.messages import say, warn

if TYPE_CHECKING:
    from anydet.evaluation.figures import Figure


def draw_figures(figures: Iterable[Figure], folder: Path, *, drawn: Collection[str] = ()) -> None:
    """Draw figures into a folder, by their names; without matplotlib it is said that they are missing.

    Args:
        figures: what is drawn.
        folder: where.
        drawn: names of all figures that may be drawn there; those that are not drawn now are of an earlier
            result, and removed.
    """
    from anydet.errors import AnydetError
    from anydet.report.charts import draw_figure

    for name in drawn:
        (folder / f"{name}.png").unlink(missing_ok=True)
    for figure in figures:
        path = folder / f"{figure.name}.png"
        try:
            draw_figure(figure, path)
        except AnydetError as exc:
            warn(f"no charts: {exc.problem}; {exc.fix}")
            return
        say(f"wrote {path}")
