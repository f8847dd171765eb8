"""Predictions of a file laid over their images, for looking at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anydet.contract.columns import to_images
from anydet.contract.join import join_keys
from anydet.contract.raw import ImageDetails, RawPredictions
from anydet.contract.reading.load import load, meta_of
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.evaluation.image_scores import ImageScores, score_images
from anydet.evaluation.reading import join_inputs
from anydet.report.lettering import caption
from anydet.report.marks import Mark, Region, image_class, mark_labels, mark_predictions, regions_of
from anydet.report.overlay import draw_scaled
from anydet.report.sheet import Panel, contact_sheet, put_beside
from anydet.text import listed
from anydet.types import (
    ByteImage,
    ClassTable,
    DetectionColumns,
    ImagePredictions,
    IntArray,
    Intrinsics,
    Poses,
)

SMALLEST_PX = 480
"""Longer side below which overlays are enlarged, so that tags leave something to see."""
_NAMED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """Images with their predictions, in the order in which they are shown.

    Attributes:
        dataset: where images and labels come from.
        order: positions in ``dataset``.
        found: detections at or above the score threshold.
        rows: image index of ``found`` for each position of ``order``.
        details: what the file says of images beside detections, by position in ``dataset``.
        classes: names, or ``None``.
        scores: per image of ``found``, where the data set has labels.
        states: names of states.
        camera: of images whose own camera nobody states, or ``None``.
        warnings: what a person should know of the input.
    """

    dataset: Dataset
    order: tuple[int, ...]
    found: DetectionColumns
    rows: tuple[int, ...]
    details: Mapping[int, ImageDetails]
    classes: ClassTable | None
    scores: ImageScores | None
    states: tuple[str, ...]
    camera: Intrinsics | None = None
    warnings: tuple[str, ...] = ()

    def key(self, shown: int) -> str:
        """The key of the image shown at a place."""
        return self.dataset.keys[self.order[shown]]

    def predictions(self, shown: int) -> ImagePredictions:
        """The detections of the image shown at a place, and what the file says of it beside them."""
        at, row = self.order[shown], self.rows[shown]
        rows = self.found.take(self.found.image_index == row)
        size = self.found.sizes_wh[row : row + 1]
        rows = replace(
            rows, images=(self.key(shown),), sizes_wh=size, image_index=np.zeros(len(rows), np.int64)
        )
        (image,) = to_images(rows)
        details = self.details.get(at, ImageDetails())
        return replace(
            image,
            intrinsics=details.intrinsics,
            classification=details.classification,
            semantic_mask=details.semantic_mask,
        )

    def summary(self, shown: int) -> dict[str, str | int | float]:
        """The image's key and counts: right, wrong, missed and F1 where there are labels."""
        row = self.rows[shown]
        found = int(np.count_nonzero(self.found.image_index == row))
        counts: dict[str, str | int | float] = {"image": self.key(shown), "found": found}
        if self.scores is not None:
            for name in ("right", "wrong", "missed"):
                counts[name] = int(getattr(self.scores, name)[row])
            counts["f1"] = round(float(self.scores.f1[row]), 4)
        return counts

    def panels(self, shown: int, longest_px: int | None = None) -> list[Panel]:
        """Ground truth, where there are labels, and predictions, under captions.

        Args:
            shown: place in ``order``.
            longest_px: longer side of a panel; by default the image's own, small ones enlarged.

        Raises:
            ImageError: the image cannot be read.
        """
        record, found = self.dataset[self.order[shown]], self.predictions(shown)
        image = record.image()
        camera = found.intrinsics or record.intrinsics or self.camera
        marks = mark_predictions(replace(found, intrinsics=camera), self.classes, self.states)
        text = f"{len(found)} predicted" + _counts(self.summary(shown))
        whole = image_class(found, self.classes)
        text = f"{whole}; {text}" if whole else text
        panels = [_panel(image, marks, regions_of(found, self.classes), text, longest_px)]
        if record.labels is not None:
            truth = mark_labels(record.labels, self.classes, image.shape[:2], self.states, camera)
            text = f"{len(record.labels)} in the ground truth"
            panels.insert(0, _panel(image, truth, [], text, longest_px))
        return panels

    def overlay(self, shown: int) -> ByteImage:
        """One picture of the image: ground truth, if any, beside predictions."""
        return caption(put_beside(self.panels(shown)), self.key(shown))

    def sheet(self, places: Sequence[int], columns: int, longest_px: int = 400) -> ByteImage:
        """A contact sheet of the images shown at some places."""
        cells = [
            caption(put_beside(self.panels(shown, longest_px), gap_px=2), self.key(shown)) for shown in places
        ]
        return contact_sheet(cells, columns)


def open_scenes(
    path: Path,
    dataset: Dataset,
    *,
    box_format: str | None = None,
    score_threshold: float = 0.3,
    worst: bool = False,
    max_images: int | None = None,
    states: Sequence[str] = (),
    camera: Intrinsics | None = None,
) -> Scenes:
    """A predictions file over the images of a data set; no image is decoded yet.

    Args:
        path: a file of the contract, or COCO results with a data set that has image ids.
        dataset: whose images they are; with labels, both are compared.
        box_format: what the file's boxes are in; by default what the file states, else ``cxcywh_norm``.
        score_threshold: lowest score that is shown and counted.
        worst: lowest F1 at IoU 0.5 first (``evaluation.image_scores``).
        max_images: only the first so many in that order.
        states: names of states; by default those of ``meta.states``, else the data set's.
        camera: for poses of images whose intrinsics neither the file nor the data set states.

    Raises:
        ContractError: the file breaks the contract, or names images that the data set does not have.
        OptionError: ``worst`` without labels.
    """
    labeled = dataset.source != "none"
    if worst and not labeled:
        raise OptionError(
            f"{dataset.root}: has no labels, which --worst needs",
            fix="give --dataset a labeled data set",
        )
    raw = load(path, truth=dataset.ground_truth if labeled else None)
    places = join_keys(raw.images, dataset.keys, source=raw.path)
    scores, classes, warnings = None, dataset.classes, tuple[str, ...]()
    named = tuple(states) or _states(raw)
    if labeled:
        inputs = join_inputs(dataset, raw, box_format=box_format)
        columns, classes, warnings = inputs.detections, inputs.ground_truth.classes, inputs.warnings
        named = named or inputs.ground_truth.state_names
        scores = score_images(columns, inputs.ground_truth, score_threshold=score_threshold)
        # Images that the file does not mention are not shown.
        order = np.unique(places)
        order = scores.worst_first()[np.isin(scores.worst_first(), order)] if worst else order
        rows = order
    else:
        columns = raw.columns(box_format, sizes_wh=_sizes(raw, [dataset[i] for i in places.tolist()]))
        classes = classes or (None if raw.classes is None else ClassTable(raw.classes))
        rows = np.argsort(places, kind="stable")
        order = places[rows]
    scenes = Scenes(
        dataset,
        tuple(order[:max_images].tolist()),
        columns.take(columns.scores >= score_threshold),
        tuple(rows[:max_images].tolist()),
        {int(places[i]): details for i, details in raw.details.items()},
        classes,
        scores,
        named,
        camera,
    )
    return replace(scenes, warnings=(*warnings, *_camera_warnings(scenes)))


def dataset_of(path: Path) -> tuple[str, str | None] | None:
    """Root and split of the data set that a file's ``meta`` names; ``None`` where it names none."""
    stated = meta_of(path).get("dataset", {})
    return (stated["root"], stated.get("split")) if stated.get("root") else None


def _states(raw: RawPredictions) -> tuple[str, ...]:
    return tuple((raw.meta or {}).get("states", ()))


def _camera_warnings(scenes: Scenes) -> list[str]:
    """The shown images whose poses cannot be drawn, as nobody states a camera."""
    if scenes.camera is not None or scenes.found.poses is None:
        return []
    posed = np.unique(scenes.found.image_index[_has_pose(scenes.found.poses, len(scenes.found))])
    blind = [
        scenes.key(shown)
        for shown in np.flatnonzero(np.isin(scenes.rows, posed)).tolist()
        if scenes.details.get(scenes.order[shown], ImageDetails()).intrinsics is None
        and scenes.dataset[scenes.order[shown]].intrinsics is None
    ]
    if not blind:
        return []
    first = listed(blind, _NAMED, quotes=False)
    return [
        f"{len(blind)} images have poses but no intrinsics ({first}), so that no axes are drawn; "
        "pass --intrinsics FX,FY,CX,CY, or write intrinsics into the entries or the data set"
    ]


def _has_pose(poses: Poses, count: int) -> IntArray:
    """(P,) rows with a rotation."""
    known = [c.reshape(count, -1) for c in (poses.rot6d, poses.rotations) if c is not None]
    return (
        np.flatnonzero(np.any([np.isfinite(c).all(axis=1) for c in known], axis=0))
        if known
        else np.zeros(0, np.int64)
    )


def _sizes(raw: RawPredictions, records: Sequence[Record]) -> IntArray:
    """(I, 2) sizes as the file states them, else of the images."""
    sizes = np.array(raw.sizes_wh, np.int64).reshape(-1, 2)
    for i in np.flatnonzero((sizes <= 0).any(axis=1)).tolist():
        sizes[i] = records[i].size_wh
    return sizes


def _panel(
    image: ByteImage, marks: Sequence[Mark], regions: Sequence[Region], text: str, longest_px: int | None
) -> Panel:
    height, width = image.shape[:2]
    scale = (longest_px or max(SMALLEST_PX, width, height)) / max(width, height)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    return Panel(draw_scaled(image, marks, size_wh, regions), text)


def _counts(counts: dict[str, str | int | float]) -> str:
    if "f1" not in counts:
        return ""
    return f": {counts['right']} right, {counts['wrong']} wrong, {counts['missed']} missed"
