"""Which step of a prediction makes two adapters differ: their stages are crossed.

Each stage of B is given what A's stages before it gave. What comes out differently then is of that stage
alone. Last, A's stages take the place of those of B that differ: where that makes both equal, nothing else is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anydet.contract.columns import to_columns
from anydet.contract.image_columns import renumber_classes
from anydet.crosscheck.joining import Joined
from anydet.crosscheck.joining import Limits as Ends
from anydet.crosscheck.locating.decoded import compare_decoded
from anydet.crosscheck.locating.finding import Finding
from anydet.crosscheck.locating.inputs import Case as InputCase
from anydet.crosscheck.locating.inputs import compare_inputs
from anydet.crosscheck.locating.models import compare_models
from anydet.crosscheck.locating.nodes import first_node
from anydet.crosscheck.locating.parts import explain_parts
from anydet.crosscheck.locating.pixels import compare_pixels
from anydet.crosscheck.locating.predictions import explain_predictions
from anydet.crosscheck.locating.selection import Case as SelectionCase
from anydet.crosscheck.locating.selection import Selection, compare_selected
from anydet.crosscheck.parity import Parity, ParitySettings, compare
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import AnydetError
from anydet.evaluation.tables import Table
from anydet.plugins.adapter import Adapter
from anydet.plugins.stages import Decoded, Prepared, Stages
from anydet.prediction.pipeline import Limits
from anydet.types import ImagePredictions, IntArray

_WORST = 6
"""Images on which stages are crossed."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """What makes two adapters differ.

    Attributes:
        parity: of their predictions.
        findings: of each stage that differs, in the order of the stages.
        stages: stage -> what was found there: "equal", "differs", or why it was not looked at.
        cured: whether A's stages in the place of the guilty ones make both equal; ``None`` where that was not
            tried.
        notes: what else a person should know.
    """

    parity: Parity
    findings: tuple[Finding, ...]
    stages: dict[str, str]
    cured: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether predictions are the same."""
        return self.parity.ok

    @property
    def reason(self) -> str:
        """One line: the first step that differs, or that none does."""
        if self.ok:
            return self.parity.reason
        if not self.findings:
            unknown = "no step differs by more than rounding" if self.stages else "no known cause fits"
            return f"{self.parity.reason}; {unknown}"
        first = self.findings[0]
        sure = "" if first.certain else " (the closest of what is known)"
        more = f"; and {len(self.findings) - 1} more" if len(self.findings) > 1 else ""
        return f"parity fails at {first.step}: {first.cause}{sure}{more}"

    @property
    def stage_table(self) -> Table:
        """What was found at each stage."""
        return Table("stages of B, each on what A gives it", ("stage", "result"), tuple(self.stages.items()))

    def as_dict(self) -> dict[str, Any]:
        """What ``parity --locate --json`` writes."""
        return {
            "ok": self.ok,
            "reason": self.reason,
            "findings": [one.as_dict() for one in self.findings],
            "stages": dict(self.stages),
            "cured": self.cured,
            "notes": list(self.notes),
            "parity": self.parity.as_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Two adapters, the images that both predicted, and how their results differ.

    Attributes:
        a: taken for right.
        b: what should be the same.
        records: the images.
        limits: detections that are compared.
        parity: of the results.
        results: of both, image by image.
        failure: what B said of the first image on which it failed, or "".
    """

    a: Adapter
    b: Adapter
    records: Sequence[Record]
    limits: Limits
    parity: Parity
    results: tuple[Sequence[ImagePredictions], Sequence[ImagePredictions]]
    failure: str = ""


def predict_both(
    a: Adapter,
    b: Adapter,
    records: Sequence[Record],
    settings: ParitySettings = ParitySettings(),
    *,
    limits: Limits = Limits(),
    progress: Callable[[int], None] = lambda _images: None,
) -> Predicted:
    """Predict with both, image by image, and compare results; an image on which B fails has none of B.

    Args:
        a: taken for right.
        b: what should be the same.
        records: images to predict.
        settings: what counts as the same.
        limits: detections that are compared.
        progress: called with 1 for each image that both have predicted.

    Raises:
        AnydetError: an adapter fails, or an image cannot be read.
    """
    results: tuple[list[ImagePredictions], list[ImagePredictions]] = ([], [])
    failure = ""
    for record in records:
        results[0].extend(limits.apply(one) for one in a.predict([record]))
        try:
            results[1].extend([limits.apply(one) for one in b.predict([record])])
        except AnydetError as exc:
            failure = failure or exc.problem
            results[1].append(ImagePredictions.empty(record.key, results[0][-1].size_wh))
        progress(1)
    parity = compare(_joined(a, b, results, limits), settings)
    return Predicted(a, b, records, limits, parity, results, failure)


def locate(both: Predicted) -> Located:
    """Where results differ, the stage that makes them.

    Raises:
        AnydetError: an adapter fails, or an image cannot be read.
    """
    parity, a, b = both.parity, both.a, both.b
    if parity.ok:
        return Located(parity, (), {})
    worst = parity.worst_images(_WORST).tolist()
    missing = list(dict.fromkeys(x.name for x in (a, b) if x.stages is None))
    if missing:
        does = "does not show its stages" if len(missing) == 1 else "do not show their stages"
        note = f"{' and '.join(missing)} {does}, so that predictions alone are looked at"
        return Located(parity, tuple(explain_predictions(parity)), {}, notes=(note,))
    return _Crossing(both, [both.records[i] for i in worst]).located()


class _Crossing:
    """Stages of two adapters on the same images."""

    def __init__(self, both: Predicted, records: Sequence[Record]) -> None:
        assert both.a.stages is not None
        assert both.b.stages is not None
        self._adapters, self._records, self._parity = (both.a, both.b), records, both.parity
        self._a: Stages = both.a.stages
        self._b: Stages = both.b.stages
        self._limits = both.limits
        self._stages: dict[str, str] = {}
        self._notes = [f"B fails: {both.failure}"] if both.failure else []

    def located(self) -> Located:
        """All stages, one after the other."""
        images = [self._a.pixels(record) for record in self._records]
        pixels = compare_pixels(images, [self._b.pixels(record) for record in self._records])
        found = self._note("decode", [] if pixels is None else [pixels])
        prepared = [self._a.prepare(image) for image in images]
        cases = [
            InputCase(image, one, self._b.prepare(image)) for image, one in zip(images, prepared, strict=True)
        ]
        found += self._note("preprocess", compare_inputs(self._a, cases))
        found += self._models(prepared)
        found += self._after()
        if not found:
            node = first_node(self._a, self._b, prepared[0].tensor)
            found += self._note("model", [] if node is None else [node])
        cured = self._cured() if found and "model" in self._looked_at else None
        if not found:
            found = explain_predictions(self._parity)
        return Located(self._parity, tuple(found), self._stages, cured, tuple(self._notes))

    @property
    def _looked_at(self) -> set[str]:
        """Stages that were compared."""
        return {name for name, state in self._stages.items() if state in {"equal", "differs"}}

    def _models(self, prepared: Sequence[Prepared]) -> list[Finding]:
        """Models, decoding of their outputs, selection, and what belongs to detections."""
        try:
            models, outputs, _ = compare_models(self._a, self._b, prepared)
        except AnydetError as exc:
            # Of another size, say, which was found before.
            self._stages["model"] = "not looked at: B does not run on A's input"
            self._notes.append(f"B does not run on A's input: {exc.problem}")
            return []
        decoded: list[tuple[Decoded, Decoded]] = []
        together = False
        for (mine, other), one in zip(outputs, prepared, strict=True):
            first = self._a.decode(mine, one.placement)
            try:
                second = self._b.decode(mine, one.placement)
            except AnydetError:
                # A layout of its own: only what both make of their own outputs can be compared.
                second, together = self._b.decode(other, one.placement), True
            if first is None or second is None:
                self._stages["decoding of outputs"] = "none: outputs are classes of pixels"
                return self._note("model", models) + self._parts(prepared, outputs)
            decoded.append((first, second))
        input_wh = prepared[0].placement.input_wh
        boxes = compare_decoded([x for x, _ in decoded], [y for _, y in decoded], input_wh)
        if together and not boxes:
            models = []
        found = self._note("model", models) + self._note("decoding of outputs", boxes)
        selected = [
            SelectionCase(
                mine,
                one.placement,
                self._a.select(record, mine, one.placement),
                self._named_as_a(self._b.select(record, mine, one.placement)),
            )
            for record, (mine, _), one in zip(self._records, decoded, prepared, strict=True)
        ]
        chosen = boxes + compare_selected(selected, self._selection)
        found += self._note("selection", chosen[len(boxes) :])
        # Parts of other rows would be others.
        return found if chosen or together else found + self._parts(prepared, outputs)

    def _parts(self, prepared: Sequence[Prepared], outputs: Sequence[tuple[Any, Any]]) -> list[Finding]:
        """Masks, keypoints, poses and states that both make of A's outputs."""
        a, b = self._adapters
        whole: tuple[list[ImagePredictions], list[ImagePredictions]] = ([], [])
        for record, one, (mine, _) in zip(self._records, prepared, outputs, strict=True):
            whole[0].append(self._a.complete(record, mine, one.placement))
            try:
                whole[1].append(self._b.complete(record, mine, one.placement))
            except AnydetError as exc:
                self._notes.append(f"B makes nothing of A's outputs: {exc.problem}")
                return []
        joined = _joined(a, b, whole, self._limits)
        pairs = compare(joined, self._parity.settings).pairs
        places = [one.placement for one in prepared]
        return self._note("parts", explain_parts(joined.a, joined.b, pairs, places))

    def _named_as_a(self, found: ImagePredictions) -> ImagePredictions:
        """A result of B with the ids that A has for the names of its classes."""
        moved = _renumbering(*self._adapters)
        return found if moved is None else replace(found, class_ids=moved[found.class_ids])

    @property
    def _selection(self) -> Selection:
        return Selection(self._adapters[0].settings.score_floor, self._a.candidates, self._a.nms_iou)

    def _after(self) -> list[Finding]:
        """What B does to results behind its stages, such as rounding."""
        try:
            return self._note("results", self._compare_results())
        except AnydetError:
            return []

    def _compare_results(self) -> list[Finding]:
        b = self._adapters[1]
        cases, places = [], []
        staged: list[ImagePredictions] = []
        results: list[ImagePredictions] = []
        for record in self._records:
            one = self._b.prepare(self._b.pixels(record))
            outputs = self._b.run(one.tensor)
            decoded = self._b.decode(outputs, one.placement)
            results.extend(b.predict([record]))
            staged.append(self._b.complete(record, outputs, one.placement))
            places.append(one.placement)
            if decoded is not None:
                selected = self._b.select(record, decoded, one.placement)
                cases.append(SelectionCase(decoded, one.placement, selected, results[-1]))
        how = Selection(b.settings.score_floor, self._b.candidates, self._b.nms_iou)
        found = compare_selected(cases, how) if cases else []
        if found:
            return found
        joined = _joined(b, b, (staged, results), self._limits)
        pairs = compare(joined, self._parity.settings).pairs
        return explain_parts(joined.a, joined.b, pairs, places)

    def _cured(self) -> bool:
        """Whether B with A's stages in the place of those that differ gives A's results."""
        guilty = {name for name, state in self._stages.items() if state == "differs"}

        def pick(stage: str) -> Stages:
            return self._a if stage in guilty else self._b

        # Decoding and selection give boxes, scores and classes alone; where both are A's or both B's, the
        # other parts are compared, too.
        whole = not {"decoding of outputs", "selection"} & guilty
        mixed: list[ImagePredictions] = []
        right: list[ImagePredictions] = []
        for record in self._records:
            one = pick("preprocess").prepare(pick("decode").pixels(record))
            try:
                outputs = pick("model").run(one.tensor)
                if whole:
                    found = pick("parts").complete(record, outputs, one.placement)
                    found = found if pick("parts") is self._a else self._named_as_a(found)
                else:
                    decoded = pick("decoding of outputs").decode(outputs, one.placement)
                    assert decoded is not None
                    found = pick("selection").select(record, decoded, one.placement)
                    found = found if pick("selection") is self._a else self._named_as_a(found)
            except AnydetError:
                return False
            mixed.append(self._limits.apply(found))
            right.extend(self._limits.apply(one) for one in self._adapters[0].predict([record]))
        if not whole:
            mixed, right = ([_bare(found) for found in side] for side in (mixed, right))
        a = self._adapters[0]
        return compare(_joined(a, a, (right, mixed), self._limits), self._parity.settings).ok

    def _note(self, stage: str, found: list[Finding]) -> list[Finding]:
        if found or stage != "results":
            self._stages[stage] = "differs" if found else self._stages.get(stage, "equal")
        return found


def _joined(
    a: Adapter,
    b: Adapter,
    results: tuple[Sequence[ImagePredictions], Sequence[ImagePredictions]],
    limits: Limits,
) -> Joined:
    """Results of both, classes joined by name where both have the same names."""
    names = [None if x.classes is None else x.classes.names for x in (a, b)]
    columns = [to_columns(found, known) for found, known in zip(results, names, strict=True)]
    moved = _renumbering(a, b)
    if moved is not None:
        about = columns[1].about
        columns[1] = replace(
            columns[1],
            class_ids=moved[columns[1].class_ids],
            classes=names[0],
            about=None if about is None else renumber_classes(about, moved),
        )
    ends = Ends(limits.score_threshold, limits.max_detections)
    called = (f"A ({a.name})", f"B ({b.name})")
    return Joined(columns[0], columns[1], called, (ends, ends))


def _renumbering(a: Adapter, b: Adapter) -> IntArray | None:
    """(C,) id that A has for each class of B, where both have the same names in another order."""
    names = [() if x.classes is None else x.classes.names for x in (a, b)]
    if names[0] == names[1] or sorted(names[0]) != sorted(names[1]):
        return None
    place = {name: i for i, name in enumerate(names[0])}
    return np.array([place[name] for name in names[1]], np.int64)


def _bare(found: ImagePredictions) -> ImagePredictions:
    """Boxes, scores and classes alone, as ``Stages.select`` gives them."""
    return ImagePredictions(found.image, found.size_wh, found.boxes_xyxy_px, found.scores, found.class_ids)


def records_of(dataset: Dataset, most: int) -> Iterator[Record]:
    """The first so many records of a data set."""
    for i in range(min(most, len(dataset))):
        yield dataset[i]
