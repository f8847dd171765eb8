"""A COCO results file parsed result by result: what a scanner does not read, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from anydet.contract.documents import Mask
from anydet.contract.locations import Place
from anydet.contract.reading.json_source import UNREADABLE
from anydet.contract.reading.result_columns import ResultColumns, box_keypoints
from anydet.contract.reading.source import Source
from anydet.contract.reading.table import rle
from anydet.contract.run_lengths import rle_problem
from anydet.errors import ContractError
from anydet.geometry.masks import area as mask_area
from anydet.geometry.masks import bounds_xywh
from anydet.mask_columns import MaskColumn
from anydet.types import RLE, FloatArray, IntArray

_LOW = -(1 << 63)


class Result(Struct, gc=False):
    """One detection. The score may be any finite number; keys that COCO doesn't know are let be."""

    image_id: int | float | str
    category_id: int | float
    score: float
    bbox: tuple[float, float, float, float] | UnsetType = UNSET
    segmentation: Mask | UnsetType = UNSET
    keypoints: Annotated[list[float], Meta(min_length=3)] | UnsetType = UNSET
    file_name: str | None = None


_decode = msgspec.json.Decoder(list[Result]).decode
_decode_one = msgspec.json.Decoder(Result).decode


def parse_results(source: Source) -> ResultColumns:
    """The columns of a file that is open; raises ``ContractError`` with everything that is wrong."""
    return _columns(source.path, _read(source))


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
        raise ContractError.of(problems, fix="correct the file, or write it again")
    return results


def _mask_problems(path: Path, results: Sequence[Result]) -> Iterator[str]:
    for i, result in enumerate(results):
        if result.segmentation is not UNSET:
            problem = rle_problem(rle(result.segmentation))
            if problem:
                yield f"{path}: {Place('coco', i).at(('segmentation',))}: {problem}"


def _columns(path: Path | str, results: Sequence[Result]) -> ResultColumns:
    masks = [None if r.segmentation is UNSET else rle(r.segmentation) for r in results]
    keypoints = _keypoints(path, results)
    boxes = _boxes(path, results, masks, keypoints)
    areas = boxes[:, 2] * boxes[:, 3]
    for row, result in enumerate(results):
        mask = masks[row]
        if result.bbox is UNSET and mask is not None:
            areas[row] = mask_area(mask)
    return ResultColumns(
        image_ids=_image_ids(results),
        category_ids=_category_ids(path, results),
        scores=np.array([r.score for r in results], np.float64),
        boxes=boxes,
        areas=areas,
        masks=MaskColumn.of(masks) if any(masks) else None,
        keypoints=keypoints,
        file_names=tuple(r.file_name for r in results) if any(r.file_name for r in results) else None,
    )


def _image_ids(results: Sequence[Result]) -> Any:
    """(N,) int64; objects where some are text or integers of more than 64 bits. Whole floats are integers."""
    ids = [int(one) if isinstance(one := r.image_id, float) and one.is_integer() else one for r in results]
    if all(isinstance(one, int) and _LOW <= one < -_LOW for one in ids):
        return np.array(ids, np.int64)
    column = np.empty(len(ids), np.object_)
    column[:] = ids
    return column


def _category_ids(path: Path | str, results: Sequence[Result]) -> IntArray:
    for i, result in enumerate(results):
        one = result.category_id
        if (isinstance(one, float) and not one.is_integer()) or not _LOW <= one < -_LOW:
            raise ContractError(
                f"{path}: {Place('coco', i).at(('category_id',))}: {one} is no whole number of 64 bits",
                fix="write the ids of the data set's categories",
            )
    return np.array([int(r.category_id) for r in results], np.int64)


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
            # Marks the row for `box_keypoints`, which fills all of them at once.
            boxes[i] = np.nan
        else:
            raise ContractError(
                f"{path}: a result of image {result.image_id} has no bbox, segmentation or keypoints",
                fix="give each result one of them",
            )
    return boxes if keypoints is None else box_keypoints(boxes, keypoints)


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
