"""``Results``: what came out of all scenarios, as tables, figures and plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anydet.errors import did_you_mean
from anydet.evaluation.figures import Axis, Bar, Bars, Figure, Matrix
from anydet.evaluation.tables import Cell, Table
from anydet.scenarios.measuring import Measures
from anydet.scenarios.scenario import Scenario
from anydet.scenarios.thresholds import NUMBERS, Threshold
from anydet.version import __version__

_COLUMNS = {
    "AP": "AP",
    "of_clean": "of clean",
    "AP50": "AP50",
    "recall": "recall",
    "precision": "precision",
    "rejection_rate": "rejected",
    "rotation_error_deg": "rotation (deg)",
    "depth_error_m": "depth (m)",
    "images_per_s": "images/s",
}
"""Numbers of the summary and their headings; what no scenario has is left out."""
_MOST_CLASSES = 80


@dataclass(frozen=True, slots=True)
class Judged:
    """A threshold and the number that was held against it.

    Attributes:
        threshold: of a scenario.
        value: of its number, or ``None``.
        note: why there is none, or "".
    """

    threshold: Threshold
    value: float | None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the number is good."""
        return self.threshold.met_by(self.value)

    @property
    def text(self) -> str:
        """``AP is 0.1234, not at least 0.3``."""
        if self.value is None:
            return f"{self.threshold.number} is not known ({self.note}), not {self.threshold}"
        return f"{self.threshold.number} is {self.value:.4g}, not {self.threshold}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a scenario.

    Attributes:
        scenario: what was done.
        fingerprint: of its data.
        predictions: file of what was predicted, or ``None``.
        measures: its numbers, or ``None`` where it was not measured.
        reason: why it was not measured, or "".
        clean_ap: AP of the scenario without changes and selections, or ``None``.
        images_per_s: of the prediction, or ``None``.
    """

    scenario: Scenario
    fingerprint: str
    predictions: str | None = None
    measures: Measures | None = None
    reason: str = ""
    clean_ap: float | None = None
    images_per_s: float | None = None

    @property
    def numbers(self) -> dict[str, float | None]:
        """All numbers by name."""
        if self.measures is None:
            return {}
        ap = self.measures.numbers["AP"]
        of_clean = None if ap is None or not self.clean_ap else ap / self.clean_ap
        first = {"of_clean": of_clean, "images_per_s": self.images_per_s}
        return {**first, **self.measures.numbers}

    @property
    def judged(self) -> tuple[Judged, ...]:
        """Its thresholds with its numbers; of one that was not measured and need not be, none."""
        if self.measures is None and self.scenario.optional:
            return ()
        return tuple(self._judge(one) for one in self.scenario.thresholds)

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``not measured``, or "" without thresholds."""
        judged = self.judged
        if judged:
            return "met" if all(one.met for one in judged) else "missed"
        return "" if self.measures else "not measured"

    def _judge(self, threshold: Threshold) -> Judged:
        if self.measures is None:
            return Judged(threshold, None, self.reason)
        name, numbers = threshold.number, self.numbers
        if name in numbers:
            return Judged(threshold, numbers[name], "nothing to measure on")
        if name in NUMBERS:
            return Judged(threshold, None, "it does not apply")
        return Judged(threshold, None, f"no such metric{did_you_mean(name, list(numbers))}")


@dataclass(frozen=True, slots=True)
class Results:
    """What came out.

    Attributes:
        outcomes: in the order of the setting.
        about: model, data set and limits, as plain data.
    """

    outcomes: tuple[Outcome, ...]
    about: Mapping[str, Any]

    @property
    def measured(self) -> tuple[Outcome, ...]:
        """Those that were measured."""
        return tuple(one for one in self.outcomes if one.measures is not None)

    @property
    def missed(self) -> list[str]:
        """A line for each threshold that was missed."""
        return [
            f"{one.scenario.name}: {judged.text}"
            for one in self.outcomes
            for judged in one.judged
            if not judged.met
        ]

    @property
    def notes(self) -> list[str]:
        """What was measured on what, and what was not, as lines."""
        about, data = self.about, self.about["dataset"]
        model = " ".join(
            filter(None, [about["adapter"], about["checkpoint"] or about["options"].get("model")])
        )
        lines = [
            f"model: {model}",
            f"data set: {data['root']}, {data['images']} images ({data['fingerprint']})",
            f"recall, precision and rejected: detections of at least {about['score_threshold']}, "
            f"found at IoU {about['iou_threshold']}; random choices have seed {about['seed']}",
        ]
        if any(one.scenario.changes for one in self.measured):
            lines.append("bars are gray where images are as they are")
        left = [one for one in self.outcomes if one.measures is None]
        if left:
            lines.append(f"not measured: {', '.join(one.scenario.name for one in left)}")
        return [*lines, *(f"missed: {line}" for line in self.missed)]

    @property
    def summaries(self) -> tuple[Table, ...]:
        """The tables that terminals print."""
        tables = (self._summary, self._thresholds, self._unmeasured)
        return tuple(table for table in tables if table.rows)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The numbers of scenarios, thresholds, AP of classes, what was done, and what was not measured."""
        tables = (self._summary, self._thresholds, self._classes, self._declared, self._unmeasured)
        return tuple(table for table in tables if table.rows)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """AP and rejection rate of scenarios, and AP by class."""
        return (
            self._bars("ap", "AP by scenario", "AP"),
            self._bars("recall", "recall by scenario", "recall"),
            self._bars("rejection-rate", "images rejected by scenario", "rejection_rate"),
            *self._matrix,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "about": {**self.about, "versions": {"anydet": __version__}},
            "scenarios": [_written(one) for one in self.outcomes],
            "missed": self.missed,
            "tables": [table.as_dict() for table in self.tables],
            "figures": [figure.as_dict() for figure in self.figures],
        }

    @property
    def _summary(self) -> Table:
        known = [name for name in _COLUMNS if any(one.numbers.get(name) is not None for one in self.measured)]
        rows = tuple(
            (
                one.scenario.name,
                one.measures.images,
                one.measures.objects,
                *(one.numbers.get(name) for name in known),
                one.verdict,
            )
            for one in self.measured
            if one.measures is not None
        )
        header = ("scenario", "images", "objects", *(_COLUMNS[name] for name in known), "thresholds")
        return Table("scenarios", header, rows)

    @property
    def _thresholds(self) -> Table:
        rows = tuple(
            (
                one.scenario.name,
                judged.threshold.number,
                judged.value,
                str(judged.threshold),
                "met" if judged.met else "missed",
            )
            for one in self.outcomes
            for judged in one.judged
        )
        return Table("thresholds", ("scenario", "number", "value", "wanted", "verdict"), rows)

    @property
    def _classes(self) -> Table:
        rows = tuple((name, *cells) for name, cells in self._by_class())
        return Table("AP by class", ("class", *(one.scenario.name for one in self.measured)), rows)

    @property
    def _declared(self) -> Table:
        rows = tuple(
            (one.scenario.name, one.scenario.description, _ignored(one), one.fingerprint)
            for one in self.outcomes
        )
        return Table("what was done", ("scenario", "what was done", "ignored objects", "data"), rows)

    @property
    def _unmeasured(self) -> Table:
        rows = tuple((one.scenario.name, one.reason) for one in self.outcomes if one.measures is None)
        return Table("not measured", ("scenario", "reason"), rows)

    def _by_class(self) -> list[tuple[str, tuple[float | None, ...]]]:
        each = [one.measures.per_class for one in self.measured if one.measures is not None]
        names = list(dict.fromkeys(name for one in each for name in one))
        return [(name, tuple(one.get(name) for one in each)) for name in names]

    def _bars(self, name: str, title: str, number: str) -> Bars:
        axis = Axis(_COLUMNS[number], limits=(0.0, 1.0))
        return Bars(
            name,
            title,
            axis,
            tuple(
                Bar(one.scenario.name, one.numbers[number], secondary=not one.scenario.changes)
                for one in self.measured
            ),
        )

    @property
    def _matrix(self) -> Sequence[Matrix]:
        rows = self._by_class()[:_MOST_CLASSES]
        if not rows:
            return ()
        return (
            Matrix(
                "ap-by-class",
                "AP by class and scenario",
                Axis("class"),
                Axis("scenario"),
                Axis("AP", limits=(0.0, 1.0)),
                tuple(name for name, _ in rows),
                tuple(one.scenario.name for one in self.measured),
                tuple(cells for _, cells in rows),
            ),
        )


def _ignored(outcome: Outcome) -> Cell:
    return None if outcome.measures is None else outcome.measures.ignored


def _written(outcome: Outcome) -> dict[str, Any]:
    measures = outcome.measures
    return {
        "name": outcome.scenario.name,
        "what": outcome.scenario.description,
        "data": outcome.fingerprint,
        "predictions": outcome.predictions,
        "reason": outcome.reason or None,
        "images": None if measures is None else measures.images,
        "objects": None if measures is None else measures.objects,
        "ignored_objects": None if measures is None else measures.ignored,
        "numbers": outcome.numbers,
        "per_class_AP": {} if measures is None else dict(measures.per_class),
        "failed": {} if measures is None else {k: error.problem for k, error in measures.failed.items()},
        "thresholds": [
            {
                "number": one.threshold.number,
                "min": one.threshold.least,
                "max": one.threshold.most,
                "value": one.value,
                "met": one.met,
            }
            for one in outcome.judged
        ],
        "verdict": outcome.verdict,
    }
