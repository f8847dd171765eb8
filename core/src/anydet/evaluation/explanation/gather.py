"""Columns remembered on their way to an evaluator, so that a low AP can be explained afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from typing import TYPE_CHECKING

import numpy as np

from anydet.columns import concatenate
from anydet.data.dataset.image_subset import take_images
from anydet.dataclass import dataclass
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.reading import Inputs
from anydet.types import DetectionColumns, GroundTruthColumns

if TYPE_CHECKING:
    from anydet.evaluation.explanation.cause import Diagnosis

MOST_DETECTIONS = 1_000_000
"""Detections that are looked at."""


@dataclass(slots=True)
class Gathered:
    """The first shards, with boxes alone."""

    _found: list[DetectionColumns] = field(default_factory=list)
    _truth: list[GroundTruthColumns] = field(default_factory=list)
    _box_format: str | None = None

    def watch(self, shards: Iterable[Inputs]) -> Iterator[Inputs]:
        """The same shards, remembered on the way."""
        for shard in shards:
            self._remember(shard)
            yield shard

    @property
    def counts(self) -> tuple[int, int]:
        """How many detections and annotations are remembered."""
        return sum(map(len, self._found)), sum(map(len, self._truth))

    def explain(self, engine: Engine, *, reference: Gathered | None = None, **options: int) -> Diagnosis:
        """What explains a low AP of the shards seen.

        Args:
            engine: matches detections.
            reference: what the model that this one was made of predicts, of the same data set.
            options: those of ``explain.explain``.
        """
        from anydet.evaluation.explanation.cause import Diagnosis
        from anydet.evaluation.explanation.explain import explain  # its causes are needed only here

        if not self._truth:
            return Diagnosis(None, 0, 0, 0, ())
        found, truth = _first_images(*joined(self._found, self._truth))
        beside = None
        if reference is not None and reference._truth:
            from anydet.evaluation.explanation.reference import over_images_of

            beside = over_images_of(*joined(reference._found, reference._truth), truth)
        return explain(found, truth, engine, box_format=self._box_format, reference=beside, **options)

    def _remember(self, shard: Inputs) -> None:
        """Keep the first shard as it is, and others as long as there is room; nothing is copied."""
        if not self._found or sum(map(len, self._found)) + len(shard.detections) <= MOST_DETECTIONS:
            found, truth = _boxes_only(shard.detections, shard.ground_truth)
            self._found.append(found)
            self._truth.append(truth)
        self._box_format = shard.context.get("box_format")


def _first_images(
    found: DetectionColumns, truth: GroundTruthColumns
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """As many images as there is room for."""
    if len(found) <= MOST_DETECTIONS:
        return found, truth
    counts = np.bincount(found.image_index, minlength=len(truth.images))
    images = int(np.searchsorted(np.cumsum(counts), MOST_DETECTIONS, side="right"))
    return take_images(found, truth, np.arange(images))


def joined(
    found: list[DetectionColumns], truth: list[GroundTruthColumns]
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """One table of all images, by their ids in the source where it has them, else by key."""
    if len(truth) == 1:
        return found[0], truth[0]
    starts = np.cumsum([0, *(len(shard.images) for shard in truth)]).tolist()
    images = tuple(image for shard in truth for image in shard.images)
    sizes = np.concatenate([shard.sizes_wh for shard in truth])
    moved = [replace(f, image_index=f.image_index + s) for f, s in zip(found, starts[:-1], strict=True)]
    index = np.concatenate([t.image_index + s for t, s in zip(truth, starts[:-1], strict=True)])
    labels = concatenate([shard.labels for shard in truth])
    ids = [shard.image_ids for shard in truth if shard.image_ids is not None]
    # The order of the data set, so that explanations do not depend on how images are split into files.
    order = np.argsort(np.concatenate(ids) if len(ids) == len(truth) else np.array(images), kind="stable")
    return take_images(
        replace(concatenate(moved), images=images, sizes_wh=sizes),
        replace(truth[0], images=images, sizes_wh=sizes, image_index=index, labels=labels, image_ids=None),
        order,
    )


def _boxes_only(
    detections: DetectionColumns, truth: GroundTruthColumns
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Without the columns that take most memory."""
    labels = replace(truth.labels, segmentations=None, keypoints=None, poses=None)
    found = replace(
        detections, masks=None, keypoints=None, keypoint_visibility=None, poses=None, state_scores=None
    )
    return found, replace(truth, labels=labels)
