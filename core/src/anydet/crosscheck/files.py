"""Parity of two predictions files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from anydet.arguments import require_choice
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.load import load
from anydet.crosscheck.joining import Joined, join_files, require_same_images
from anydet.crosscheck.parity import Parity, ParitySettings, compare, leave_out
from anydet.data.dataset.image_subset import take_images
from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.evaluation.analysis.comparison import compare as compare_ap
from anydet.evaluation.evaluator import Engine, IouType
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.reading import Inputs, join_inputs
from anydet.evaluation.run import prepare_coco
from anydet.scanner import Scanner
from anydet.types import IntArray

MISSING = ("error", "empty", "skip")
"""What an image is that one file does not mention: an error, one without detections there, or left out."""


@dataclass(frozen=True, slots=True)
class ApSettings:
    """How AP of both sides is compared.

    Attributes:
        iou_type: geometry that IoU is computed on.
        resamples: bootstrap resamples of the interval; 0 compares no AP.
        level: confidence level of the interval.
        seed: of the resamples.
    """

    iou_type: IouType = "bbox"
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0


def compare_files(
    a: Path,
    b: Path,
    settings: ParitySettings = ParitySettings(),
    *,
    dataset: Dataset | None = None,
    missing: str = "error",
    max_images: int | None = None,
    box_format: str | None = None,
    ap: ApSettings = ApSettings(),
    engine: Engine | None = None,
    scanner: Scanner | None = None,
) -> Parity:
    """Match the detections of two files and measure how they differ.

    Args:
        a: a predictions file, or COCO results with ``dataset``.
        b: what should be the same.
        settings: what counts as the same.
        dataset: of the predictions: for ids of COCO results, sizes and class names that files do not state,
            and, where it has annotations, the difference of AP.
        missing: one of ``MISSING``.
        max_images: only the first so many images of the data set; without one, of the files.
        box_format: what boxes are in; by default what each file says, else ``cxcywh_norm``.
        ap: how AP is compared.
        engine: matches detections for AP; the best installed one by default.
        scanner: reads JSON faster, with the same result.

    Raises:
        ContractError: a file breaks the contract, or the two contradict each other.
        EvaluationError: a file does not fit the data set.
    """
    require_choice("missing", missing, MISSING)
    labeled = dataset is not None and dataset.source != "none"
    truth = dataset.ground_truth if dataset is not None and labeled else None
    raws = [load(path, scanner, truth) for path in (a, b)]
    joined = join_files(raws, truth, box_format=box_format)
    if max_images is not None:
        joined = leave_out(joined, _later(joined, dataset, max_images))
    if missing == "error":
        require_same_images(joined)
    elif missing == "skip":
        joined = leave_out(joined, np.unique(np.concatenate(joined.lacking)))
    parity = compare(joined, settings)
    if dataset is None:
        return parity
    return with_ap(parity, raws, dataset, ap, box_format=box_format, engine=engine)


def with_ap(
    parity: Parity,
    raws: Sequence[RawPredictions],
    dataset: Dataset,
    ap: ApSettings = ApSettings(),
    *,
    box_format: str | None = None,
    engine: Engine | None = None,
) -> Parity:
    """The same with the difference of AP on the images that were compared, where they have annotations.

    Args:
        parity: of both sides.
        raws: predictions of both sides.
        dataset: of the predictions.
        ap: how AP is compared.
        box_format: what boxes are in; by default what each file says.
        engine: matches detections; the best installed one by default.

    Raises:
        EvaluationError: predictions do not fit the data set.
    """
    if dataset.source == "none" or not ap.resamples:
        return parity
    settings = CocoSettings(ap.iou_type)
    both = []
    for raw in raws:
        inputs = _of_images(join_inputs(dataset, raw, box_format=box_format), parity.joined.a.images)
        both.append(prepare_coco([inputs], settings, engine=engine))
    found = compare_ap(*both, resamples=ap.resamples, level=ap.level, seed=ap.seed)
    return replace(parity, comparison=found)


def _of_images(inputs: Inputs, images: Sequence[str]) -> Inputs:
    """Those of some images: on others neither finds anything, which would hide a difference."""
    compared = set(images)
    rows = [at for at, image in enumerate(inputs.ground_truth.images) if image in compared]
    found, truth = take_images(inputs.detections, inputs.ground_truth, np.array(rows, np.int64))
    return replace(inputs, detections=found, ground_truth=truth)


def _later(joined: Joined, dataset: Dataset | None, most: int) -> IntArray:
    """Images behind the first so many of the data set, or of the files."""
    images = joined.a.images
    first = set(images[:most] if dataset is None else dataset.keys[:most])
    return np.array([at for at, image in enumerate(images) if image not in first], np.int64)
