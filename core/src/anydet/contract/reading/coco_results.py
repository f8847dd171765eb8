"""COCO results files: boxes, masks or keypoints under a data set's own image and category ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from anydet.columns import Columns
from anydet.contract.documents import Mask
from anydet.contract.hints import hint_category_ids
from anydet.contract.locations import Place, listed
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.json_source import UNREADABLE
from anydet.contract.reading.opening import open_source
from anydet.contract.reading.source import Source
from anydet.contract.reading.table import rle
from anydet.contract.run_lengths import rle_problem
from anydet.dataclass import dataclass
from anydet.errors import ContractError
from anydet.geometry.masks import area as mask_area
from anydet.geometry.masks import bounds_xywh
from anydet.ids import positions
from anydet.mask_columns import MaskColumn
from anydet.scanner import Scanner, Stop
from anydet.types import RLE, FloatArray, GroundTruthColumns, IntArray

_NAMED = 10


class Result(Struct, gc=False):
    """One detection. The score may be any finite number; keys that COCO doesn't know are let be."""

    image_id: int
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | UnsetType = UNSET
    segmentation: Mask | UnsetType = UNSET
    keypoints: Annotated[list[float], Meta(min_length=3)] | UnsetType = UNSET


_decode = msgspec.json.Decoder(list[Result]).decode
_decode_one = msgspec.json.Decoder(Result).decode


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
    with open_source(path) as source:
        return read_coco_results(source, image_keys, class_ids)


def read_coco_results(
    source: Source, image_keys: Mapping[int, str], class_ids: Mapping[int, int]
) -> RawPredictions:
    """As ``load_coco_results``, of a file that is open already."""
    return _joined(source.path, _columns(source.path, _read(source)), image_keys, class_ids)


def _joined(
    path: Path | str, found: _Columns, image_keys: Mapping[int, str], class_ids: Mapping[int, int]
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
            fix="give --dataset the COCO annotations JSON that the ids come from",
        )
    images = dict(zip(truth.image_ids.tolist(), truth.images, strict=True))
    return images, {source: i for i, source in enumerate(truth.classes.source_ids)}


def _read(source: Source) -> list[Result]:
    """Typed, at once where all is well; else result by result, to name the wrong ones."""
    path = source.path
    if source.shape not in ("coco", "list"):
        raise ContractError(
            f"{path}: not a COCO results file, which is a list of results",
            fix="give a list of objects with image_id, category_id, score and bbox",
        )
    try:
        results = _decode(source.text)
        problems: list[str] = []
    except UNREADABLE:
        results, problems = [], []
        for place, raw in source.entries():
            try:
                results.append(_decode_one(raw))
            except UNREADABLE as exc:
                problems.append(f"{path}: {place.at()}: {exc}")
    problems += list(_mask_problems(path, results))
    if problems:
        raise ContractError(
            "\n".join(listed(problems)), fix="correct the file, or write it again", issues=problems
        )
    return results


def _mask_problems(path: Path, results: Sequence[Result]) -> Iterator[str]:
    for i, result in enumerate(results):
        if result.segmentation is not UNSET:
            problem = rle_problem(rle(result.segmentation))
            if problem:
                yield f"{path}: {Place('coco', i).at(('segmentation',))}: {problem}"


@dataclass(frozen=True, slots=True, eq=False)
class _Columns(Columns):
    """Results, one row each; boxes are filled in where the file has none."""

    image_ids: IntArray
    category_ids: IntArray
    scores: FloatArray
    boxes: FloatArray
    areas: FloatArray
    masks: MaskColumn | None
    keypoints: FloatArray | None


def _scan(path: Path, scanner: Scanner | None) -> _Columns | None:
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
        boxes = _around(boxes, keypoints)
    areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas) if keypoints is not None else areas
    return _Columns(found.image_ids, found.category_ids, found.scores, boxes, areas, found.masks, keypoints)


def _columns(path: Path | str, results: Sequence[Result]) -> _Columns:
    masks = [None if r.segmentation is UNSET else rle(r.segmentation) for r in results]
    keypoints = _keypoints(path, results)
    boxes = _boxes(path, results, masks, keypoints)
    areas = boxes[:, 2] * boxes[:, 3]
    for row, result in enumerate(results):
        mask = masks[row]
        if result.bbox is UNSET and mask is not None:
            areas[row] = mask_area(mask)
    return _Columns(
        image_ids=np.array([r.image_id for r in results], np.int64),
        category_ids=np.array([r.category_id for r in results], np.int64),
        scores=np.array([r.score for r in results], np.float64),
        boxes=boxes,
        areas=areas,
        masks=MaskColumn.of(masks) if any(masks) else None,
        keypoints=keypoints,
    )


def _positions(path: Path | str, name: str, ids: IntArray, known: Mapping[int, Any]) -> IntArray:
    """(N,) where the ids stand in the data set's table; raises for unknown ones, with the first result."""
    at = positions(ids, np.fromiter(known, np.int64, len(known)))
    if (at < 0).any():
        unknown = np.unique(ids[at < 0]).tolist()
        shown = ", ".join(map(str, unknown[:_NAMED])) + (", ..." if len(unknown) > _NAMED else "")
        row = int(np.argmax(ids == unknown[0]))
        hint = hint_category_ids(np.unique(ids).tolist(), known) if name == "category_id" else ""
        raise ContractError(
            f"{path}: {len(unknown)} values of {name} that the data set does not have: {shown} "
            f"(first at {Place('coco', row).at((name,))})",
            fix=f"{hint}give the data set that the results were made on: --dataset and --split",
        )
    return at


def _boxes(
    path: Path | str, results: Sequence[Result], masks: Sequence[RLE | None], keypoints: FloatArray | None
) -> FloatArray:
    """(N, 4) x, y, width, height as written, or around what is there instead."""
    boxes = np.empty((len(results), 4))
    for i, result in enumerate(results):
        mask = masks[i]
        if result.bbox is not UNSET:
            boxes[i] = result.bbox
        elif mask is not None:
            boxes[i] = bounds_xywh(mask)
        elif keypoints is not None and result.keypoints is not UNSET:
            # Marks the row for `_around`, which fills all of them at once.
            boxes[i] = np.nan
        else:
            raise ContractError(
                f"{path}: a result of image {result.image_id} has no bbox, segmentation or keypoints",
                fix="give each result one of them",
            )
    return boxes if keypoints is None else _around(boxes, keypoints)


def _around(boxes: FloatArray, keypoints: FloatArray) -> FloatArray:
    """The boxes, those that are NaN around the keypoints of their row."""
    lacking = np.flatnonzero(np.isnan(boxes[:, 0]))
    if not len(lacking):
        return boxes
    points = keypoints[lacking, :, :2]
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    whole: FloatArray = boxes.copy()
    whole[lacking] = np.concatenate([low, high - low], axis=1)
    return whole


def _keypoints(path: Path | str, results: Sequence[Result]) -> FloatArray | None:
    """(N, K, 3) x, y in pixels and score, NaN where a result has none or fewer."""
    lists = [[] if r.keypoints is UNSET else r.keypoints for r in results]
    longest = max(map(len, lists), default=0)
    if not longest:
        return None
    column = np.full((len(lists), longest // 3 * 3), np.nan)
    for i, numbers in enumerate(lists):
        if len(numbers) % 3:
            raise ContractError(
                f"{path}: keypoints of a result of image {results[i].image_id}: "
                f"{len(numbers)} numbers, where x, y and score of each belong",
                fix="write three numbers a keypoint",
            )
        column[i, : len(numbers)] = numbers
    return np.asarray(column.reshape(len(lists), -1, 3), np.float64)
