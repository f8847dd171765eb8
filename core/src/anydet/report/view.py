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
from anydet.evaluation.image_outcomes import ImageOutcomes, find_outcomes
from anydet.evaluation.reading import join_inputs
from anydet.report import badges
from anydet.report.lettering import caption
from anydet.report.marks import (
    FAINT,
    Mark,
    font_warning,
    image_class,
    mark_labels,
    mark_predictions,
    pictured_name,
    regions_of,
)
from anydet.report.overlay import draw_scaled, shown_size
from anydet.report.sheet import Panel, contact_sheet, put_beside
from anydet.report.verdicts import FOUND, MISSED, legend, reason, verdict_on
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

_NAMED = 3
_BY = "by COCO's matching at IoU 0.5:"


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
        outcomes: what became of each detection and annotation, where the data set has labels.
        shown_rows: (N,) rows of the detections of ``outcomes`` that ``found`` has.
        worst: whether ``order`` begins with the worst.
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
    outcomes: ImageOutcomes | None
    shown_rows: IntArray
    states: tuple[str, ...]
    worst: bool = False
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
        """The image's key and counts: right, wrong, missed, F1 and the mistakes, where there are labels."""
        row = self.rows[shown]
        found = int(np.count_nonzero(self.found.image_index == row))
        counts: dict[str, str | int | float] = {"image": self.key(shown), "found": found}
        if self.outcomes is not None:
            counts["right"] = int(self.outcomes.right[row])
            counts["wrong"] = int(self.outcomes.wrong[row])
            counts["missed"] = int(self.outcomes.missed_per_image[row])
            counts["f1"] = round(float(self.outcomes.f1[row]), 4)
            counts["mistakes"] = reason(self.outcomes, row)
        return counts

    def panels(self, shown: int, longest_px: int | None = None) -> list[Panel]:
        """Ground truth, where there are labels, and predictions, under captions.

        With labels, both are marked: what is right, wrong and missed.

        Args:
            shown: place in ``order``.
            longest_px: longer side of a panel; by default the image's own, small ones enlarged.

        Raises:
            ImageError: the image cannot be read.
        """
        record, found = self.dataset[self.order[shown]], self.predictions(shown)
        image, row = record.image(), self.rows[shown]
        size_wh = shown_size((image.shape[1], image.shape[0]), longest_px)
        camera = found.intrinsics or record.intrinsics or self.camera
        found, regions = replace(found, intrinsics=camera), regions_of(found, self.classes)
        whole = image_class(found, self.classes)
        text = "; ".join(filter(None, [whole, f"{len(found)} predicted"]))
        if self.outcomes is None:
            _, marks = self.marks(shown, found, (image.shape[0], image.shape[1]))
            return [Panel(draw_scaled(image, marks, size_wh, regions), text)]
        truth, marks = self.marks(shown, found, (image.shape[0], image.shape[1]))
        count = int(np.count_nonzero(self.outcomes.ground_truth.image_index == row))
        return [
            Panel(draw_scaled(image, truth, size_wh), f"{count} in the ground truth"),
            Panel(draw_scaled(image, marks, size_wh, regions), text, legend(self.outcomes, row), _BY),
        ]

    def marks(
        self, shown: int, found: ImagePredictions, size_hw: tuple[int, int]
    ) -> tuple[list[Mark], list[Mark]]:
        """What is drawn of the ground truth, and of predictions with what they miss.

        Args:
            shown: place in ``order``.
            found: its predictions.
            size_hw: of the image.
        """
        if self.outcomes is None:
            return [], mark_predictions(found, self.classes, self.states)
        here = np.flatnonzero(self.outcomes.ground_truth.image_index == self.rows[shown])
        labels, missed = self.outcomes.ground_truth.labels.take(here), self.outcomes.missed[here]
        verdicts = [MISSED if one else FOUND for one in missed.tolist()]
        camera = found.intrinsics
        truth = mark_labels(labels, self.classes, size_hw, self.states, camera, verdicts=verdicts)
        # Beside predictions a sign does for what was missed, as the ground truth has its name, mask and pose.
        lost = [
            replace(mark, text="", short="", mask=None, keypoints=None, axes_px=None)
            for mark in truth
            if mark.badge == badges.MISSED
        ]
        rows = self.shown_rows[self.found.image_index == self.rows[shown]]
        marks = mark_predictions(
            found, self.classes, self.states, [verdict_on(self.outcomes, row) for row in rows.tolist()]
        )
        # Tags of what is on top choose first, and those of what does not count come last.
        return truth, sorted([*lost, *marks], key=lambda mark: mark.line != FAINT)

    def overlay(self, shown: int) -> ByteImage:
        """One picture of the image: ground truth, if any, beside predictions."""
        return self._titled(shown, put_beside(self.panels(shown)))

    def _titled(self, shown: int, picture: ByteImage) -> ByteImage:
        """The picture under the image's key and, of the worst ones, why it is among them."""
        if self.worst and self.outcomes is not None:
            row = self.rows[shown]
            why = reason(self.outcomes, row, pictured_name) or "no mistakes"
            picture = caption(
                picture, f"no. {shown + 1} from the worst, F1 {self.outcomes.f1[row]:.2f}: {why}"
            )
        return caption(picture, self.key(shown))

    def sheet(self, places: Sequence[int], columns: int, longest_px: int = 400) -> ByteImage:
        """A contact sheet of the images shown at some places."""
        cells = [
            self._titled(shown, put_beside(self.panels(shown, longest_px), gap_px=2)) for shown in places
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
        worst: lowest F1 at IoU 0.5 first (``evaluation.image_outcomes``).
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
    outcomes, classes, warnings = None, dataset.classes, tuple[str, ...]()
    named = tuple(states) or _states(raw)
    if labeled:
        inputs = join_inputs(dataset, raw, box_format=box_format)
        columns, classes, warnings = inputs.detections, inputs.ground_truth.classes, inputs.warnings
        named = named or inputs.ground_truth.state_names
        outcomes = find_outcomes(columns, inputs.ground_truth, score_threshold=score_threshold)
        # Images that the file does not mention are not shown.
        order = np.unique(places)
        if worst:
            ranked = outcomes.worst_first()
            order = ranked[np.isin(ranked, order)]
        rows = order
    else:
        columns = raw.columns(box_format, sizes_wh=_sizes(raw, [dataset[i] for i in places.tolist()]))
        classes = classes or (None if raw.classes is None else ClassTable(raw.classes))
        rows = np.argsort(places, kind="stable")
        order = places[rows]
    shown_rows = np.flatnonzero(columns.scores >= score_threshold)
    scenes = Scenes(
        dataset,
        tuple(order[:max_images].tolist()),
        columns.take(shown_rows),
        tuple(rows[:max_images].tolist()),
        {int(places[i]): details for i, details in raw.details.items()},
        classes,
        outcomes,
        shown_rows,
        named,
        worst,
        camera,
    )
    fonts = filter(None, [font_warning(classes)])
    return replace(scenes, warnings=(*warnings, *_camera_warnings(scenes), *fonts))


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
