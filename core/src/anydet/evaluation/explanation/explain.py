"""Why AP is low: the usual mistakes undone one after the other, and what that gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from anydet.data.dataset.image_subset import take_images
from anydet.dataclass import dataclass
from anydet.evaluation import compatibility
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.explanation.box_formats import format_causes, order_causes, turn_causes
from anydet.evaluation.explanation.cause import Cause, Diagnosis, Explanation, compose
from anydet.evaluation.explanation.classes import class_causes
from anydet.evaluation.explanation.images import image_causes
from anydet.evaluation.explanation.network_input import input_causes, letterbox_causes, scale_cause
from anydet.evaluation.explanation.overlap import coverage, image_ranks
from anydet.evaluation.explanation.ranking import ranking_causes
from anydet.evaluation.explanation.reference import Covered, collapse, left_out
from anydet.evaluation.explanation.symptoms import Evidence, find_symptoms
from anydet.evaluation.matches import Matches
from anydet.evaluation.protocol import CocoSettings
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray

MOST_IMAGES = 200
"""Images that causes are tried on."""
LEAST_GAIN = 0.05
LEAST_FACTOR = 1.25
LEAST_FACTOR_LEARNED = 2.0
"""A cause is reported where undoing it adds this much to AP and multiplies it by this much, and by more where
the undoing is fitted to the annotations."""
_COMPARED = 0.5
"""A cause is not reported beside one that gains more than twice as much."""
_BEST_OF_IMAGE = 20
"""Detections of an image that decide which causes are worth an evaluation."""
_TRIALS = 2
"""Causes of one family that are evaluated."""
_AS_GOOD = 0.8
"""Part of the reference's AP, on images and classes of which a file has detections, that is as good as it."""
_SETTINGS = CocoSettings(area_ranges_px={"all": (0.0, 1e10)}, max_detections=(100,))


def explain(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    engine: Engine,
    *,
    box_format: str | None = None,
    max_images: int = MOST_IMAGES,
    reference: DetectionColumns | None = None,
) -> Diagnosis:
    """Try the usual mistakes on boxes, classes, image keys and scores, and say which explain a low AP.

    Each mistake is undone on the columns, on some of the annotated images. Of those that change where boxes
    are, only the best of each family are evaluated: those after whose undoing the best detections cover the
    annotations best. Where nothing helps alone, mistakes in boxes and in classes are tried together.

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: of the same images and classes.
        engine: matches detections.
        box_format: how the file's boxes were read, so that what to do names the right option.
        max_images: tried at most.
        reference: detections, over the same images, of the model that this one was made of, as the float
            model of a quantized one.
    """
    trial = Trial.of(detections, ground_truth, engine, max_images)
    before = trial.ap(trial.whole)
    causes = list(all_causes(ground_truth, box_format))
    found: list[Explanation] = []
    if before is not None:
        if len(detections):
            with np.errstate(over="ignore", invalid="ignore"):  # boxes may be of any size
                found = trial.compare(before, causes) or trial.compare(before, trial.pair_up(causes))
        found += find_symptoms(trial.evidence())
    reference_ap = None if reference is None else trial.ap(_only(reference, trial.images))
    if reference is not None and before is not None and reference_ap is not None:
        lost = trial.lost(before, reference, reference_ap)
        # A mistake in one of the two files, where its undoing gives back most of what is lacking.
        explained = any((one.gain or 0.0) >= _COMPARED * (reference_ap - before) for one in found)
        found = found if explained else lost + found
    return Diagnosis(
        before, len(trial.images), len(ground_truth.images), len(causes), tuple(found), reference_ap
    )


def all_causes(ground_truth: GroundTruthColumns, box_format: str | None = None) -> Iterator[Cause]:
    """Every mistake that is tried; of equal gain, the first is reported."""
    yield from class_causes(ground_truth.classes)
    yield from format_causes(box_format)
    yield from order_causes()
    yield from letterbox_causes()
    yield from input_causes()
    yield from turn_causes()
    yield scale_cause()
    yield from image_causes(ground_truth.images)
    yield from ranking_causes()


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Some of the images, on which causes are tried.

    Attributes:
        detections: of all images.
        ground_truth: of all images.
        images: (S,) ascending positions of the images that are tried.
        truth: annotations of those, over the table of all.
        whole: detections of those.
        best: the best few detections of each image, of all images.
        engine: matches detections.
    """

    detections: DetectionColumns
    ground_truth: GroundTruthColumns
    images: IntArray
    truth: GroundTruthColumns
    whole: DetectionColumns
    best: DetectionColumns
    engine: Engine

    @classmethod
    def of(
        cls, detections: DetectionColumns, ground_truth: GroundTruthColumns, engine: Engine, max_images: int
    ) -> Trial:
        """Annotated images at equal distances, only the columns of boxes."""
        params = _SETTINGS.params(len(ground_truth.classes))
        found, truth = compatibility.select_columns(detections, ground_truth, _SETTINGS, params)
        annotated = np.unique(truth.image_index[~truth.labels.iscrowd])
        places = np.linspace(0, len(annotated) - 1, min(max_images, len(annotated))).round().astype(np.int64)
        images = annotated[places]
        rows = np.isin(truth.image_index, images)
        few = replace(truth, image_index=truth.image_index[rows], labels=truth.labels.take(rows))
        best = found.take(image_ranks(found) < _BEST_OF_IMAGE)
        return cls(found, truth, images, few, _only(found, images), best, engine)

    def compare(self, before: float, causes: Sequence[Cause]) -> list[Explanation]:
        """The causes whose undoing gains a lot, the largest gain first."""
        gained = [
            (cause, after - before) for cause in self._promising(causes) if (after := self._undone(cause))
        ]
        gained = [(cause, gain) for cause, gain in gained if _is_much(before, gain, cause)]
        # What is fitted to the annotations gains more than a named mistake does: it must be clearly better.
        gained.sort(key=lambda pair: -round(pair[1] * (0.9 if pair[0].learned else 1.0), 3))
        chosen: dict[str, Explanation] = {}
        for cause, gain in gained:
            if gain >= _COMPARED * gained[0][1] and not (chosen and cause.learned):
                evidence = f"AP {before:.3f} -> {before + gain:.3f} on {len(self.images)} images"
                explanation = Explanation(cause.name, cause.what_to_do, evidence, gain)
                chosen.setdefault(cause.family, explanation)
        return list(chosen.values())

    def lost(self, before: float, reference: DetectionColumns, reference_ap: float) -> list[Explanation]:
        """That the reference is much better, where it is."""
        gain = reference_ap - before
        if gain < LEAST_GAIN or reference_ap < LEAST_FACTOR * before:
            return []
        covered = Covered.of(self.detections, reference, self.images)
        kept_ap = self.ap(_only(covered.kept(reference), self.images))
        if kept_ap is not None and before >= _AS_GOOD * kept_ap and kept_ap < reference_ap - gain / 2:
            return [left_out(covered, self.truth, aps=(before, reference_ap, kept_ap))]
        params = _SETTINGS.params(len(self.truth.classes))
        aps = before, reference_ap
        lost = collapse(
            self.detections, reference, self.truth, self.images, self.engine, params=params, aps=aps
        )
        return [lost]

    def pair_up(self, causes: Sequence[Cause]) -> list[Cause]:
        """Mistakes in boxes that explain something if classes did not matter, with those in classes."""
        classes = [cause for cause in causes if cause.family == "classes"]
        boxes = [c for c in causes if c.family not in {"classes", *_UNCOVERED} and not c.across_images]
        few = _only(self.best, self.images)
        base = coverage(few, self.truth, by_class=False)
        covered = [coverage(c.undo(few, self.truth), self.truth, by_class=False) for c in boxes]
        best = sorted(range(len(boxes)), key=lambda i: -covered[i])[:_TRIALS]
        return [compose(boxes[i], one) for i in best if covered[i] > 1.2 * base for one in classes]

    def ap(self, detections: DetectionColumns) -> float | None:
        """AP of boxes on the images that are tried."""
        params = _SETTINGS.params(len(self.truth.classes))
        precision = self.engine.accumulate(self._match(detections), params).precision
        known = precision[precision > -1]
        return float(known.mean()) if len(known) else None

    def evidence(self) -> Evidence:
        """What symptoms are looked for in."""
        return Evidence(
            self.detections,
            self.ground_truth,
            self._match(self.whole),
            self.images,
            _SETTINGS.params(1).max_detections[-1],
        )

    def _match(self, detections: DetectionColumns) -> Matches:
        found, truth = take_images(detections, self.truth, self.images)
        return self.engine.match(found, truth, _SETTINGS.params(len(truth.classes)))

    def _undone(self, cause: Cause) -> float | None:
        # Detections that move may come from any image, not only from those that are tried.
        found = cause.undo(self.detections if cause.across_images else self.whole, self.truth)
        return self.ap(_only(found, self.images) if cause.across_images else found)

    def _promising(self, causes: Sequence[Cause]) -> Iterator[Cause]:
        """Of each family, the causes after whose undoing annotations are covered best, and better."""
        few = _only(self.best, self.images)
        base = coverage(few, self.truth)
        for family, group in groupby(causes, key=lambda cause: cause.family):
            members = list(group)
            if family in _UNCOVERED:
                yield from members
                continue
            covered = [self._covered(cause, few) for cause in members]
            order = sorted(range(len(members)), key=lambda i: -covered[i])
            yield from (members[i] for i in order[:_TRIALS] if covered[i] > base)

    def _covered(self, cause: Cause, few: DetectionColumns) -> float:
        found = cause.undo(self.best if cause.across_images else few, self.truth)
        return coverage(_only(found, self.images) if cause.across_images else found, self.truth)


_UNCOVERED = frozenset({"duplicates", "scores"})
"""Families that change how detections rank, not where they are."""


def _only(detections: DetectionColumns, images: IntArray) -> DetectionColumns:
    wanted = np.zeros(len(detections.images), np.bool_)
    wanted[images] = True
    return detections.take(wanted[detections.image_index])


def _is_much(before: float, gain: float, cause: Cause) -> bool:
    factor = LEAST_FACTOR_LEARNED if cause.learned else LEAST_FACTOR
    return gain >= LEAST_GAIN and before + gain >= factor * before
