"""A data set and a predictions file, read and laid over each other, ready for any evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.coco_results import coco_ids, load_coco_results
from anydet.contract.load import load
from anydet.contract.raw import RawPredictions
from anydet.contract.source import open_source
from anydet.data.dataset import Dataset, open_dataset
from anydet.errors import EvaluationError
from anydet.evaluation.align import Aligned, align
from anydet.types import DetectionColumns, GroundTruthColumns

_FRACTION = 2.0
"""A box with a number above this is hardly one in fractions of its image."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What evaluators take, and where it came from.

    Attributes:
        detections: over ``ground_truth.images``.
        ground_truth: of the images that are evaluated.
        context: data set, split, limits and counts, for the protocol of results.
        warnings: what lowers the numbers without being an error.
    """

    detections: DetectionColumns
    ground_truth: GroundTruthColumns
    context: Mapping[str, Any]
    warnings: tuple[str, ...]


def read_inputs(
    dataset: Dataset | Path | str,
    predictions: Path | str,
    *,
    box_format: str | None = None,
    split: str | None = None,
    max_images: int | None = None,
) -> Inputs:
    """Read both sides and join images and classes; no image file is opened where sizes are stated.

    Args:
        dataset: an open data set, or its path; a COCO annotations file will do.
        predictions: a file of the contract, or COCO results (whose boxes are always ``xywh_abs``).
        box_format: what the file's boxes are in; by default what the file says, else ``cxcywh_norm``.
        split: the split, where ``dataset`` is a path.
        max_images: only the first so many images of the data set, on both sides.

    Raises:
        DatasetError: the data set cannot be read.
        ContractError: the predictions break the contract or name images that the data set does not have.
        EvaluationError: the two do not fit each other.
    """
    opened = open_dataset(dataset, split) if isinstance(dataset, str | Path) else dataset
    if opened.source == "none":
        raise EvaluationError(
            f"{opened.root}: no annotations to evaluate against", fix="give --dataset a labelled data set"
        )
    path = Path(predictions)
    raw = _load(path, opened)
    used = raw.box_format if box_format is None or raw.shape == "coco" else box_format
    aligned = align(
        raw,
        opened.ground_truth(max_images),
        opened.keys,
        box_format=used,
        named_classes=opened.classes is not None,
    )
    context = {
        "dataset": str(opened.root),
        "split": opened.split,
        "max_images": max_images,
        "predictions": str(path),
        "box_format": used,
        "images_without_predictions": len(aligned.missing),
        "predicted_images_left_out": aligned.surplus,
    }
    warnings = (*_format_warnings(raw, box_format), *_coverage_warnings(aligned, path))
    return Inputs(aligned.detections, aligned.ground_truth, context, warnings)


def _load(path: Path, dataset: Dataset) -> RawPredictions:
    """Predictions of any shape; those of COCO results are joined through the data set's own ids."""
    if open_source(path).shape != "coco":
        return load(path)
    return load_coco_results(path, *coco_ids(dataset.ground_truth()))


def _format_warnings(raw: RawPredictions, asked: str | None) -> Iterator[str]:
    conventions = (raw.meta or {}).get("conventions", {})
    used = raw.box_format if asked is None or raw.shape == "coco" else asked
    if used == "cxcywh_norm" and len(raw) and np.median(np.abs(raw.boxes).max(axis=1)) > _FRACTION:
        yield (
            f"{raw.path}: boxes are read as fractions of the image (cxcywh_norm), but most of them look like "
            "pixels; say --bbox-format xyxy_abs, xywh_abs or cxcywh_abs"
        )
    if asked in (None, raw.box_format):
        return
    if raw.shape == "coco":
        yield f"{raw.path}: boxes of COCO results are {raw.box_format}; {asked} was not used"
    elif "bbox_format" in conventions:
        yield f"{raw.path} says that its boxes are {raw.box_format}; they are read as {asked}, as asked"


def _coverage_warnings(aligned: Aligned, path: Path) -> Iterator[str]:
    missing = aligned.missing
    if missing:
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        yield (
            f"{path} does not mention {len(missing)} of the images ({first}); "
            "they count as images without detections, which lowers AP"
        )
    if not len(aligned.ground_truth):
        yield "the images have no annotations at all: there is nothing to measure on"
