"""Parity of two predictions files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from anydet.arguments import require_choice
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.load import load
from anydet.crosscheck.joining import join_files, require_same_images
from anydet.crosscheck.parity import Parity, ParitySettings, compare, leave_out
from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.evaluation.analysis.comparison import Comparison
from anydet.evaluation.analysis.comparison import compare as compare_ap
from anydet.evaluation.evaluator import Engine, IouType
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.reading import join_inputs
from anydet.evaluation.run import prepare_coco
from anydet.scanner import Scanner

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
    if missing == "error":
        require_same_images(joined)
    elif missing == "skip":
        joined = leave_out(joined, np.unique(np.concatenate(joined.lacking)))
    parity = compare(joined, settings)
    if dataset is None or not labeled or not ap.resamples:
        return parity
    return replace(parity, comparison=_compare_ap(dataset, raws, ap, box_format, engine))


def _compare_ap(
    dataset: Dataset,
    raws: list[RawPredictions],
    ap: ApSettings,
    box_format: str | None,
    engine: Engine | None,
) -> Comparison:
    both = [
        prepare_coco(
            [join_inputs(dataset, raw, box_format=box_format)], CocoSettings(ap.iou_type), engine=engine
        )
        for raw in raws
    ]
    return compare_ap(*both, resamples=ap.resamples, level=ap.level, seed=ap.seed)
