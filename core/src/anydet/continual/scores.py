"""AP of groups of classes, with what it is on resampled images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.evaluation.analysis.bootstrap import FEWEST_IMAGES, draw_images, mean_of_known, resample
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.reading import read_shards
from anydet.evaluation.run import prepare_coco
from anydet.inputs import known_json
from anydet.outputs import write_file
from anydet.types import FloatArray

METRIC = "AP"


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """AP of a group of classes: the mean over those that have annotations.

    Attributes:
        value: on the images as they are; NaN where there are none.
        draws: (B,) on resampled images; ``None`` where there are too few images for an interval.
    """

    value: float
    draws: FloatArray | None


def score_groups(
    truth: Dataset,
    predictions: Path,
    groups: Mapping[str, Sequence[str]],
    engine: Engine,
    *,
    resamples: int,
    seed: int,
    identity: str,
) -> dict[str, Score]:
    """AP of each group of classes, read where it was measured before.

    Args:
        truth: images with labels of all classes that the model knows.
        predictions: of a stage on these images.
        groups: name -> names of classes.
        engine: matches detections.
        resamples: draws of images.
        seed: of the draws; equal for all models, so that their differences are paired.
        identity: what the predictions are of.
    """
    about = predictions.with_suffix(f".{METRIC.lower()}.json")
    known = {"of": identity, "truth": truth.fingerprint(), "groups": {k: list(v) for k, v in groups.items()}}
    key = hashlib.sha256(json.dumps([known, resamples, seed], sort_keys=True).encode()).hexdigest()
    kept = known_json(about)
    if kept.get("identity") == key:
        return {name: _score(row["value"], row["draws"]) for name, row in kept["scores"].items()}
    evaluator = prepare_coco(read_shards(truth, predictions, scanner=engine.scanner), engine=engine)
    scores = _scores(evaluator, groups, resamples, seed)
    rows = {
        name: {"value": _known(score.value), "draws": score.draws is not None and [*map(_known, score.draws)]}
        for name, score in scores.items()
    }
    write_file(about, json.dumps({"identity": key, "scores": rows}))
    return scores


def _scores(
    evaluator: CocoEvaluator, groups: Mapping[str, Sequence[str]], resamples: int, seed: int
) -> dict[str, Score]:
    rows = evaluator.result().per_class
    places = {str(row["name"]): place for place, row in enumerate(rows)}
    values = np.array([np.nan if row[METRIC] is None else row[METRIC] for row in rows], np.float64)
    images = len(evaluator.joint().images)
    drawn = None
    if images >= FEWEST_IMAGES:
        found = resample(evaluator, draw_images(images, resamples, seed))
        drawn = found.by_class[:, :, found.names.index(METRIC)]
    scores = {}
    for name, classes in groups.items():
        which = [places[one] for one in classes]
        value = float(mean_of_known(values[None, which])[0])
        scores[name] = Score(value, None if drawn is None else mean_of_known(drawn[:, which]))
    return scores


def _score(value: float | None, draws: Sequence[float | None] | bool) -> Score:
    return Score(
        np.nan if value is None else value,
        np.array([np.nan if one is None else one for one in draws]) if isinstance(draws, list) else None,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
