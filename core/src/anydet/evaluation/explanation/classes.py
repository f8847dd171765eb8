"""Mistakes in class ids: off by one, COCO's 91 numbers, another order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from anydet.contract.hints import COCO_IDS, COCO_NUMBERING, COUNT_FROM_ONE, POSITIONS
from anydet.evaluation.explanation.cause import Cause
from anydet.evaluation.explanation.overlap import best_pairs
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, IntArray

_FROM_ZERO = "write class ids that count from 0 without gaps, in the order of the data set's classes"
_OWN_IDS = "write the data set's own category_id (COCO's 1 to 90), not the position of the class"


def class_causes(classes: ClassTable) -> Iterator[Cause]:
    """What may have happened to ids of this class table."""
    count = len(classes)
    yield _cause(COUNT_FROM_ONE, _FROM_ZERO, np.arange(count) - 1)
    yield _cause(
        "class ids are one too low: a background class is taken away that was not there",
        _FROM_ZERO,
        np.append(np.arange(1, count), -1) if count else np.zeros(0, np.int64),
    )
    own = np.array(classes.source_ids if _has_gaps(classes) else COCO_IDS, np.int64)
    if len(own) == count:
        for name, offset in (("", 0), (", less one", 1)):
            mapping = np.full(count, -1, np.int64)
            known = own - offset < count
            mapping[(own - offset)[known]] = np.flatnonzero(known)
            yield _cause(f"{COCO_NUMBERING}{name}", _FROM_ZERO, mapping)
    if _has_gaps(classes):
        for name, offset in (("0", 0), ("1", 1)):
            mapping = np.where(own - offset < count, own - offset, -1)
            yield _cause(f"{POSITIONS}{name}", _OWN_IDS, mapping)
    by_name = sorted(range(count), key=lambda i: classes.names[i])
    if by_name != list(range(count)):
        yield _cause(
            "class ids count the classes in alphabetical order",
            "write class ids in the order of the data set's classes, or the names into meta.classes",
            np.array(by_name, np.int64),
        )
    yield Cause(
        "classes",
        "class ids stand for other classes than the data set's",
        "write class ids in the order of the data set's classes, or the names into meta.classes",
        _learn_classes,
        learned=True,
    )


def _cause(name: str, what_to_do: str, mapping: IntArray) -> Cause:
    return Cause("classes", name, what_to_do, partial(_map_classes, mapping))


def _has_gaps(classes: ClassTable) -> bool:
    ids = classes.source_ids
    return len(ids) > 0 and ids != tuple(range(ids[0], ids[0] + len(ids)))


def _map_classes(mapping: IntArray, detections: DetectionColumns, _: GroundTruthColumns) -> DetectionColumns:
    """New ids by old id; detections of classes with -1 are dropped."""
    ids = mapping[detections.class_ids]
    return replace(detections, class_ids=ids).take(ids >= 0)


def _learn_classes(detections: DetectionColumns, truth: GroundTruthColumns) -> DetectionColumns:
    """Each id to the class of the annotations that its detections overlap most often, one to one."""
    count = len(truth.classes)
    rows, annotations, _ = best_pairs(detections, truth, by_class=False)
    votes = np.zeros((count, count), np.int64)
    np.add.at(votes, (detections.class_ids[rows], truth.labels.class_ids[annotations]), 1)
    mapping = np.full(count, -1, np.int64)
    # Greedy: the pair with most votes first, each class of either side once.
    for place in np.argsort(-votes, axis=None, kind="stable")[: np.count_nonzero(votes)].tolist():
        ours, true = divmod(place, count)
        if mapping[ours] < 0 and true not in mapping:
            mapping[ours] = true
    return _map_classes(mapping, detections, truth)
