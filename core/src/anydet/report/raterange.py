"""The curve of a learning-rate range test as a picture."""

from __future__ import annotations

from pathlib import Path

from anydet.outputs import new_file
from anydet.report.charts import import_figure, picture_format
from anydet.training.checks.raterange import RateRange


def draw_rate_range(found: RateRange, output: Path) -> None:
    """Draw losses over rates, and the rate that is suggested.

    Args:
        found: at least one loss.
        output: ``.png`` or ``.svg``; written whole or not at all.

    Raises:
        OptionError: another suffix.
        AnydetError: matplotlib is not installed.
    """
    kind = picture_format(output)
    figure = import_figure()(figsize=(6.4, 3.7), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.plot(found.rates, found.losses)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed", title=found.end)
    if found.suggested is not None:
        axes.axvline(found.suggested, linestyle="--", label=f"suggested {found.suggested:.2g}")
        axes.legend()
    with new_file(output) as file:
        figure.savefig(file, format=kind, dpi=150)
