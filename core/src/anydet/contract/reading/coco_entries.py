"""A COCO results file parsed result by result: what a scanner does not read, and what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from anydet.contract.locations import Place, repair_command, show
from anydet.contract.reading.encoding import not_utf8
from anydet.contract.reading.json_source import UNREADABLE, with_image_id
from anydet.contract.reading.result_columns import ResultColumns, box_keypoints
from anydet.contract.reading.source import Source
from anydet.contract.segmentations import corners_of_polygons, has_odd_rings, mask_of
from anydet.contract.violations import EXPLAINED, parse, unspeakable
from anydet.errors import ContractError
from anydet.geometry.boxes import area_xywh
from anydet.geometry.masks import area as mask_area
from anydet.geometry.masks import bounds_xywh
from anydet.inputs import text_problem
from anydet.mask_columns import MaskColumn
from anydet.text import counted
from anydet.types import RLE, BoolArray, FloatArray, Size

_LOW = -(1 << 63)
_NO_NUMBER = re.compile(rb"\b(?:NaN|Infinity)\b")


class Segmentation(Struct, gc=False):
    """COCO's run-length code, compressed or a list of runs; size is height, width."""

    size: tuple[float, float]
    counts: str | list[float]


class Result(Struct, gc=False):
    """One detection. The score may be any finite number; keys that COCO doesn't know are let be."""

    image_id: int | float | str
    category_id: int | float | str
    score: float
    bbox: tuple[float, float, float, float] | UnsetType = UNSET
    # A list: polygons, or nothing where it is empty.
    segmentation: Segmentation | list[Any] | UnsetType = UNSET
    keypoints: Annotated[list[float], Meta(min_length=3)] | UnsetType = UNSET
    file_name: str | None = None
    # Corners of an oriented box, as Ultralytics writes them; anything else is let be.
    poly: Any = None


_decode = msgspec.json.Decoder(list[Result]).decode
_decode_one = msgspec.json.Decoder(Result).decode


def parse_results(source: Source, sizes_wh: Mapping[Any, Size] | None = None) -> ResultColumns:
    """The columns of a file that is open; raises ``ContractError`` with everything that is wrong.

    A mask or keypoints that are none are left out of a result that has something else, and counted.

    Args:
        source: the file.
        sizes_wh: (width, height) by image id, on which polygons are painted.
    """
    results = _read(source)
    left_out = _LeftOut()
    masks = _masks(source.path, results, sizes_wh or {}, left_out)
    return _columns(source.path, results, masks, left_out)


def result_problem(value: Any, sizes_wh: Mapping[Any, Size]) -> str:
    """Why a value is no result, with its field, or an empty string."""
    try:
        result = msgspec.convert(value, Result)
    except UNREADABLE as exc:
        return str(exc)
    return mask_of(_segmentation(result), _size(result, sizes_wh))[1]


def keypoints_problem(value: Any) -> str:
    """Why a value is none of keypoints, or an empty string; an empty list and ``None`` are no keypoints."""
    if not value:
        return ""
    if not isinstance(value, list | tuple):
        return f"{show(value)} where a list belongs"
    if not _are_finite(value):
        # Each may be finite although their sum, which is quick to look at, is not.
        wrong = next((one for one in value if not _are_finite([one])), value)
        return f"{show(wrong)} is not a finite number"
    if len(value) % 3:
        return f"{len(value)} numbers, where x, y and score of each belong"
    return ""


def _are_finite(values: Sequence[Any]) -> bool:
    try:
        return set(map(type, values)) <= {int, float} and math.isfinite(math.fsum(values))
    except OverflowError:
        return False


_ODD_RINGS = "polygons of an odd number of coordinates"
_NO_MASK, _NO_KEYPOINTS = "segmentations that are no mask", "keypoints that cannot be read"
_EFFECTS = {
    _ODD_RINGS: "the last coordinate is not looked at, as in pycocotools",
    _NO_MASK: "read as without a mask, so that they are left out where masks are scored",
    _NO_KEYPOINTS: "read as without keypoints, so that they match nothing where keypoints are scored",
}


class _LeftOut:
    """Counts what is left out of results, with the first of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, what: str, where: str) -> None:
        count, first = self._found.get(what, (0, where))
        self._found[what] = count + 1, first

    def lines(self, of: int) -> tuple[str, ...]:
        """A line for each kind, of so many results."""
        return tuple(
            f"{what}: {count} of {of} (the first: {first}); {_EFFECTS[what]}; boxes do not depend on it"
            for what, (count, first) in self._found.items()
        )


def _read(source: Source) -> list[Result]:
    """Typed, at once where all is well; else result by result, to name the wrong ones."""
    path = source.path
    if source.shape not in ("coco", "list"):
        raise ContractError(
            f"{path}: not a COCO results file, which is a list of results",
            fix="give a list of objects with image_id, category_id, score and bbox",
        )
    try:
        return _decode(source.text)
    except UNREADABLE as exc:
        if problem := text_problem(source.text):
            raise not_utf8(path, problem) from exc
    results, problems, not_numbers, count = list[Result](), list[str](), 0, 0
    for place, raw in source.entries():
        count += 1
        try:
            results.append(_decode_one(raw))
        except UNREADABLE as exc:
            mended = _mended(raw)
            if mended is not None:
                results.append(mended)
                continue
            not_numbers += bool(_NO_NUMBER.search(raw))
            # Explaining takes a hundred times as long as reading.
            problems += _explained(place, bytes(raw), exc) if len(problems) < EXPLAINED else ()
    if problems:
        of = f"NaN or infinity stands in {not_numbers} of {counted(count, 'result')}; " if not_numbers else ""
        raise ContractError.of([f"{path}: {line}" for line in problems], fix=of + repair_fix(path))
    return results


def _mended(raw: bytes | msgspec.Raw) -> Result | None:
    """A result that names its image otherwise, or of which a mask or keypoints alone are of another type.

    The latter are kept as they are.
    """
    value, _ = parse(bytes(raw))
    if not isinstance(value, dict):
        return None
    value = with_image_id(value)
    odd = {name: value.pop(name) for name in ("segmentation", "keypoints") if name in value}
    try:
        result = msgspec.convert(value, Result)
    except UNREADABLE:
        return None
    if any(True for _ in unspeakable(value)):
        return None
    for name, given in odd.items():
        setattr(result, name, given)
    return result


def _masks(
    path: Path, results: Sequence[Result], sizes_wh: Mapping[Any, Size], left_out: _LeftOut
) -> list[RLE | None]:
    masks, problems = list[RLE | None](), list[str]()
    for i, result in enumerate(results):
        mask, problem = mask_of(_segmentation(result), _size(result, sizes_wh))
        masks.append(mask)
        if mask is not None and has_odd_rings(result.segmentation):
            left_out.add(_ODD_RINGS, Place("coco", i).at(("segmentation",)))
        if problem:
            line = f"{Place('coco', i).at(('segmentation',))}: {problem}"
            if result.bbox is UNSET and result.keypoints is UNSET:
                problems.append(f"{path}: {line}")
            else:
                left_out.add(_NO_MASK, line)
    if problems:
        raise ContractError.of(problems, fix=repair_fix(path))
    return masks


def repair_fix(path: Path | str) -> str:
    """What to type for a results file of which some results are wrong."""
    return f"write the results again, or {repair_command(path, ' --dataset DATASET')}"


def _explained(place: Place, raw: bytes, error: Exception) -> list[str]:
    """What is wrong with a result: numbers that are none by their names, else as the decoder has it."""
    found = parse(raw)[1]
    return [f"{place.at(path)}: {text}" for path, text in found] or [f"{place.at()}: {error}"]


def _segmentation(result: Result) -> Any:
    if isinstance(result.segmentation, Segmentation):
        return {"size": result.segmentation.size, "counts": result.segmentation.counts}
    return [] if result.segmentation is UNSET else result.segmentation


def _stated(results: Sequence[Result]) -> BoolArray:
    """(N,) which results have something under the key of a mask."""
    return np.array([one.segmentation is not UNSET for one in results], np.bool_)


def _size(result: Result, sizes_wh: Mapping[Any, Size]) -> Size | None:
    # A whole float is the same key as the integer.
    return sizes_wh.get(result.image_id)


def _columns(
    path: Path | str, results: Sequence[Result], masks: Sequence[RLE | None], left_out: _LeftOut
) -> ResultColumns:
    keypoints = _keypoints(path, results, masks, left_out)
    boxes = _boxes(path, results, masks, keypoints)
    areas = area_xywh(boxes)
    for row, result in enumerate(results):
        mask = masks[row]
        if result.bbox is UNSET and mask is not None:
            areas[row] = mask_area(mask)
    return ResultColumns(
        image_ids=plain_ids([r.image_id for r in results]),
        category_ids=plain_ids([r.category_id for r in results]),
        scores=np.array([r.score for r in results], np.float64),
        boxes=boxes,
        areas=areas,
        masks=MaskColumn.of(masks).without(_stated(results)) if any(masks) else None,
        keypoints=keypoints,
        file_names=tuple(r.file_name for r in results) if any(r.file_name for r in results) else None,
        boxes_around=around
        if (around := np.array([r.bbox is UNSET for r in results], np.bool_)).any()
        else None,
        oddities=left_out.lines(len(results)),
    )


def plain_ids(given: Sequence[int | float | str]) -> Any:
    """(N,) int64; objects where some are text or integers of more than 64 bits. Whole floats are integers."""
    ids = [int(one) if isinstance(one, float) and one.is_integer() else one for one in given]
    if all(isinstance(one, int) and _LOW <= one < -_LOW for one in ids):
        return np.array(ids, np.int64)
    column = np.empty(len(ids), np.object_)
    column[:] = ids
    return column


def _boxes(
    path: Path | str, results: Sequence[Result], masks: Sequence[RLE | None], keypoints: FloatArray | None
) -> FloatArray:
    """(N, 4) x, y, width, height as written, or around what is there instead."""
    boxes, bare = np.empty((len(results), 4)), []
    for i, result in enumerate(results):
        mask = masks[i]
        if result.bbox is not UNSET:
            boxes[i] = result.bbox
        elif mask is not None:
            boxes[i] = bounds_xywh(mask)
        elif keypoints is not None and not np.isnan(keypoints[i, :, :2]).all(axis=0).any():
            # Marks the row for `box_keypoints`, which fills all of them at once.
            boxes[i] = np.nan
        else:
            bare.append(i)
    if bare:
        raise ContractError(
            f"{path}: {Place('coco', bare[0]).at()}: it has no bbox, segmentation or keypoints "
            f"({len(bare)} of {counted(len(results), 'result')})",
            fix=repair_fix(path),
        )
    return boxes if keypoints is None else box_keypoints(boxes, keypoints)


def _keypoints(
    path: Path | str, results: Sequence[Result], masks: Sequence[RLE | None], left_out: _LeftOut
) -> FloatArray | None:
    """(N, K, 3) x, y in pixels and score, NaN where a result has none or fewer."""
    lists: list[Sequence[float]] = []
    for i, result in enumerate(results):
        given = result.keypoints or []
        problem = keypoints_problem(given)
        if problem:
            line = f"{Place('coco', i).at(('keypoints',))}: {problem}"
            if result.bbox is UNSET and masks[i] is None:
                raise ContractError(f"{path}: {line}", fix=repair_fix(path))
            left_out.add(_NO_KEYPOINTS, line)
        lists.append([] if problem else given)
    longest = max(map(len, lists), default=0)
    if not longest:
        return _corners(results)
    column = np.full((len(lists), longest), np.nan)
    for i, numbers in enumerate(lists):
        column[i, : len(numbers)] = numbers
    return np.asarray(column.reshape(len(lists), -1, 3), np.float64)


def _corners(results: Sequence[Result]) -> FloatArray | None:
    """(N, 4, 3) corners, where every result is one polygon of four: only oriented boxes are."""
    found = [corners_of_polygons(_segmentation(one)) or corners_of_polygons(one.poly) for one in results]
    if not found or any(one is None for one in found):
        return None
    corners = np.array(found, np.float64).reshape(-1, 4, 2)
    return np.pad(corners, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
