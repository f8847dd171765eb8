"""Curves of training runs: losses, learning rate and metrics in one picture, PNG or SVG."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.errors import OptionError, TrainingError, did_you_mean
from anydet.outputs import new_file
from anydet.report.charts import import_figure, picture_format, plain
from anydet.report.palette import SERIES
from anydet.training.optim.early_stopping import lower_is_better
from anydet.training.runlog.metrics_file import read_metrics
from anydet.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FILES = ("train_metrics.jsonl", "val_metrics.jsonl")
_SPAN = 1 / 40
"""Fraction of a run that smoothing looks back."""
_MOST_METRICS = 5
"""Metrics of one run that a panel has room for."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A number of a run over its steps.

    Attributes:
        steps: (N,) rising.
        values: (N,) finite.
    """

    steps: FloatArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """All numbers of a run.

    Attributes:
        name: of the run.
        folder: where its metrics files are.
        columns: name -> curve, in the order of the files.
    """

    name: str
    folder: Path
    columns: Mapping[str, Curve]

    @property
    def metrics(self) -> list[str]:
        """Names of what evaluation measured."""
        other = ("train_", "val_loss", "val_sanitized", "avg_", "learning_rate", "grad_norm")
        timing = ("images_per_s", "data_s", "step_s", "memory_mb")
        return [name for name in self.columns if not name.startswith(other) and name not in timing]

    def best(self, name: str) -> tuple[float, int]:
        """(best value, its step) of a column that is there."""
        curve = self.columns[name]
        at = int(np.argmin(curve.values) if lower_is_better(name) else np.argmax(curve.values))
        return float(curve.values[at]), int(curve.steps[at])


def read_curves(path: Path) -> TrainingCurves:
    """Read the metrics of a run.

    Args:
        path: folder of a run, or one of its files of JSON lines; the other one beside it is read as well.

    Raises:
        TrainingError: there are no metrics, no numbers in them, or a line is broken.
    """
    files = _metrics_files(path)
    columns: dict[str, Curve] = {}
    for file in files:
        for name, curve in _columns(read_metrics(file)).items():
            columns.setdefault(name, curve)
    if not columns:
        raise TrainingError(f"{path}: no numbers yet", fix="wait for the first step, or name another run")
    place = Path(os.path.realpath(files[0]))
    run = place.parent.parent if place.parent.name == "reports" else place.parent
    return TrainingCurves(run.name if place.name in _FILES else place.stem, files[0].parent, columns)


def draw_training(runs: Sequence[TrainingCurves], output: Path, metrics: Sequence[str] = ()) -> None:
    """Draw the runs into one picture, over each other.

    Args:
        runs: at least one; of several, each has a color of its own and fewer numbers are drawn.
        output: ``.png`` or ``.svg``; written whole or not at all.
        metrics: which of the evaluation's numbers; by default the first ones, of several runs the first.

    Raises:
        OptionError: another suffix, or a metric that no run has.
        AnydetError: matplotlib is not installed.
    """
    kind = picture_format(output)
    panels = list(_panels(runs, _chosen(runs, metrics)))
    rows, columns = (2, 2) if len(panels) == 4 else (1, len(panels))
    figure = import_figure()(figsize=(6.4 * columns, 3.7 * rows), layout="constrained")
    if len(runs) == 1:
        figure.suptitle(plain(runs[0].name))
    places = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes, draw in zip(places, panels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        draw(axes)
        axes.margins(x=0.02)
    for axes in places[-columns:]:
        axes.set_xlabel("step")
    with new_file(output) as file:
        figure.savefig(file, format=kind, dpi=150)


def summarize(run: TrainingCurves) -> dict[str, Any]:
    """``run``, last ``step``, smoothed ``train_loss``, and ``best``: value and step of what was measured."""
    train = run.columns.get("train_loss")
    best = {name: run.best(name) for name in ("avg_val_loss", *run.metrics) if name in run.columns}
    return {
        "run": run.name,
        "step": int(max(curve.steps[-1] for curve in run.columns.values())),
        "train_loss": None if train is None else float(smooth(train.values)[-1]),
        "best": {name: {"value": value, "step": step} for name, (value, step) in best.items()},
    }


def smooth(values: FloatArray) -> FloatArray:
    """Exponential moving average over a fortieth of the run; its start counts no more than the rest.

    Bias is corrected as Adam's is (Kingma and Ba 2015, section 3).

    Args:
        values: (N,)

    Returns:
        (N,)
    """
    kept = 1 - 2 / (max(1.0, len(values) * _SPAN) + 1)
    smoothed, total, weight = np.empty_like(values), 0.0, 0.0
    for i, value in enumerate(values.tolist()):
        total = kept * total + (1 - kept) * value
        weight = kept * weight + (1 - kept)
        smoothed[i] = total / weight
    return smoothed


def _metrics_files(path: Path) -> list[Path]:
    if path.is_dir():
        places = [folder / name for folder in (path / "reports", path) for name in _FILES]
        found = [place for place in places if place.is_file()]
        if not found:
            raise TrainingError(
                f"{path}: no {' or '.join(_FILES)} in it or in its reports",
                fix="name the folder of a run, or a file of JSON lines",
            )
        return found
    if path.name not in _FILES:
        return [path]
    both = [path.with_name(name) for name in _FILES]
    return [place for place in both if place == path or place.is_file()]


def _columns(lines: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Name -> curve; lines without a step are counted."""
    points: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(lines, start=1):
        step = line.get("step", number)
        for name, value in line.items():
            if name not in {"step", "epoch"} and _is_number(value) and _is_number(step):
                points.setdefault(name, []).append((step, value))
    arrays = {name: np.array(sorted(some), np.float64) for name, some in points.items()}
    return {name: Curve(array[:, 0], array[:, 1]) for name, array in arrays.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _chosen(runs: Sequence[TrainingCurves], wanted: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(name for run in runs for name in run.metrics))
    for name in wanted:
        if name not in known:
            raise OptionError(
                f"no run has a metric {name!r}{did_you_mean(name, known)}",
                fix=f"choose from {', '.join(known)}"
                if known
                else "leave out --metrics, since there was no validation",
            )
    return list(wanted) or known[: _MOST_METRICS if len(runs) == 1 else 1]


def _panels(runs: Sequence[TrainingCurves], metrics: Sequence[str]) -> Iterator[Callable[[Axes], None]]:
    names = {name for run in runs for name in run.columns}
    if names & {"train_loss", "avg_val_loss"}:
        yield lambda axes: _draw_losses(axes, runs)
    if metrics:
        yield lambda axes: _draw_metrics(axes, runs, metrics)
    if len(runs) == 1 and any(name.startswith("train_loss_") for name in names):
        yield lambda axes: _draw_components(axes, runs[0])
    if "learning_rate" in names:
        yield lambda axes: _draw_learning_rates(axes, runs)


def _draw_losses(axes: Axes, runs: Sequence[TrainingCurves]) -> None:
    """Each training loss thin, smoothed on top; validation loss as dots."""
    for i, run in enumerate(runs):
        single = len(runs) == 1
        train, val = run.columns.get("train_loss"), run.columns.get("avg_val_loss")
        if train is not None:
            _draw_train_loss(axes, train, _color(i), "training" if single else run.name)
        if val is not None:
            color = _color(1) if single else _color(i)
            value, step = run.best("avg_val_loss")
            text = f"validation, best {value:.4g} at {step}"
            axes.plot(
                val.steps,
                val.values,
                "o--",
                color=color,
                markersize=4,
                linewidth=1.2,
                label=plain(text if single else f"{run.name}: {text}"),
            )
    _finish(axes, "loss")
    _logarithmic(axes, [run.columns[n] for run in runs for n in ("train_loss",) if n in run.columns])


def _draw_components(axes: Axes, run: TrainingCurves) -> None:
    """The components of the training loss, smoothed."""
    components = [name for name in run.columns if name.startswith("train_loss_")]
    for i, name in enumerate(components):
        curve = run.columns[name]
        label = name.removeprefix("train_loss_")
        axes.plot(curve.steps, smooth(curve.values), color=_color(i), linewidth=1.4, label=plain(label))
    _finish(axes, "components of the training loss")
    _logarithmic(axes, [run.columns[name] for name in components])


def _draw_metrics(axes: Axes, runs: Sequence[TrainingCurves], metrics: Sequence[str]) -> None:
    """Each metric of each run with its best value marked."""
    shown = [(run, name) for run in runs for name in metrics if name in run.columns]
    for i, (run, name) in enumerate(shown):
        curve, (value, step) = run.columns[name], run.best(name)
        words = [run.name] * (len(runs) > 1) + [name] * (len(metrics) > 1 or len(runs) == 1)
        label = f"{' '.join(words)}, best {value:.4g} at {step}"
        axes.plot(curve.steps, curve.values, ".-", color=_color(i), linewidth=1.4, label=plain(label))
        axes.plot([step], [value], "o", color=_color(i), markersize=7, fillstyle="none")
    _finish(axes, "validation metrics" if len(metrics) > 1 else metrics[0])


def _draw_learning_rates(axes: Axes, runs: Sequence[TrainingCurves]) -> None:
    """At each step; of one run no legend is needed."""
    for i, run in enumerate(runs):
        if "learning_rate" in run.columns:
            curve = run.columns["learning_rate"]
            axes.plot(curve.steps, curve.values, color=_color(i), linewidth=1.4, label=plain(run.name))
    axes.yaxis.set_major_formatter(lambda rate, _place: f"{rate:g}")
    axes.set_ylim(bottom=0)
    _finish(axes, "learning rate", legend=len(runs) > 1)


def _draw_train_loss(axes: Axes, curve: Curve, color: str, label: str) -> None:
    """A line of each step is a picture within the SVG, which would be huge otherwise."""
    axes.plot(curve.steps, curve.values, color=color, alpha=0.25, linewidth=0.7, zorder=1, rasterized=True)
    axes.plot(curve.steps, smooth(curve.values), color=color, linewidth=1.6, label=plain(label))


def _logarithmic(axes: Axes, curves: Sequence[Curve]) -> None:
    """Where values fall by more than a factor of 20, the end of a straight axis shows nothing."""
    smoothed = np.concatenate([smooth(curve.values) for curve in curves] or [np.ones(1)])
    if smoothed.min() > 0 and smoothed.max() > 20 * smoothed.min():
        axes.set_yscale("log")


def _finish(axes: Axes, title: str, *, legend: bool = True) -> None:
    axes.set_title(plain(title), loc="left", fontsize=11)
    if legend:
        axes.legend(frameon=False, fontsize=8)


def _color(i: int) -> str:
    return SERIES[i % len(SERIES)]
