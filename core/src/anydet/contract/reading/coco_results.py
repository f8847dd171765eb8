"""COCO results files: boxes, masks or keypoints under a data set's own image and category ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.contract.hints import hint_category_ids
from anydet.contract.locations import Place
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.result_columns import ResultColumns, box_keypoints
from anydet.errors import ContractError
from anydet.ids import positions
from anydet.scanner import Scanner, Stop
from anydet.text import listed
from anydet.types import GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from anydet.contract.reading.source import Source

_NAMED = 10


def load_coco_results(
    path: Path | str,
    image_keys: Mapping[int, str],
    class_ids: Mapping[int, int],
    scanner: Scanner | None = None,
) -> RawPredictions:
    """The columns of a COCO results file, boxes and scores bit for bit as written.

    Rows are grouped by image, in the order of ``image_keys``, and keep the file's order within one.
    ``images`` are those of ``image_keys`` with results. A missing box is the one around the mask, or around
    the keypoints. The area of a result is that of its box, where it states one, else of its mask, as
    ``COCO.loadRes`` has it.

    Args:
        path: the file.
        image_keys: the data set's image id -> image key.
        class_ids: the data set's category id -> contiguous class id.
        scanner: reads what it can, faster; the result is the same.

    Raises:
        ContractError: not a results file, or ids that the data set does not have, which it names.
    """
    found = _scan(Path(path), scanner)
    if found is not None:
        return _joined(path, found, image_keys, class_ids)
    from anydet.contract.reading.opening import open_source

    with open_source(path) as source:
        return read_coco_results(source, image_keys, class_ids)


def read_coco_results(
    source: Source, image_keys: Mapping[int, str], class_ids: Mapping[int, int]
) -> RawPredictions:
    """As ``load_coco_results``, of a file that is open already."""
    from anydet.contract.reading.coco_entries import parse_results

    return _joined(source.path, parse_results(source), image_keys, class_ids)


def _joined(
    path: Path | str, found: ResultColumns, image_keys: Mapping[int, str], class_ids: Mapping[int, int]
) -> RawPredictions:
    """The results by image, under the data set's keys and class ids."""
    at = _positions(path, "image_id", found.image_ids, image_keys)
    classes = _positions(path, "category_id", found.category_ids, class_ids)
    # Results in the data set's order stay as they are: taking rows copies every column.
    order = None if (at[1:] >= at[:-1]).all() else np.argsort(at, kind="stable")
    if order is not None:
        found, at, classes = found.take(order), at[order], classes[order]
    first = np.flatnonzero(np.diff(at, prepend=-1))
    keys, rows = list(image_keys.values()), np.diff(first, append=len(at))
    known = np.fromiter(class_ids.values(), np.int64, len(class_ids))
    return RawPredictions(
        path=str(path),
        shape="coco",
        images=tuple(keys[i] for i in at[first].tolist()),
        places=first,
        sizes_wh=np.full((len(first), 2), -1, np.int64),
        details={},
        image_index=np.repeat(np.arange(len(first)), rows),
        class_ids=known[classes],
        boxes=found.boxes,
        scores=found.scores,
        areas=found.areas,
        masks=found.masks,
        keypoints=found.keypoints,
        box_format="xywh_abs",
        keypoints_in_pixels=True,
    )


def coco_ids(truth: GroundTruthColumns) -> tuple[dict[int, str], dict[int, int]]:
    """Image id -> key and category id -> class id of a COCO data set.

    Raises:
        ContractError: the data set has no image ids of its own.
    """
    if truth.image_ids is None:
        raise ContractError(
            f"COCO results name images by id, and this data set ({truth.source}) has no image ids",
            fix="give the COCO annotations JSON that the ids come from as the data set",
        )
    images = dict(zip(truth.image_ids.tolist(), truth.images, strict=True))
    return images, {source: i for i, source in enumerate(truth.classes.source_ids)}


def _scan(path: Path, scanner: Scanner | None) -> ResultColumns | None:
    """The columns of a file with which all is well; ``None`` where the slow path must look at it."""
    found = scanner.coco_results(path) if scanner else None
    if scanner is None or found is None or isinstance(found, Stop):
        return None
    keypoints = found.keypoints.over(len(found.scores)) if found.keypoints else None
    boxes, areas = found.boxes, found.boxes[:, 2] * found.boxes[:, 3]
    if found.masks is not None:
        facts = scanner.masks(found.masks)
        # The slow path names the broken mask.
        if not facts.whole.all():
            return None
        lacking = np.isnan(boxes[:, 0]) & ~found.masks.missing
        boxes, areas = np.where(lacking[:, None], facts.boxes, boxes), np.where(lacking, facts.areas, areas)
    if keypoints is not None:
        keypoints = keypoints.reshape(len(keypoints), -1, 3)
        boxes = box_keypoints(boxes, keypoints)
    areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas) if keypoints is not None else areas
    return ResultColumns(
        found.image_ids, found.category_ids, found.scores, boxes, areas, found.masks, keypoints
    )


def _positions(path: Path | str, name: str, ids: IntArray, known: Mapping[int, Any]) -> IntArray:
    """(N,) where the ids stand in the data set's table; raises for unknown ones, with the first result."""
    at = positions(ids, np.fromiter(known, np.int64, len(known)))
    if (at < 0).any():
        unknown = np.unique(ids[at < 0]).tolist()
        shown = listed(unknown, _NAMED, quotes=False)
        row = int(np.argmax(ids == unknown[0]))
        hint = hint_category_ids(np.unique(ids).tolist(), known) if name == "category_id" else ""
        raise ContractError(
            f"{path}: {len(unknown)} values of {name} that the data set does not have: {shown} "
            f"(first at {Place('coco', row).at((name,))})",
            fix=f"{hint}give the data set and split that the results were made on",
        )
    return at
