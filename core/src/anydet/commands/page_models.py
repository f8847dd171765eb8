"""Models that ``report`` and ``browse`` make a page of: how they are read, and what is printed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anydet.commands.messages import echo, warn
from anydet.text import as_given

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from anydet.data.dataset.protocols import Dataset
    from anydet.evaluation.analysis.comparison import Comparison
    from anydet.evaluation.run import EvaluationRun
    from anydet.report.page.findings import Model
    from anydet.scanner import Scanner


def read_models(
    dataset: Dataset, paths: Sequence[Path], flags: Mapping[str, Any], scanner: Scanner | None
) -> list[Model]:
    """Each file laid over the data set; warnings go to stderr."""
    from anydet.contract.reading.load import load
    from anydet.evaluation.reading import join_inputs
    from anydet.report.page.findings import Model

    models = []
    for path in paths:
        raw = load(
            path, scanner, dataset.ground_truth, flags["class_map"], refuse_odd=flags.get("strict", False)
        )
        limits = {name: flags[name] for name in ("box_format", "max_images")}
        inputs = join_inputs(dataset, raw, **limits)
        for warning in inputs.warnings:
            warn(warning)
        models.append(Model(as_given(str(path)), inputs, raw.meta or {}))
    return models


def summarize(
    names: Sequence[str], runs: Sequence[EvaluationRun], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """What ``--json`` gives of models."""
    return {
        "models": {name: run.metrics for name, run in zip(names, runs, strict=True)},
        "comparisons": [one.metrics for one in comparisons],
    }


def warn_of_failures(runs: Sequence[EvaluationRun]) -> None:
    """Which evaluators failed, to stderr."""
    for run in runs:
        for name, error in run.failed.items():
            warn(f"{name} failed, and its numbers are missing: {error.problem}")


def print_headlines(
    names: Sequence[str], runs: Sequence[EvaluationRun], say: Callable[[str], None] = echo
) -> None:
    """A line with AP and AP50 of each model."""
    for name, run in zip(names, runs, strict=True):
        ap, ap50 = (run.metrics[f"coco/{metric}"] for metric in ("AP", "AP50"))
        numbers = [f"{k} {'n/a' if v is None else format(v, '.4f')}" for k, v in (("AP", ap), ("AP50", ap50))]
        say(f"{name}: {', '.join(numbers)}")
