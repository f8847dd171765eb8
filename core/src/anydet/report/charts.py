"""Charts of an evaluation: precision-recall, intervals, errors, confusions, calibration, as PNG files.

Tables are drawn by their titles, so that another evaluator's table of the same title is drawn, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.contract.write import new_file
from anydet.errors import AnydetError
from anydet.evaluation.run import AnalyzedResult, EvaluationRun
from anydet.evaluation.tables import Table
from anydet.report.palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREEN = ("#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (4, 5, 2))
_GRAY = "#777777"
_MOST_CLASSES = 100
"""Classes that a confusion matrix has room to name."""


def draw_charts(run: EvaluationRun, folder: Path) -> list[Path]:
    """Draw all that the results hold.

    Args:
        run: what ``evaluation.run.run_evaluators`` gave.
        folder: where files go, named by evaluator and chart; made where it is missing.

    Returns:
        The files. Raises ``AnydetError`` where matplotlib is not installed.
    """
    figure_class = import_figure()
    files = []
    for name, chart, draw, size in _charts(run):
        figure = figure_class(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        path = folder / f"{name}-{chart}.png"
        with new_file(path) as file:
            figure.savefig(file, format="png", dpi=150)
        files.append(path)
    return files


def draw_precision_recall(axes: Axes, analyzed: AnalyzedResult) -> None:
    """Mean curves, one an IoU threshold; the first one is labeled with its AP."""
    curves = analyzed.curves
    for i, (iou, curve) in enumerate(curves.by_iou.items()):
        fade = i / max(1, len(curves.by_iou) - 1)
        axes.plot(curves.recall, curve, color=_BLUE, alpha=1 - 0.8 * fade, linewidth=2.2 - 1.2 * fade)
        place = int(len(curve) * 0.03)
        axes.annotate(
            f"IoU {iou:.2f}, AP {curve.mean():.3f}",
            (curves.recall[place], curve[place]),
            xytext=(1.02, 1 - 0.06 * i),
            textcoords="axes fraction",
            color=_BLUE,
            alpha=1 - 0.6 * fade,
            fontsize=8,
            va="top",
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title="precision by recall")
    axes.grid(alpha=0.25)


def draw_intervals(axes: Axes, analyzed: AnalyzedResult) -> None:
    """A dot and a bar a number."""
    if analyzed.intervals is None:
        return
    known = [(k, v) for k, v in analyzed.intervals.overall.items() if v.low is not None]
    # The axis counts from below: reversed, so that the first number is on top.
    for place, (name, one) in enumerate(reversed(known)):
        if one.value is None or one.low is None or one.high is None:
            continue
        axes.plot([one.low, one.high], [place, place], color=_BLUE, linewidth=2)
        axes.plot([one.value], [place], "o", color=_BLUE)
        axes.annotate(f"{one.value:.3f}", (one.value, place), (0, 5), textcoords="offset points", fontsize=8)
        axes.text(-0.02, place, name, ha="right", va="center")
    axes.set(yticks=[], xlim=(0, 1), title=analyzed.intervals.tables[0].title)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", alpha=0.25)


def draw_costs(axes: Axes, table: Table) -> None:
    """TIDE: a bar an error, the six kinds above the two special ones."""
    names = [str(row[0]) for row in table.rows]
    gains = [_number(row[1]) for row in table.rows]
    places = np.arange(len(names))[::-1]
    colors = [_GRAY if row[2] is None else _ORANGE for row in table.rows]
    axes.barh(places, gains, color=colors, height=0.7)
    for place, row, gain in zip(places, table.rows, gains, strict=True):
        count = "" if row[2] is None else f"   {row[2]}"
        axes.annotate(
            f"{gain:.4f}{count}", (gain, place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(places, names)
    axes.margins(x=0.25)
    axes.set(xlabel="AP gained if corrected (and how many there are)", title="what errors cost (TIDE)")


def draw_confusions(axes: Axes, table: Table) -> None:
    """Confusion matrix normalized by true class; names only where there is room."""
    matrix = np.array([row[1:] for row in table.rows], np.float64)
    # A class without a true object has a row of zeros, not a division by zero.
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    names = [str(row[0]) for row in table.rows]
    if len(names) <= _MOST_CLASSES:
        size = min(7.0, 400 / len(names))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
    if len(names) <= 12:
        for true, found in np.argwhere(matrix > 0).tolist():
            ink = "white" if fractions[true, found] > 0.5 else "black"
            axes.text(
                found, true, f"{matrix[true, found]:.0f}", ha="center", va="center", color=ink, fontsize=7
            )
    axes.set(xlabel="predicted", ylabel="true", title="confusion, normalized by true class")


def draw_calibration(axes: Axes, table: Table) -> None:
    """Reliability: precision against mean score, dots as large as bins are full."""
    rows = [row for row in table.rows if row[2] is not None]
    scores, precision = ([_number(row[i]) for row in rows] for i in (2, 3))
    counts = np.array([_number(row[1]) for row in rows])
    axes.plot([0, 1], [0, 1], color=_GRAY, linestyle="--", linewidth=1)
    axes.plot(scores, precision, color=_GREEN, linewidth=1.5)
    axes.scatter(scores, precision, s=10 + 200 * counts / counts.max(initial=1), color=_GREEN, alpha=0.6)
    axes.text(0.85, 0.83, "calibrated", rotation=45, ha="center", va="center", color=_GRAY, fontsize=8)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="mean score", ylabel="precision", title="calibration")
    axes.grid(alpha=0.25)


_DRAWN: dict[str, tuple[str, Callable[[Axes, Table], None], tuple[float, float]]] = {
    "what errors cost": ("errors", draw_costs, (6.5, 3.6)),
    "confusion matrix": ("matrix", draw_confusions, (8, 8)),
    "calibration": ("reliability", draw_calibration, (5, 5)),
}


def _charts(run: EvaluationRun) -> Iterator[tuple[str, str, Callable[[Any], None], tuple[float, float]]]:
    for name, result in run.results.items():
        if isinstance(result, AnalyzedResult):
            if result.curves.by_iou:
                yield name, "precision-recall", _with(draw_precision_recall, result), (7, 5)
            if result.intervals is not None:
                yield name, "intervals", _with(draw_intervals, result), (6.5, 4.5)
        for table in result.tables:
            if table.title in _DRAWN and table.rows:
                chart, draw, size = _DRAWN[table.title]
                yield name, chart, _with(draw, table), size


def _with(draw: Callable[[Axes, Any], None], shown: Any) -> Callable[[Axes], None]:
    return lambda axes: draw(axes, shown)


def _number(cell: Any) -> float:
    return float(cell) if isinstance(cell, int | float) else 0.0


def import_figure() -> Any:
    """Matplotlib's ``Figure``, which draws without a window and without global state.

    Raises ``AnydetError`` where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AnydetError(
            "charts need the package matplotlib, which is not installed", fix="pip install 'anydet[plot]'"
        ) from error
    return Figure
