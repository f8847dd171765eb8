"""Charts of an evaluation: the figures of all results, as PNG files.

A figure says what is measured (``evaluation.figures``). How lines, bars and matrices look is decided here
alone, so that those of all evaluators look alike.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from anydet.errors import AnydetError, OptionError, PluginError
from anydet.evaluation.figures import Axis, Bar, Bars, Figure, Lines, Matrix, Number, Series
from anydet.evaluation.run import EvaluationRun
from anydet.outputs import new_file
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.report.palette import SERIES
from anydet.text import shortened
from anydet.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE = SERIES[:2]
_GRAY = "#777777"
SUFFIXES = (".png", ".svg")
"""Of pictures that matplotlib draws."""
_NAME = 40
"""Characters of a name, beside which there must be room for what it names."""
_MOST_NAMES = 100
"""Rows, columns or bars that a chart has room to name."""
_MOST_NUMBERED = 12
"""Columns of a matrix whose cells have room for a number."""
_MOST_IN_LEGEND = 16
_FEW_POINTS = 30
"""Points of a line that are marked one by one."""
_OFFSETS_PT = (8.0, -8.0, 16.0, -16.0, 24.0, -24.0, 32.0, -32.0)
"""How far above a point a word stands, the first of these at which there is room."""
_INCHES_A_BAR = 0.3
_TALLEST_IN = 20.0


def draw_charts(run: EvaluationRun, folder: Path, plugins: Plugins | None = None) -> list[Path]:
    """Draw all figures of all results.

    Args:
        run: what ``evaluation.run.run_evaluators`` gave.
        folder: where files go, named by evaluator and figure; made where it is missing.
        plugins: that the evaluators come from, for errors.

    Returns:
        The files.

    Raises:
        AnydetError: matplotlib is not installed; or, when all others are drawn, of a figure that cannot be.
    """
    import_figure()
    files: list[Path] = []
    failed: list[PluginError] = []
    for name, result in run.results.items():
        calls = PluginCalls("evaluators", name, plugins)
        for figure in result.figures:
            path = folder / f"{name}-{figure.name}.png"
            try:
                with calls.to(f"the figure {figure.name}"):
                    draw_figure(figure, path)
            except PluginError as exc:
                failed.append(exc)
            else:
                files.append(path)
    if failed:
        raise failed[0]
    return files


def picture_format(output: Path) -> str:
    """``png`` or ``svg``, as the suffix says; raises ``OptionError`` for another one."""
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"{output}: charts are drawn as .png or .svg", fix=f"name it {output.stem}.png")
    return suffix[1:]


def draw_figure(figure: Figure, path: Path) -> None:
    """Draw one figure as PNG or SVG, a stream without suffix as PNG.

    Raises:
        OptionError: another suffix.
        AnydetError: matplotlib is not installed.
    """
    content = encode_figure(figure, picture_format(path) if path.suffix else "png")
    with new_file(path) as file:
        file.write(content)


def encode_figure(figure: Figure, kind: str) -> bytes:
    """One figure as a file of a kind, ``png`` or ``svg``; raises ``AnydetError`` without matplotlib."""
    canvas = import_figure()(figsize=_size_in(figure), layout="constrained")
    axes = canvas.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    if isinstance(figure, Lines):
        draw_lines(axes, figure)
    elif isinstance(figure, Bars):
        draw_bars(axes, figure)
    else:
        draw_matrix(axes, figure)
    axes.set_title(plain(figure.title))
    stream = BytesIO()
    from matplotlib import rc_context

    # The time of drawing, and random ids, would make two files of one figure differ.
    with rc_context({"svg.hashsalt": figure.name}):
        canvas.savefig(stream, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()


def draw_lines(axes: Axes, figure: Lines) -> None:
    """Lines with their legend at the right; more than there are colors are shades of one color, in order."""
    measured = [series for series in figure.series if not series.reference]
    shades = len(measured) > len(SERIES)
    for series in figure.series:
        if series.reference:
            style = {"color": _GRAY, "linestyle": "--", "linewidth": 1}
        elif shades:
            fade = measured.index(series) / (len(measured) - 1)
            style = {"color": _BLUE, "alpha": 1 - 0.8 * fade, "linewidth": 2.2 - 1.2 * fade}
        else:
            style = {"color": SERIES[measured.index(series)], "linewidth": 1.8}
        _draw_series(axes, series, style)
    _write_legend(axes)
    _label(axes, figure.x, figure.y)
    _write_labels(axes, figure)
    if all(isinstance(x, int) for series in figure.series for x in series.x):
        # Of counts there are no halves.
        axes.locator_params("x", integer=True)
    axes.grid(alpha=0.25)


def draw_bars(axes: Axes, figure: Bars) -> None:
    """A bar a number; where all numbers have intervals, a dot with its interval. Zero is on the axis."""
    # The axis counts from below: reversed, so that the first bar is on top.
    places = dict(enumerate(reversed(figure.bars)))
    dots = all(bar.low is not None for bar in figure.bars)
    for place, bar in places.items():
        if bar.value is None:
            axes.annotate("n/a", (0, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
            continue
        color = _GRAY if bar.secondary else _BLUE if dots else _ORANGE
        if dots:
            axes.plot([bar.value], [place], "o", color=color)
        else:
            axes.barh(place, bar.value, color=color, height=0.7)
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [place, place], color=color if dots else "black", linewidth=2)
        _write_number(axes, bar, place, beside=not dots)
    named = places if len(places) <= _MOST_NAMES else {}
    axes.set_yticks(list(named), [plain(bar.name, _NAME) for bar in named.values()])
    # A text has no extent in data: without limits, a place without a number in last place is cut off.
    axes.set_ylim(-0.75, len(places) - 0.25)
    # Numbers stand at the ends of bars, and need room there.
    axes.margins(x=0.02 if dots else 0.25)
    axes.set_xlabel(plain(figure.value.text))
    if dots and figure.value.limits is not None:
        axes.set_xlim(*figure.value.limits)
    elif dots:
        # Bars begin there by themselves; dots would fill the axis with whatever differs between them.
        axes.axvline(0, color=_GRAY, linewidth=0.8)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def draw_matrix(axes: Axes, figure: Matrix) -> None:
    """Cells in shades of blue, of two colors where numbers have two signs; names only where there is room."""
    if not figure.row_names or not figure.column_names:
        # imshow would give it an axis without length, of which matplotlib warns.
        axes.text(0.5, 0.5, "n/a", ha="center", va="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        _label(axes, figure.columns, figure.rows)
        return
    values = _floats(figure.values)
    if figure.by_row:
        # A class without a true object has a row of zeros, not a division by zero.
        sums = np.nansum(values, axis=1, keepdims=True)
        shown, bounds = values / np.where(sums == 0, 1, sums), (0.0, 1.0)
    else:
        shown, bounds = (
            values,
            figure.value.limits or (_finite(np.nanmin, values), _finite(np.nanmax, values)),
        )
    if bounds[0] < 0:
        bounds = (-max(map(abs, bounds)), max(map(abs, bounds)))
    # Squares of few columns and many rows would leave most of the canvas empty.
    aspect: Literal["equal", "auto"] = (
        "equal" if len(figure.row_names) == len(figure.column_names) else "auto"
    )
    colors = "RdBu" if bounds[0] < 0 else "Blues"
    picture = axes.imshow(shown, cmap=colors, vmin=bounds[0], vmax=bounds[1], aspect=aspect)
    if not figure.by_row:
        axes.figure.colorbar(picture, ax=axes, label=plain(figure.value.text), shrink=0.8)
    for names, ticks, degrees in (
        (figure.column_names, axes.set_xticks, 90),
        (figure.row_names, axes.set_yticks, 0),
    ):
        named = [plain(name, _NAME) for name in names] if len(names) <= _MOST_NAMES else []
        ticks(
            range(len(named)),
            named,
            rotation=degrees,
            fontsize=min(9.0, 400 / max(1, len(names))),
        )
    if len(figure.column_names) <= _MOST_NUMBERED:
        _write_cells(axes, figure, picture.cmap(picture.norm(shown)))
    _label(axes, figure.columns, figure.rows)
    if figure.by_row:
        shaded = f"{figure.value.text}, shaded by their fraction of the row"
        axes.set_xlabel(f"{plain(figure.columns.text)}\n\n{plain(shaded)}")


def plain(text: str, most: int = 100) -> str:
    """Text as matplotlib draws it: cut, without control characters, and a dollar is no formula."""
    return shortened(text, most, keep_end=True).replace("$", r"\$")


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


def _size_in(figure: Figure) -> tuple[float, float]:
    if isinstance(figure, Lines):
        return 7, 5
    if isinstance(figure, Bars):
        return 6.5, min(_TALLEST_IN, 1.2 + _INCHES_A_BAR * max(4, len(figure.bars)))
    rows, columns = max(1, len(figure.row_names)), max(1, len(figure.column_names))
    return min(8.0, max(6.0, 3.5 + 4.5 * columns / rows)), min(8.0, max(4.0, 2 + 6 * rows / columns))


def _draw_series(axes: Axes, series: Series, style: dict[str, Any]) -> None:
    x, y = _floats(series.x), _floats(series.y)
    # A point between two gaps has no line.
    marker = "." if len(x) <= _FEW_POINTS and not series.reference else None
    axes.plot(x, y, label=plain(series.name, _NAME), marker=marker, **style)
    if series.low is not None and series.high is not None:
        axes.fill_between(x, _floats(series.low), _floats(series.high), color=style["color"], alpha=0.2, lw=0)
    if series.weights is not None:
        weights = _floats(series.weights)
        axes.scatter(x, y, s=10 + 200 * weights / weights.max(initial=1), color=style["color"], alpha=0.6)


def _write_legend(axes: Axes) -> None:
    """Names of the lines in their colors, to the right of the plot."""
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_") and line.get_label()]
    shown = named if len(named) <= _MOST_IN_LEGEND else named[: _MOST_IN_LEGEND - 1]
    lines = [(str(line.get_label()), line.get_color(), line.get_alpha()) for line in shown]
    if len(shown) < len(named):
        lines.append((f"and {len(named) - len(shown)} more", _GRAY, None))
    for i, (name, color, alpha) in enumerate(lines):
        axes.annotate(
            name,
            (1.02, 1 - 0.06 * i),
            xycoords="axes fraction",
            color=color,
            # Text needs more contrast than a line.
            alpha=None if alpha is None else 0.25 + 0.75 * alpha,
            fontsize=8,
            va="top",
        )


def _write_labels(axes: Axes, figure: Lines) -> None:
    """Words beside points, each above or below its point where no other point or word is."""
    points = [
        (line.get_color(), label, float(x), float(y))
        for line, series in zip(axes.lines, figure.series, strict=True)
        for label, x, y in zip(series.labels or (), series.x, series.y, strict=False)
        if x is not None and y is not None
    ]
    if not points:
        return
    # In points of the page, which fonts are measured in.
    places = axes.transData.transform([(x, y) for _, _, x, y in points]) * 72 / axes.figure.dpi
    taken: list[tuple[float, float]] = [(x, y) for x, y in places.tolist()]
    for (color, label, *place), (x, y) in zip(points, places.tolist(), strict=True):
        offset = next(
            (up for up in _OFFSETS_PT if not any(_meet(x, y + up, *other) for other in taken)), _OFFSETS_PT[0]
        )
        taken.append((x, y + offset))
        axes.annotate(
            plain(label, _NAME),
            (place[0], place[1]),
            (0, offset),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            color=color,
        )


def _meet(x: float, y: float, other_x: float, other_y: float) -> bool:
    """Whether a word at one place, in points, would touch what is at another one."""
    return abs(x - other_x) < 9 and abs(y - other_y) < 7


def _write_number(axes: Axes, bar: Bar, place: int, *, beside: bool) -> None:
    """The number and the note, at the end of a bar or above a dot."""
    text = f"{bar.value:.4f}" if beside and isinstance(bar.value, float) else _short(bar.value)
    at = max(float(end) for end in (bar.value, bar.high) if end is not None) if beside else bar.value
    text += f"   {plain(bar.note, _NAME)}" if bar.note else ""
    offset, align = ((4, 0), "center") if beside else ((0, 5), "bottom")
    axes.annotate(text, (at, place), offset, textcoords="offset points", va=align, fontsize=8)


def _write_cells(axes: Axes, figure: Matrix, colors: Any) -> None:
    """Numbers of cells whose (R, C, 4) colors are these; of counts, zeros are left out."""
    luma = np.asarray(colors)[..., :3] @ [0.299, 0.587, 0.114]
    for row, numbers in enumerate(figure.values):
        for column, number in enumerate(numbers):
            if number != 0 or not figure.by_row:
                ink = "black" if number is None or luma[row, column] > 0.5 else "white"
                axes.text(column, row, _short(number), ha="center", va="center", color=ink, fontsize=7)


def _label(axes: Axes, x: Axis, y: Axis) -> None:
    axes.set(xlabel=plain(x.text), ylabel=plain(y.text))
    if x.limits is not None:
        axes.set_xlim(*x.limits)
    if y.limits is not None:
        low, high = y.limits
        axes.set_ylim(low, high + 0.02 * (high - low))  # a line along the upper end stays visible


def _short(number: Number) -> str:
    if number is None:
        return "n/a"
    # Zero has no sign, also where it is what is left of a small negative number.
    return str(number) if isinstance(number, int) else f"{round(number, 3) + 0.0:.3f}"


def _floats(values: Any) -> FloatArray:
    """Numbers as floats, NaN for ``None``."""
    return np.array(values, np.float64)


def _finite(reduce: Any, values: FloatArray) -> float:
    """Least or greatest number that is known; 0 where none is."""
    return 0.0 if np.isnan(values).all() else float(reduce(values))
