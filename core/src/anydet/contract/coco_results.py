"""COCO results files: boxes, masks or keypoints under a data set's own image and category ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from anydet.contract.documents import Mask
from anydet.contract.masks import rle_problem
from anydet.contract.places import Place, listed
from anydet.contract.raw import RawPredictions
from anydet.contract.source import UNREADABLE, open_source
from anydet.contract.table import rle
from anydet.errors import ContractError
from anydet.geometry.masks import bounds_xywh
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
    path: Path | str, image_keys: Mapping[int, str], class_ids: Mapping[int, int]
) -> RawPredictions:
    """The columns of a COCO results file, boxes and scores bit for bit as written.

    Rows are grouped by image, in the order of ``image_keys``, and keep the file's order within one.
    ``images`` are those of ``image_keys`` with results. A missing box is the one around the mask, or around
    the keypoints.

    Args:
        path: the file.
        image_keys: the data set's image id -> image key.
        class_ids: the data set's category id -> contiguous class id.

    Raises:
        ContractError: not a results file, or ids that the data set does not have, which it names.
    """
    results = _read(Path(path))
    image_ids = np.array([r.image_id for r in results], np.int64)
    category_ids = np.array([r.category_id for r in results], np.int64)
    _refuse_unknown(path, "image_id", image_ids, image_keys)
    _refuse_unknown(path, "category_id", category_ids, class_ids)
    place = {image_id: i for i, image_id in enumerate(image_keys)}
    at = np.array([place[i] for i in image_ids.tolist()], np.int64)
    order = np.argsort(at, kind="stable")
    present, image_index = np.unique(at[order], return_inverse=True)
    keys = list(image_keys.values())
    results = [results[i] for i in order.tolist()]
    masks = [None if r.segmentation is UNSET else rle(r.segmentation) for r in results]
    keypoints = _keypoints(path, results)
    return RawPredictions(
        path=str(path),
        shape="coco",
        images=tuple(keys[i] for i in present.tolist()),
        places=np.searchsorted(at[order], present),
        sizes_wh=np.full((len(present), 2), -1, np.int64),
        details={},
        image_index=image_index.reshape(-1).astype(np.int64),
        class_ids=np.array([class_ids[i] for i in category_ids[order].tolist()], np.int64),
        boxes=_boxes(path, results, masks, keypoints),
        scores=np.array([r.score for r in results], np.float64),
        masks=tuple(masks) if any(masks) else None,
        keypoints=keypoints,
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


def _read(path: Path) -> list[Result]:
    """Typed, at once where all is well; else result by result, to name the wrong ones."""
    source = open_source(path)
    if source.shape not in ("coco", "list"):
        raise ContractError(
            f"{path}: not a COCO results file, which is a list of results",
            fix="give a list of objects with image_id, category_id, score and bbox",
        )
    try:
        results = _decode(path.read_bytes())
        problems: list[str] = []
    except UNREADABLE:
        results, problems = [], []
        for place, raw in source.entries:
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


def _refuse_unknown(path: Path | str, name: str, ids: IntArray, known: Mapping[int, Any]) -> None:
    unknown = [i for i in np.unique(ids).tolist() if i not in known]
    if unknown:
        shown = ", ".join(map(str, unknown[:_NAMED])) + (", ..." if len(unknown) > _NAMED else "")
        row = int(np.argmax(ids == unknown[0]))
        raise ContractError(
            f"{path}: {len(unknown)} values of {name} that the data set does not have: {shown} "
            f"(first at {Place('coco', row).at((name,))})",
            fix="give the data set that the results were made on: --dataset and --split",
        )


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
            points = np.array(result.keypoints).reshape(-1, 3)[:, :2]
            boxes[i] = np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
        else:
            raise ContractError(
                f"{path}: a result of image {result.image_id} has no bbox, segmentation or keypoints",
                fix="give each result one of them",
            )
    return boxes


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
    return column.reshape(len(lists), -1, 3)
