"""COCO results files: boxes, masks or keypoints under a data set's own image and category ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.contract.raw import RawPredictions
from anydet.contract.reading.result_columns import ResultColumns, box_keypoints
from anydet.contract.reading.result_ids import (
    ImageIds,
    by_id,
    class_positions,
    coco_ids,
    image_positions,
    names_files,
)
from anydet.dataclass import dataclass
from anydet.geometry.boxes import area_xywh
from anydet.scanner import Scanner, Stop
from anydet.types import FloatArray, GroundTruthColumns, IntArray, Size

__all__ = ["coco_ids", "join_results", "load_coco_results", "read_coco_results", "sizes_by_id"]

_SHOWN = 5
"""Boxes of negative size that an error lists."""

if TYPE_CHECKING:
    from anydet.contract.reading.source import Source


def load_coco_results(
    path: Path | str,
    image_keys: ImageIds,
    class_ids: Mapping[Any, int],
    scanner: Scanner | None = None,
    sizes_wh: Callable[[], Mapping[Any, Size]] | None = None,
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
        sizes_wh: gives (width, height) by image id, on which polygons are painted.

    Raises:
        ContractError: not a results file, most boxes of negative size, or images and classes that the data
            set does not have; names what is wrong (``result_ids`` says how they are joined).
    """
    quick = scan_coco_results(path, image_keys, class_ids, scanner)
    if quick is not None:
        return quick
    from anydet.contract.reading.opening import open_source

    with open_source(path) as source:
        return read_coco_results(source, image_keys, class_ids, sizes_wh)


def scan_coco_results(
    path: Path | str, image_keys: ImageIds, class_ids: Mapping[Any, int], scanner: Scanner | None
) -> RawPredictions | None:
    """As ``load_coco_results``, of a file with which all is well; ``None`` of any other."""
    found = _scan(Path(path), scanner)
    # Ids that are not the data set's may name files, in a field that scanners pass over.
    at = None if found is None else by_id(found.image_ids, image_keys)
    if found is None or at is None or (at < 0).any():
        return None
    return join_results(path, found, image_keys, class_ids, join_rows(path, found, image_keys, class_ids, at))


def read_coco_results(
    source: Source,
    image_keys: ImageIds,
    class_ids: Mapping[Any, int],
    sizes_wh: Callable[[], Mapping[Any, Size]] | None = None,
) -> RawPredictions:
    """As ``load_coco_results``, of a file that is open already."""
    from anydet.contract.reading.coco_entries import parse_results

    found = parse_results(source, sizes_wh() if sizes_wh else {})
    return join_results(source.path, found, image_keys, class_ids)


def join_results(
    path: Path | str,
    found: ResultColumns,
    image_keys: ImageIds,
    class_ids: Mapping[Any, int],
    joined: Joined | None = None,
) -> RawPredictions:
    """The results by image, under the data set's keys and class ids.

    Args:
        path: the file.
        found: its results.
        image_keys: as for ``load_coco_results``.
        class_ids: likewise.
        joined: where they belong, where that is known already.
    """
    negative = _negative_sizes(path, found.boxes) if found.boxes[:, 2:].min(initial=0) < 0 else ""
    joined = joined or join_rows(path, found, image_keys, class_ids)
    # Results in the data set's order stay as they are: taking rows copies every column.
    if joined.rows is not None:
        found = found.take(joined.rows)
    first = np.flatnonzero(np.diff(joined.images, prepend=-1))
    keys, rows = list(image_keys.values()), np.diff(first, append=len(joined.images))
    index = np.repeat(np.arange(len(first)), rows)
    classes = joined.classes
    if joined.unknown:
        # Their images stay: they were predicted.
        kept = np.flatnonzero(classes >= 0)
        found, index, classes = found.take(kept), index[kept], classes[kept]
    known = np.fromiter(class_ids.values(), np.int64, len(class_ids))
    return RawPredictions(
        path=str(path),
        shape="coco",
        images=tuple(keys[i] for i in joined.images[first].tolist()),
        places=first,
        sizes_wh=np.full((len(first), 2), -1, np.int64),
        details={},
        image_index=index,
        class_ids=known[classes],
        boxes=found.boxes,
        scores=found.scores,
        areas=found.areas,
        boxes_around=found.boxes_around,
        masks=found.masks,
        keypoints=found.keypoints,
        box_format="xywh_abs",
        keypoints_in_pixels=True,
        oddities=(*found.oddities, *filter(None, [negative, joined.unknown])),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Where results belong.

    Attributes:
        rows: (N,) results ordered by image; ``None`` where they are so already.
        images: (N,) places of their images among the data set's, ascending.
        classes: (N,) places of their classes among the data set's, -1 where it does not have them.
        unknown: the line on those, or "".
    """

    rows: IntArray | None
    images: IntArray
    classes: IntArray
    unknown: str


def join_rows(
    path: Path | str,
    found: ResultColumns,
    image_keys: ImageIds,
    class_ids: Mapping[Any, int],
    at: IntArray | None = None,
) -> Joined:
    """The images and classes of results.

    Args:
        path: the file.
        found: its results.
        image_keys: as for ``load_coco_results``.
        class_ids: likewise.
        at: where the images stand among ``image_keys``, where they are known by their ids already.
    """
    # Results that name images otherwise were not made with the data set's ids at hand.
    by_ids = at if at is not None else by_id(found.image_ids, image_keys)
    own_ids = not names_files(image_keys) and bool((by_ids >= 0).all())
    at = image_positions(path, found.image_ids, found.file_names or (), image_keys) if at is None else at
    classes, unknown = class_positions(path, found.category_ids, class_ids, own_ids=own_ids)
    order = None if (at[1:] >= at[:-1]).all() else np.argsort(at, kind="stable")
    if order is None:
        return Joined(None, at, classes, unknown)
    return Joined(order, at[order], classes[order], unknown)


def _negative_sizes(path: Path | str, boxes: FloatArray) -> str:
    """The line on boxes of negative size, which pycocotools scores; raises where most have one."""
    from anydet.contract.locations import Place

    wrong = (boxes[:, 2:] < 0).any(axis=1)
    rows, count = np.flatnonzero(wrong).tolist(), len(boxes)
    places = [f"{Place('coco', row).at(('bbox',))}: {boxes[row].tolist()}" for row in rows[:_SHOWN]]
    # All boxes of a file are in one format: where it is another one, far more of them are negative.
    if len(rows) <= 0.5 * count:
        return (
            f"boxes of negative size: {len(rows)} of {count} (the first: {places[0]}); as boxes they match "
            "nothing, and those of negative area do not count, as in pycocotools"
        )
    from anydet.contract.reading.coco_entries import repair_fix
    from anydet.errors import ContractError

    raise ContractError.of(
        [f"{path}: {place} has a negative size ({len(rows)} of {count} results)" for place in places],
        fix="boxes are x, y, width, height in COCO results, not corners; " + repair_fix(path),
    )


def sizes_by_id(truth: GroundTruthColumns) -> dict[Any, Size]:
    """(width, height) of the images of a data set whose size is known, by what ``coco_ids`` calls them."""
    sizes = zip(coco_ids(truth)[0], truth.sizes_wh.tolist(), strict=True)
    return {image: (width, height) for image, (width, height) in sizes if min(width, height) > 0}


def _scan(path: Path, scanner: Scanner | None) -> ResultColumns | None:
    """The columns of a file with which all is well; ``None`` where the slow path must look at it."""
    found = scanner.coco_results(path) if scanner else None
    if scanner is None or found is None or isinstance(found, Stop):
        return None
    keypoints = found.keypoints.over(len(found.scores)) if found.keypoints else None
    boxes, areas, around = found.boxes, area_xywh(found.boxes), np.isnan(found.boxes[:, 0])
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
    areas = np.where(np.isnan(areas), area_xywh(boxes), areas) if keypoints is not None else areas
    return ResultColumns(
        found.image_ids,
        found.category_ids,
        found.scores,
        boxes,
        areas,
        found.masks,
        keypoints,
        boxes_around=around if around.any() else None,
    )
