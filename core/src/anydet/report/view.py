"""Predictions of a file laid over their images, for looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anydet.contract.columns import to_images
from anydet.contract.join import join_keys
from anydet.contract.load import load
from anydet.contract.raw import RawPredictions
from anydet.contract.source import open_source
from anydet.data.dataset import Dataset
from anydet.data.record import Record
from anydet.errors import OptionError
from anydet.evaluation.image_scores import ImageScores, score_images
from anydet.evaluation.inputs import read_inputs
from anydet.report.overlay import Mark, caption, contact_sheet, draw_scaled, mark_labels, mark_predictions
from anydet.types import ByteImage, ClassTable, DetectionColumns, ImagePredictions, Intrinsics

SMALLEST_PX = 480
"""Longer side below which overlays are enlarged, so that tags leave something to see."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """Images with their predictions, in the order in which they are shown.

    Attributes:
        dataset: where images and labels come from.
        order: positions in ``dataset``.
        found: detections at or above the score threshold.
        rows: image index of ``found`` for each position of ``order``.
        cameras: intrinsics that the predictions state, by position in ``dataset``.
        classes: names, or ``None``.
        scores: per image of ``found``, where the data set has labels.
        states: names of states.
    """

    dataset: Dataset
    order: tuple[int, ...]
    found: DetectionColumns
    rows: tuple[int, ...]
    cameras: dict[int, Intrinsics]
    classes: ClassTable | None
    scores: ImageScores | None
    states: tuple[str, ...]

    def predictions(self, shown: int) -> ImagePredictions:
        """The detections of the image shown at a place."""
        at, row = self.order[shown], self.rows[shown]
        part = self.found.take(self.found.image_index == row)
        key, size = self.dataset.keys[at], self.found.sizes_wh[row : row + 1]
        part = replace(part, images=(key,), sizes_wh=size, image_index=np.zeros(len(part), np.int64))
        (image,) = to_images(part)
        return replace(image, intrinsics=self.cameras.get(at))

    def summary(self, shown: int) -> dict[str, str | int | float]:
        """The image's key and counts: right, wrong, missed and F1 where there are labels."""
        row = self.rows[shown]
        found = int(np.count_nonzero(self.found.image_index == row))
        counts: dict[str, str | int | float] = {"image": self.dataset.keys[self.order[shown]], "found": found}
        if self.scores is not None:
            for name in ("right", "wrong", "missed"):
                counts[name] = int(getattr(self.scores, name)[row])
            counts["f1"] = round(float(self.scores.f1[row]), 4)
        return counts

    def panels(self, shown: int, longest_px: int | None = None) -> list[ByteImage]:
        """Ground truth, where there are labels, and predictions, under captions.

        Args:
            shown: place in ``order``.
            longest_px: longer side of a panel; by default the image's own, small ones enlarged.
        """
        record, found = self.dataset[self.order[shown]], self.predictions(shown)
        image = record.image()
        camera = found.intrinsics or record.intrinsics
        counts = self.summary(shown)
        marks = mark_predictions(replace(found, intrinsics=camera), self.classes, self.states)
        panels = [_panel(image, marks, f"{len(found)} predicted" + _counts(counts), longest_px)]
        if record.labels is not None:
            truth = mark_labels(record.labels, self.classes, image.shape[:2], self.states, camera)
            panels.insert(0, _panel(image, truth, f"{len(record.labels)} in the ground truth", longest_px))
        return panels

    def overlay(self, shown: int) -> ByteImage:
        """One picture of the image: ground truth, if any, beside predictions."""
        panels = self.panels(shown)
        return caption(contact_sheet(panels, len(panels)), self.dataset.keys[self.order[shown]])

    def sheet(self, places: Sequence[int], columns: int, longest_px: int = 400) -> ByteImage:
        """A contact sheet of the images shown at some places."""
        cells = []
        for shown in places:
            panels = self.panels(shown, longest_px)
            cell = contact_sheet(panels, len(panels), gap_px=2)
            cells.append(caption(cell, self.dataset.keys[self.order[shown]]))
        return contact_sheet(cells, columns)


def open_scenes(
    path: Path,
    dataset: Dataset,
    *,
    score_threshold: float = 0.3,
    worst: bool = False,
    max_images: int | None = None,
    states: Sequence[str] = (),
) -> Scenes:
    """A predictions file over the images of a data set; no image is decoded yet.

    Args:
        path: a file of the contract, or COCO results with a data set that has image ids.
        dataset: whose images they are; with labels, both are compared.
        score_threshold: lowest score that is shown and counted.
        worst: lowest F1 at IoU 0.5 first (``evaluation.image_scores``).
        max_images: only the first so many in that order.
        states: names of states.

    Raises:
        ContractError: the file breaks the contract, or names images that the data set does not have.
        OptionError: ``worst`` without labels.
    """
    labelled = dataset.source != "none"
    if worst and not labelled:
        raise OptionError(
            f"{dataset.root}: has no labels, so no image is the worst",
            fix="give --dataset a labelled data set",
        )
    raw = None if labelled and open_source(path).shape == "coco" else load(path)
    places = np.zeros(0, np.int64) if raw is None else join_keys(raw.images, dataset.keys, source=raw.path)
    scores, classes = None, dataset.classes
    if labelled:
        inputs = read_inputs(dataset, path)
        columns, classes = inputs.detections, inputs.ground_truth.classes
        scores = score_images(columns, inputs.ground_truth, score_threshold=score_threshold)
        order = np.unique(columns.image_index if raw is None else places)
        order = scores.worst_first()[np.isin(scores.worst_first(), order)] if worst else order
        rows = order
    else:
        assert raw is not None
        columns = raw.columns(sizes_wh=_sizes(raw, [dataset[i] for i in places.tolist()]))
        classes = classes or (None if raw.classes is None else ClassTable(raw.classes))
        rows = np.argsort(places, kind="stable")
        order = places[rows]
    cameras = {
        int(places[i]): details.intrinsics
        for i, details in (raw.details.items() if raw else ())
        if details.intrinsics is not None
    }
    return Scenes(
        dataset,
        tuple(order[:max_images].tolist()),
        columns.take(columns.scores >= score_threshold),
        tuple(rows[:max_images].tolist()),
        cameras,
        classes,
        scores,
        tuple(states),
    )


def _sizes(raw: RawPredictions, records: Sequence[Record]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(I, 2) sizes as the file states them, else of the images."""
    sizes = np.array(raw.sizes_wh, np.int64).reshape(-1, 2)
    for i in np.flatnonzero((sizes <= 0).any(axis=1)).tolist():
        sizes[i] = records[i].size_wh
    return sizes


def _panel(image: ByteImage, marks: Sequence[Mark], text: str, longest_px: int | None) -> ByteImage:
    height, width = image.shape[:2]
    scale = (longest_px or max(SMALLEST_PX, width, height)) / max(width, height)
    return caption(
        draw_scaled(image, marks, (max(1, round(width * scale)), max(1, round(height * scale)))), text
    )


def _counts(counts: dict[str, str | int | float]) -> str:
    if "f1" not in counts:
        return ""
    return f": {counts['right']} right, {counts['wrong']} wrong, {counts['missed']} missed"
