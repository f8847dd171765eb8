"""What results of adapters and fusions must be before anything is kept of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.plugins.calls import PluginCalls
from anydet.types import ImagePredictions


def check_values(results: Sequence[ImagePredictions], classes: int | None, calls: PluginCalls) -> None:
    """Equal columns, boxes of numbers, scores in [0, 1], and class ids in range.

    Args:
        results: of a batch, or one.
        classes: number of classes, or ``None`` where it is unknown.
        calls: what gave the results, for the error.

    Raises:
        PluginError: names the image and what is wrong.
    """
    for result in results:
        _check_rows(result, calls)
    # All at once where all is well: a check per image costs as much as the rest of the pipeline.
    if not _fine(results, classes):
        for result in results:
            _find_fault(result, classes, calls)


def _fine(results: Sequence[ImagePredictions], classes: int | None) -> bool:
    scores = np.concatenate([result.scores for result in results])
    if not len(scores):
        return True
    boxes = np.concatenate([result.boxes_xyxy_px for result in results])
    ids = np.concatenate([result.class_ids for result in results])
    return bool(
        scores.min() >= 0  # false for NaN, too
        and scores.max() <= 1
        and not np.isnan(boxes).any()
        and ids.min() >= 0
        and (classes is None or ids.max() < classes)
    )


def _check_rows(result: ImagePredictions, calls: PluginCalls) -> None:
    rows = len(result.scores)
    if result.boxes_xyxy_px.shape != (rows, 4):
        raise calls.error(
            f"gave boxes of shape {result.boxes_xyxy_px.shape} for {rows} scores on image {result.image!r}"
        )
    for name in ImagePredictions.ROWS:
        column = getattr(result, name)
        # Fields of poses have rows of their own, which their `take` looks at.
        if column is not None and name != "poses" and len(column) != rows:
            raise calls.error(f"gave {len(column)} {name} for {rows} scores on image {result.image!r}")


def _find_fault(result: ImagePredictions, classes: int | None, calls: PluginCalls) -> None:
    scores, ids = result.scores, result.class_ids
    # Infinite edges pass: a detection of little score may overflow in fp16, and clipping mends its box.
    whole = ~np.isnan(result.boxes_xyxy_px).any(axis=1)
    known = (ids >= 0) & (ids < classes) if classes is not None else ids >= 0
    last = "" if classes is None else f" (0 to {classes - 1} are known)"
    for good, column, what in (
        ((scores >= 0) & (scores <= 1), scores, "a score that is not in [0, 1]"),
        (whole, result.boxes_xyxy_px, "a box that is not a number"),
        (known, ids, f"a class id out of range{last}"),
    ):
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            raise calls.error(
                f"gave {what} on image {result.image!r}: {column[row].tolist()}, detection {row}"
            )
