"""A data set and a predictions file, read and laid over each other, ready for any evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.raw import RawPredictions
from anydet.contract.reading.load import load
from anydet.contract.reading.shards import PredictionPaths, prediction_files
from anydet.data.dataset.image_subset import take_images
from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.align import Aligned, align, named
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.scanner import Scanner
from anydet.text import as_given, listed
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
    scanner: Scanner | None = None,
    class_map: str | None = None,
) -> Inputs:
    """Read both sides and join images and classes; no image file is opened where sizes are stated.

    Args:
        dataset: an open data set, or its path; a COCO annotations file will do.
        predictions: a file of the contract, COCO results, or a file of another tool.
        box_format: what the file's boxes are in; by default what the file states, else ``xywh_abs`` of COCO
            results and ``cxcywh_norm``.
        split: the split, where ``dataset`` is a path.
        max_images: only the first so many images of the data set, on both sides.
        scanner: reads JSON files faster, with the same result.
        class_map: how numbers of classes count: one of ``class_map.CLASS_MAPS``, or a JSON or YAML file.

    Raises:
        DatasetError: the data set cannot be read.
        ContractError: the predictions break the contract or name images that the data set does not have.
        EvaluationError: the two do not fit each other.
    """
    opened = _open(dataset, split, scanner)
    raw = load(predictions, scanner, opened.ground_truth, class_map)
    return join_inputs(opened, raw, box_format=box_format, max_images=max_images)


def join_inputs(
    dataset: Dataset, raw: RawPredictions, *, box_format: str | None = None, max_images: int | None = None
) -> Inputs:
    """As ``read_inputs``, of a data set and a file that are read already."""
    return _join(dataset, dataset.ground_truth(max_images), raw, box_format, max_images)[0]


def read_shards(
    dataset: Dataset | Path | str,
    predictions: PredictionPaths,
    *,
    box_format: str | None = None,
    split: str | None = None,
    max_images: int | None = None,
    scanner: Scanner | None = None,
    class_map: str | None = None,
    refuse_odd: bool = False,
) -> Iterator[Inputs]:
    """As ``read_inputs``, for predictions in several files; memory holds one of them at a time.

    Each shard has the images that its file mentions; a last one has those that no file does. ``refuse_odd``
    is as for ``load``.

    Raises:
        AnydetError: as ``read_inputs``; ``EvaluationError`` where two files mention one image.
    """
    opened = _open(dataset, split, scanner)
    paths = prediction_files(predictions)
    truth = opened.ground_truth(max_images)
    if len(paths) == 1:
        raw = load(paths[0], scanner, opened.ground_truth, class_map, refuse_odd=refuse_odd)
        yield _join(opened, truth, raw, box_format, max_images)[0]
        return
    # Which file mentions an image, so that an image in two files is an error that names both.
    owner = np.full(len(truth.images), -1, np.int64)
    for number, path in enumerate(paths):
        raw = load(path, scanner, opened.ground_truth, class_map, refuse_odd=refuse_odd)
        inputs, aligned = _join(opened, truth, raw, box_format, max_images, shard=True)
        for image in np.flatnonzero(aligned.mentioned & (owner >= 0))[:1].tolist():
            raise EvaluationError(
                f"image {truth.images[image]!r} is in {paths[owner[image]]} and in {path}",
                fix="give files with disjoint images",
            )
        owner[aligned.mentioned] = number
        found, labeled = take_images(
            inputs.detections, inputs.ground_truth, np.flatnonzero(aligned.mentioned)
        )
        yield replace(inputs, detections=found, ground_truth=labeled)
    # Which images no file mentions is known when all are read; they count, without detections.
    last, aligned = inputs, replace(aligned, missing=named(truth.images, owner < 0))
    found, labeled = take_images(
        last.detections.take(np.zeros(0, np.int64)), last.ground_truth, np.flatnonzero(owner < 0)
    )
    context = {**last.context, "predictions": as_given(", ".join(map(str, paths)))}
    context["images_without_predictions"] = len(aligned.missing)
    yield Inputs(found, labeled, context, tuple(_coverage_warnings(aligned, "the files do")))


def _open(dataset: Dataset | Path | str, split: str | None, scanner: Scanner | None) -> Dataset:
    if isinstance(dataset, str | Path):
        formats = installed_formats(Plugins.from_env())
        opened = open_dataset(dataset, split, formats=formats, scanner=scanner)
    else:
        opened = dataset
    require_labels(opened)
    return opened


def require_labels(dataset: Dataset) -> None:
    """Raise ``EvaluationError`` for a data set without annotations."""
    if dataset.source == "none":
        unread = getattr(dataset, "oddities", ())
        raise EvaluationError(
            f"{dataset.root}: no annotations to evaluate against",
            details=tuple(map(str, unread)),
            fix=unread[0].fix if unread else "give --dataset a labeled data set",
        )


def _join(
    dataset: Dataset,
    truth: GroundTruthColumns,
    raw: RawPredictions,
    box_format: str | None,
    max_images: int | None,
    *,
    shard: bool = False,
) -> tuple[Inputs, Aligned]:
    used = raw.format_used(box_format)
    aligned = align(raw, truth, dataset.keys, box_format=used, named_classes=dataset.classes is not None)
    context = {
        "dataset": as_given(str(dataset.root)),
        "split": dataset.split,
        "max_images": max_images,
        "predictions": as_given(raw.path),
        "box_format": used,
        "images_without_predictions": len(aligned.missing),
        "predicted_images_left_out": aligned.surplus,
    }
    if raw.areas is not None:
        context["detection_area"] = "box where a result states one, else mask, as in pycocotools"
    warnings = [*raw.notes, *_format_warnings(raw, box_format)]
    if not shard:
        warnings += _coverage_warnings(aligned, f"{raw.path} does")
    return Inputs(aligned.detections, aligned.ground_truth, context, tuple(warnings)), aligned


def _format_warnings(raw: RawPredictions, box_format: str | None) -> Iterator[str]:
    conventions = (raw.meta or {}).get("conventions", {})
    used = raw.format_used(box_format)
    # The median, because single boxes may be far outside their image and still be fractions.
    if used == "cxcywh_norm" and len(raw) and np.median(np.abs(raw.boxes).max(axis=1)) > _FRACTION:
        yield (
            f"{raw.path}: boxes are read as fractions of the image (cxcywh_norm), but most of them look like "
            "pixels; pass --bbox-format xyxy_abs, xywh_abs or cxcywh_abs"
        )
    if box_format in (None, raw.box_format):
        return
    if raw.shape == "coco":
        yield f"{raw.path}: COCO results have {raw.box_format} boxes; they are read as {box_format}, as given"
    elif "bbox_format" in conventions:
        yield f"{raw.path} states {raw.box_format} boxes; they are read as {box_format}, the format given"


def _coverage_warnings(aligned: Aligned, who: str) -> Iterator[str]:
    missing = aligned.missing
    if missing:
        first = listed(missing, 3, quotes=False)
        yield (
            f"{who} not mention {len(missing)} of the images ({first}); "
            "they count as images without detections, which lowers AP"
        )
    ids = aligned.ground_truth.labels.annotation_ids
    if ids is not None and (ids == 0).any():
        yield (
            "an annotation has id 0: pycocotools takes a match to it for a false positive, here it counts "
            "as a match ('anydet eval-coco --pycocotools-quirks' does as pycocotools does)"
        )
    if not len(aligned.ground_truth):
        yield "the images have no annotations at all: there is nothing to measure on"
