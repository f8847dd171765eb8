"""What an evaluator is held to: its numbers depend on the images alone, and can be written."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.dataset.image_subset import take_images
from anydet.evaluation.evaluator import Evaluator, Result
from anydet.evaluation.results import shown
from anydet.plugins.manager import Plugins
from anydet.testing.comparison import frozen, same_columns
from anydet.testing.kit import NotApplicable, Subject, checks_of
from anydet.testing.problems import Problem, random_problem
from anydet.types import GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class EvaluatorSubject(Subject):
    """An evaluator under test.

    Attributes:
        name: as it is registered.
        build: gives a new evaluator for a ground truth.
        problem: what it measures; give one that it applies to.
    """

    name: str
    build: Callable[[GroundTruthColumns], Evaluator]
    problem: Problem = field(default_factory=random_problem)

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed evaluator called ``name``, which has no options."""
        del options
        return cls(name, plugins.load("evaluators", name), folder=folder)

    def set_up(self) -> None:
        """Build it once."""
        self.build(self.problem.ground_truth)

    def measure(self, problems: Iterable[Problem]) -> Result:
        """The result of a new evaluator that gets these images, a chunk each."""
        return self.filled(problems).result()

    def filled(self, problems: Iterable[Problem]) -> Evaluator:
        """A new evaluator that has these images."""
        evaluator = self.build(self.problem.ground_truth)
        for problem in problems:
            evaluator.add(problem.detections, problem.ground_truth)
        return evaluator

    def require_problem(self) -> None:
        """Leave the check where the evaluator has nothing to measure on the kit's problem."""
        problem = self.problem
        reason = self.build(problem.ground_truth).applies(problem.detections, problem.ground_truth)
        if reason is not None:
            raise NotApplicable(f"it does not apply to the kit's problem: {reason}; give it one of its own")

    def parts(self) -> list[Problem]:
        """The images of the problem in three parts without an image in common."""
        return [_some_images(self.problem, images) for images in np.array_split(self._order(), 3)]

    def _order(self) -> IntArray:
        return np.random.default_rng(3).permutation(len(self.problem.ground_truth.images))


def it_has_its_registered_name(subject: EvaluatorSubject) -> None:
    """``name`` is the name that it is registered under."""
    found = subject.build(subject.problem.ground_truth).name
    assert found == subject.name, f"it calls itself {found!r}; give {subject.name!r}"


def applies_says_what_can_be_added(subject: EvaluatorSubject) -> None:
    """``applies`` gives ``None`` where ``add`` and ``result`` work, else the reason in words."""
    for what, problem in _reduced(subject.problem).items():
        evaluator = subject.build(problem.ground_truth)
        reason = evaluator.applies(problem.detections, problem.ground_truth)
        good = reason is None or (isinstance(reason, str) and reason.strip())
        assert good, f"{what}: applies gave {reason!r}; give None or the reason"
        if reason is None:
            try:
                evaluator.add(problem.detections, problem.ground_truth)
                evaluator.result()
            except Exception as exc:
                raise AssertionError(
                    f"{what}: applies gave None, then {type(exc).__name__}: {exc}; give the reason there"
                ) from exc


def merged_parts_give_the_whole(subject: EvaluatorSubject) -> None:
    """Evaluators of disjoint images merge into the one that has all images."""
    subject.require_problem()
    whole = subject.measure([subject.problem])
    first, *others = (subject.filled([part]) for part in subject.parts())
    for other in others:
        first.merge(other)
    _assert_same(whole, first.result(), "merged parts", "keep in 'merge' all that 'add' keeps")


def order_of_images_changes_nothing(subject: EvaluatorSubject) -> None:
    """The same images in another order give the same numbers."""
    subject.require_problem()
    mixed = _some_images(subject.problem, subject._order())
    whole, again = subject.measure([subject.problem]), subject.measure([mixed])
    _assert_same(whole, again, "images in another order", "rank equal scores by image key")


def chunks_change_nothing(subject: EvaluatorSubject) -> None:
    """The same images in several chunks, in any order of these, give the same numbers."""
    subject.require_problem()
    whole, parts = subject.measure([subject.problem]), subject.parts()
    for order in (parts, parts[::-1]):
        _assert_same(whole, subject.measure(order), "images in chunks", "sum up over 'add'")


def results_can_be_written(subject: EvaluatorSubject) -> None:
    """Metrics are flat, all numbers are finite or ``None``, and ``as_dict`` survives JSON."""
    subject.require_problem()
    _assert_written(subject.measure([subject.problem]))


def images_without_findings_are_measured(subject: EvaluatorSubject) -> None:
    """Predictions that find nothing give numbers, or ``None``; no error."""
    subject.require_problem()
    problem = subject.problem
    nothing = replace(problem, detections=problem.detections.take(np.zeros(0, np.int64)))
    _assert_written(subject.measure([nothing]))


def results_are_repeatable(subject: EvaluatorSubject) -> None:
    """``result`` gives the same when it is called again, and after ``reset`` the images count once."""
    subject.require_problem()
    evaluator = subject.filled([subject.problem])
    first = evaluator.result()
    _assert_same(first, evaluator.result(), "result() again", "change nothing in 'result'")
    evaluator.reset()
    evaluator.add(subject.problem.detections, subject.problem.ground_truth)
    _assert_same(first, evaluator.result(), "after reset()", "forget everything in 'reset'")


def columns_are_left_alone(subject: EvaluatorSubject) -> None:
    """The columns that it gets are the same afterwards."""
    subject.require_problem()
    before, problem = frozen(subject.problem), frozen(subject.problem)
    try:
        subject.measure([problem])
    except ValueError as exc:
        raise AssertionError(f"{exc}: copy columns before writing to them") from exc
    assert same_columns(before, problem), "columns were changed; copy them before writing to them"


def _some_images(problem: Problem, images: IntArray) -> Problem:
    return Problem(*take_images(problem.detections, problem.ground_truth, images))


def _reduced(problem: Problem) -> dict[str, Problem]:
    """The problem, and what is left of it without some of its columns or rows."""
    found, truth = problem.detections, problem.ground_truth
    plain: dict[str, Any] = dict.fromkeys(("states", "state_scores", "masks", "keypoints", "poses", "about"))
    bare = replace(found, **plain)
    labels: dict[str, Any] = dict.fromkeys(("segmentations", "keypoints", "states", "poses"))
    boxes = replace(truth, labels=replace(truth.labels, **labels), about=None, objects=None)
    nobody = replace(
        truth, image_index=truth.image_index[:0], labels=truth.labels.take(np.zeros(0, np.int64))
    )
    return {
        "with all columns": problem,
        "with predicted boxes alone": Problem(bare, truth),
        "with true boxes alone": Problem(found, boxes),
        "with boxes alone": Problem(bare, boxes),
        "without detections": Problem(found.take(np.zeros(0, np.int64)), truth),
        "without annotations": Problem(found, nobody),
    }


def _assert_written(result: Result) -> None:
    for name, value in result.metrics.items():
        plain = value is None or (isinstance(value, int | float) and math.isfinite(value))
        assert plain, f"metric {name} is {value!r}; give a finite number, or None where nothing was measured"
    try:
        text = json.dumps({**result.as_dict(), **shown(result)}, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise AssertionError(f"the result cannot be written: {exc}; use plain numbers, texts, lists") from exc
    assert json.loads(text).get("metrics") == dict(result.metrics), (
        "'metrics' of as_dict() are not the metrics; put them there as they are"
    )


def _assert_same(whole: Result, other: Result, what: str, remedy: str) -> None:
    difference = _difference(_numbers(whole), _numbers(other))
    assert not difference, f"{what}: {difference}; {remedy}"


def _numbers(result: Result) -> Any:
    return json.loads(json.dumps({"metrics": dict(result.metrics), **shown(result)}))


def _difference(a: Any, b: Any, where: str = "") -> str:
    """The first place at which two results differ by more than sums in another order do; empty if none."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next(filter(None, (_difference(a[k], b[k], f"{where} {k}".strip()) for k in a)), "")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return next(filter(None, (_difference(x, y, f"{where} {i}") for i, (x, y) in pairs)), "")
    if isinstance(a, float) and isinstance(b, int | float):
        near = math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
        return "" if near else f"{where} is {b}, was {a}"
    return "" if a == b else f"{where} is {b!r}, was {a!r}"


CHECKS = checks_of(
    it_has_its_registered_name,
    applies_says_what_can_be_added,
    merged_parts_give_the_whole,
    order_of_images_changes_nothing,
    chunks_change_nothing,
    results_can_be_written,
    images_without_findings_are_measured,
    results_are_repeatable,
    columns_are_left_alone,
)
"""Name -> check, in the order in which they are run."""
