"""Robustness to corrupted images: mPC and rPC.

mPC, the mean performance under corruption, is the mean over corruptions of the mean over severities of a
metric; rPC, the relative one, is mPC divided by the metric on clean images (Michaelis et al., "Benchmarking
Robustness in Object Detection: Autonomous Driving when Winter is Coming", 2019).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anydet.contract.reading.load import load, meta_of
from anydet.contract.reading.shards import prediction_files
from anydet.data.corruptions.corruption import GROUPS, NAMES, SEVERITIES, Corruption, parse_corruption
from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError, OptionError
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.figures import Axis, Bar, Bars, Lines, Matrix, Series
from anydet.evaluation.reading import join_inputs
from anydet.evaluation.results import Measured
from anydet.evaluation.run import EvaluationRun, run_evaluators
from anydet.evaluation.tables import Cell, Table
from anydet.plugins.manager import Plugins
from anydet.scanner import Scanner
from anydet.text import quoted

MAIN = "AP"
"""The metric of the grid and the figures: COCO's AP, as in the paper."""
_STATED = re.compile(r"([A-Za-z_]+:[^:=]+)=(.+)", re.DOTALL)

Metrics = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class CorruptedFile:
    """Predictions of corrupted images.

    Attributes:
        path: the file.
        stated: the corruption that the user named, or ``None`` where the file's meta is to say it.
    """

    path: Path
    stated: Corruption | None = None

    def corruption(self, meta: Mapping[str, Any] | None) -> Corruption:
        """The corruption of the file's images; raises ``EvaluationError`` where nobody says it, or two do.

        Args:
            meta: of the file, or ``None``.
        """
        found = corruption_of(meta)
        if found is None and self.stated is None:
            raise EvaluationError(
                f"{self.path}: does not state the corruption of its images",
                fix=f"name it: --corrupted fog:3={self.path}; or export it with --wrap or to .jsonl",
            )
        if found is None or self.stated is None:
            return found or self.stated  # type: ignore[return-value]  # one of them is there
        if (found.name, found.severity) != (self.stated.name, self.stated.severity):
            raise EvaluationError(
                f"{self.path}: states {found}, not {self.stated}", fix=f"leave out {self.stated}="
            )
        return found


def corruption_of(meta: Mapping[str, Any] | None) -> Corruption | None:
    """The corruption that a meta states, or ``None``; raises ``EvaluationError`` for an unknown one."""
    extra = (meta or {}).get("extra")
    stated = extra.get("corruption") if isinstance(extra, dict) else None
    if stated is None:
        return None
    try:
        return Corruption(stated["name"], stated["severity"], stated.get("seed", 0))
    except (TypeError, KeyError, AttributeError, OptionError) as exc:
        raise EvaluationError(
            f"meta.extra.corruption {quoted(stated)} is none that is known: {exc}",
            fix='state it like {"name": "fog", "severity": 3}',
        ) from exc


def corrupted_files(given: Iterable[str]) -> list[CorruptedFile]:
    """Files of paths, folders, patterns, or ``fog:3=PATH``; raises ``AnydetError`` for what there is not."""
    files: list[CorruptedFile] = []
    for text in given:
        stated = None if Path(text).exists() else _STATED.fullmatch(text)
        if stated:
            files.append(CorruptedFile(Path(stated[2]), parse_corruption(stated[1])))
        else:
            files += map(CorruptedFile, prediction_files(text))
    return files


@dataclass(frozen=True, slots=True)
class CorruptedResult:
    """Metrics on corrupted images.

    Attributes:
        corruption: of the images.
        metrics: numbers by name; ``None`` where there is nothing to measure on.
        path: file of the predictions, for messages.
    """

    corruption: Corruption
    metrics: Metrics
    path: str


def measure_robustness(clean: Metrics, results: Sequence[CorruptedResult]) -> Measured:
    """Gives mPC and rPC of all metrics, and the grid of AP over corruptions and severities.

    The mean over corruptions is taken of the means over the severities that are there; ``protocol`` lists
    those that a corruption lacks and another has.

    Args:
        clean: numbers on clean images; ``AP`` among them.
        results: one each of several corruptions and severities.

    Raises:
        EvaluationError: there are none, two of one corruption and severity, or no ``AP``.
    """
    grid = _arrange(results)
    if MAIN not in clean:
        raise EvaluationError(f"no {MAIN} on clean images to compare with", fix="add coco to --metrics")
    severities = [s for s in SEVERITIES if any(s in row for row in grid.values())]
    means = {name: _mean_of(row, MAIN) for name, row in grid.items()}
    overall = {metric: _mean([_mean_of(row, metric) for row in grid.values()]) for metric in clean}
    relative = {metric: _ratio(overall[metric], clean[metric]) for metric in clean}
    numbers: dict[str, float | None] = {
        f"clean {MAIN}": clean[MAIN],
        "mPC": overall[MAIN],
        "rPC": relative[MAIN],
        **{f"mPC/{metric}": value for metric, value in overall.items()},
        **{f"rPC/{metric}": value for metric, value in relative.items()},
    }
    missing = [f"{name}:{s}" for name, row in grid.items() for s in severities if s not in row]
    protocol = {
        "metric": MAIN,
        "corruptions": {name: sorted(row) for name, row in grid.items()},
        "missing": missing,
        "complete": [*grid] == [*NAMES] and severities == [*SEVERITIES] and not missing,
        "predictions": {str(one.corruption): one.path for one in results},
    }
    tables = (
        _grid_table(grid, severities, means, clean[MAIN]),
        _group_table(means, clean[MAIN]),
        Table(
            "metrics",
            ("metric", "clean", "mPC", "rPC"),
            tuple((metric, clean[metric], overall[metric], relative[metric]) for metric in clean),
        ),
    )
    return Measured(numbers, tables, protocol, _figures(grid, severities, means, clean[MAIN]))


def _arrange(results: Sequence[CorruptedResult]) -> dict[str, dict[int, Metrics]]:
    """Metrics by corruption, in the usual order, and severity."""
    paths: dict[tuple[str, int], str] = {}
    found: dict[str, dict[int, Metrics]] = {}
    for one in results:
        name, severity = one.corruption.name, one.corruption.severity
        other = paths.setdefault((name, severity), one.path)
        if severity in found.setdefault(name, {}):
            raise EvaluationError(
                f"{name} at severity {severity} is twice among the corrupted results: {other} and {one.path}",
                fix="leave one of them out",
            )
        found[name][severity] = one.metrics
    if not found:
        raise EvaluationError("no results on corrupted images", fix="name some with --corrupted")
    return {name: found[name] for name in NAMES if name in found}


def _mean_of(row: Mapping[int, Metrics], metric: str) -> float | None:
    return _mean([metrics.get(metric) for metrics in row.values()])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _ratio(value: float | None, clean: float | None) -> float | None:
    return None if value is None or not clean else value / clean


def _grid_table(
    grid: Mapping[str, Mapping[int, Metrics]],
    severities: Sequence[int],
    means: Metrics,
    clean: float | None,
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, row in grid.items():
        values = [row[s].get(MAIN) if s in row else None for s in severities]
        rows.append((name, *values, means[name], _ratio(means[name], clean)))
    header = ("corruption", *map(str, severities), "mean", "of clean")
    return Table(f"{MAIN} by corruption and severity", header, tuple(rows))


def _group_table(means: Metrics, clean: float | None) -> Table:
    rows = []
    for group, values in _groups(means):
        mean = _mean(values)
        rows.append((group, len(values), mean, _ratio(mean, clean)))
    return Table(f"{MAIN} by kind of corruption", ("kind", "corruptions", "mean", "of clean"), tuple(rows))


def _groups(means: Metrics) -> Iterator[tuple[str, list[float | None]]]:
    for group, names in GROUPS.items():
        values = [means[name] for name in names if name in means]
        if values:
            yield group, values


def _figures(
    grid: Mapping[str, Mapping[int, Metrics]],
    severities: Sequence[int],
    means: Metrics,
    clean: float | None,
) -> tuple[Lines | Bars | Matrix, ...]:
    names = tuple(grid)
    cells = tuple(tuple(grid[n][s].get(MAIN) if s in grid[n] else None for s in severities) for n in names)
    axis = Axis(MAIN, limits=(0.0, 1.0))
    matrix = Matrix(
        "grid",
        f"{MAIN} on corrupted images",
        Axis("corruption"),
        Axis("severity"),
        Axis(MAIN),
        names,
        tuple(map(str, severities)),
        cells,
    )
    bars = Bars(
        "by-corruption",
        f"mean {MAIN} over severities",
        axis,
        (
            Bar("clean", clean, secondary=True),
            *(Bar(name, means[name], note=_percent(means[name], clean)) for name in names),
        ),
    )
    # Severity 0 is the clean data set, from which all lines start.
    at = (0, *severities)
    lines = [Series("all", at, (clean, *_by_severity(grid, names, severities)), reference=True)]
    for group, members in GROUPS.items():
        there = [name for name in members if name in grid]
        if there:
            lines.append(Series(group, at, (clean, *_by_severity(grid, there, severities))))
    curve = Lines(
        "by-severity",
        f"mean {MAIN} over corruptions",
        Axis("severity; 0 is clean", limits=(0.0, float(severities[-1]))),
        axis,
        tuple(lines),
    )
    return matrix, bars, curve


def _by_severity(
    grid: Mapping[str, Mapping[int, Metrics]], names: Sequence[str], severities: Sequence[int]
) -> list[float | None]:
    return [_mean([grid[name].get(s, {}).get(MAIN) for name in names]) for s in severities]


def _percent(value: float | None, clean: float | None) -> str:
    ratio = _ratio(value, clean)
    return "" if ratio is None else f"{100 * ratio:.0f} %"


def evaluate_corrupted(
    dataset: Dataset,
    files: Iterable[CorruptedFile],
    run: EvaluationRun,
    *,
    plugins: Plugins,
    engine: Engine,
    scanner: Scanner | None = None,
    box_format: str | None = None,
    max_images: int | None = None,
) -> Iterator[tuple[CorruptedResult, tuple[str, ...]]]:
    """Results of files on the truth of the clean data set, each with its warnings.

    Args:
        dataset: the clean one; corruptions move no label.
        files: of ``corrupted_files``.
        run: on the predictions of clean images; its evaluators with an ``AP`` are run again.
        plugins: where evaluators come from.
        engine: matches boxes for COCO's metrics.
        scanner: reads JSON files faster, with the same result.
        box_format: what boxes are in; by default what a file states.
        max_images: only the first so many images of the data set.

    Raises:
        AnydetError: as ``read_inputs``, ``run_evaluators`` and ``CorruptedFile.corruption``.
    """
    names = _compared(run)
    for file in files:
        raw = load(file.path, scanner, dataset.ground_truth)
        corruption = file.corruption(raw.meta)
        inputs = join_inputs(dataset, raw, box_format=box_format, max_images=max_images)
        done = run_evaluators([inputs], names, plugins=plugins, engine=engine)
        if done.failed:
            raise next(iter(done.failed.values()))
        warnings = (*inputs.warnings, *_of_another(dataset, file.path, raw.meta))
        yield CorruptedResult(corruption, flat_metrics(done), str(file.path)), warnings


def _of_another(dataset: Dataset, path: Path, meta: Mapping[str, Any] | None) -> Iterator[str]:
    """A warning where the file states that other images than the data set's were corrupted."""
    stated = (meta or {}).get("extra", {}).get("corruption", {})
    clean = stated.get("clean")
    # Not an error: the same images may be labeled in two formats, which have two fingerprints.
    if clean is not None and clean != dataset.fingerprint():
        yield f"{path}: states that images of another data set were corrupted than those of {dataset.root}"


def flat_metrics(run: EvaluationRun) -> dict[str, float | None]:
    """Numbers of the evaluators that have an ``AP``; the first one's by their plain names."""
    first, *others = _compared(run)
    flat = {metric: value for metric, value in run.results[first].metrics.items() if "/" not in metric}
    for name in others:
        flat |= {f"{name}/{metric}": value for metric, value in run.results[name].metrics.items()}
    return flat


def _compared(run: EvaluationRun) -> list[str]:
    names = [name for name, result in run.results.items() if MAIN in result.metrics]
    if not names:
        raise EvaluationError(f"no evaluator with an {MAIN} ran", fix="add coco to --metrics")
    return names


def require_clean(predictions: Path) -> None:
    """Refuse predictions whose meta says that their images are corrupted; raises ``EvaluationError``."""
    for path in prediction_files(predictions):
        found = corruption_of(meta_of(path))
        if found is not None:
            raise EvaluationError(
                f"{path}: its images are corrupted, by {found.name} at severity {found.severity}",
                fix="give --predictions those of the clean images, and these with --corrupted",
            )
