"""Files of a suite, evaluated on the same draws of images and ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from anydet.data.dataset.protocols import Dataset
from anydet.errors import EvaluationError, OptionError, did_you_mean
from anydet.evaluation.analysis.bootstrap import Drawn, draw, draw_images
from anydet.evaluation.analysis.comparison import compare_drawn, require_comparable
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.protocol import metrics
from anydet.evaluation.reading import Inputs, read_shards
from anydet.evaluation.run import prepare_coco
from anydet.suite.files import Held
from anydet.suite.protocol import Protocol
from anydet.suite.results import Entry, SuiteResult
from anydet.text import quoted


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How files are read, and by what they are matched.

    Attributes:
        engine: matches detections.
        box_format: what boxes are in; by default what each file states.
        class_map: how numbers of classes count, where they are not the data set's.
        strict: refuse predictions that are left out.
        warn: is called with each warning.
        advance: is called with 1 after each file.
    """

    engine: Engine
    box_format: str | None = None
    class_map: str | None = None
    strict: bool = False
    warn: Callable[[str], None] = lambda _text: None
    advance: Callable[[int], None] = lambda _count: None


def run_suite(dataset: Dataset, files: Sequence[Held], protocol: Protocol, reading: Reading) -> SuiteResult:
    """Numbers of all files with intervals, and paired differences of all pairs, best file first.

    All files are scored on the same draws of images: a difference is of the models and not of the draws.

    Args:
        dataset: the truth.
        files: of ``files.hold``.
        protocol: what is counted.
        reading: how.

    Raises:
        OptionError: the protocol ranks by a metric that there is not.
        AnydetError: a file cannot be read or does not fit the data set.
    """
    draws = None
    drawn: list[Drawn] = []
    for file in files:
        evaluator = _evaluator(dataset, file, protocol, reading)
        _metric(protocol, evaluator)
        if draws is None:
            draws = draw_images(len(evaluator.joint().images), protocol.resamples, protocol.seed)
        else:
            require_comparable(drawn[0].evaluator, evaluator)
        drawn.append(draw(evaluator, draws))
        reading.advance(1)
    metric = _metric(protocol, drawn[0].evaluator)
    order = sorted(range(len(files)), key=lambda i: (-_rank_value(drawn[i], metric), str(files[i].path)))
    entries = tuple(
        Entry(files[i], drawn[i].result, drawn[i].intervals(protocol.level, protocol.seed)) for i in order
    )
    pairs = {
        (a, b): compare_drawn(drawn[order[b]], drawn[order[a]], level=protocol.level, seed=protocol.seed)
        for a in range(len(order))
        for b in range(a + 1, len(order))
    }
    return SuiteResult(protocol, metric, entries, pairs)


def check_suite(
    dataset: Dataset, files: Sequence[Held], protocol: Protocol, reading: Reading
) -> dict[str, Any]:
    """What ``run_suite`` would evaluate: all files are read and joined to the images, and nothing is matched.

    Takes and raises what ``run_suite`` does; gives the protocol of each file, by its path.
    """
    found = {}
    for file in files:
        evaluator = _evaluator(dataset, file, protocol, reading, dry=True)
        _metric(protocol, evaluator)
        found[str(file.path)] = evaluator.protocol()
        reading.advance(1)
    return found


def _evaluator(
    dataset: Dataset, file: Held, protocol: Protocol, reading: Reading, *, dry: bool = False
) -> CocoEvaluator:
    parts = read_shards(
        dataset,
        file.path,
        box_format=reading.box_format,
        max_images=protocol.max_images,
        scanner=reading.engine.scanner,
        class_map=reading.class_map,
        refuse_odd=reading.strict,
    )
    try:
        return prepare_coco(_warned(parts, file, reading), protocol.counting, engine=reading.engine, dry=dry)
    except EvaluationError as exc:
        raise EvaluationError(f"{file.path}: {exc.problem}", fix=exc.fix) from exc


def _warned(parts: Iterable[Inputs], file: Held, reading: Reading) -> Iterator[Inputs]:
    for part in parts:
        for warning in part.warnings:
            reading.warn(f"{file.path}: {warning}")
        yield part


def _metric(protocol: Protocol, evaluator: CocoEvaluator) -> str:
    """The metric that files are ranked by; raises ``OptionError`` where there is none of the name."""
    names = [metric.name for metric in metrics(evaluator.params, protocol.counting)]
    if protocol.rank_by is None:
        return names[0]
    if protocol.rank_by not in names:
        raise OptionError(
            f"protocol {quoted(protocol.name)} ranks by {quoted(protocol.rank_by)}, and there are "
            f"{', '.join(names)}{did_you_mean(protocol.rank_by, names)}",
            fix="correct rank_by, or leave it out for the first one",
        )
    return protocol.rank_by


def _rank_value(drawn: Drawn, metric: str) -> float:
    value = drawn.result.metrics[metric]
    return -1.0 if value is None else value
