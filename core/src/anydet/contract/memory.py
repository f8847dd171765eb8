"""Predictions that are in memory, in the forms that training loops and libraries have them.

What is taken: ``ImagePredictions``, a list of them, or ``DetectionColumns``; COCO results (a list, or
pycocotools' (N, 7) array); entries of the contract, a list, wrapped or a map; dictionaries of ``boxes``,
``scores`` and ``labels`` (torchvision, torchmetrics, transformers), and all else that is read from JSON;
``supervision.Detections``. Tensors of torch are taken like arrays. A map has results by image; a list whose
results name no image is in the order of the data set.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.columns import to_columns
from anydet.contract.locations import MEMORY
from anydet.contract.raw import RawPredictions, Scan
from anydet.contract.reading.coco_results import coco_ids, read_coco_results, sizes_by_id
from anydet.contract.reading.entries import scan
from anydet.contract.reading.foreign.assembling import Kind, assemble, fix_of
from anydet.contract.reading.foreign.formats import of_source, read_given
from anydet.contract.reading.foreign.given import Found, Given, Ref
from anydet.contract.reading.foreign.outlines import recognized
from anydet.contract.reading.foreign.results import in_order
from anydet.contract.reading.json_source import open_document
from anydet.contract.reading.load import accepted, valid, without_truth
from anydet.contract.tensors import array_of
from anydet.errors import AnydetWarning, ContractError
from anydet.geometry.masks import encode
from anydet.types import DetectionColumns, GroundTruthColumns, ImagePredictions

NAME = MEMORY
_COLUMNS = 7
"""image_id, x, y, width, height, score, category_id: what ``COCO.loadRes`` takes as an array."""
_DETECTIONS = Kind("xyxy_abs", labels="class")
_LARGE = frozenset({"torchvision", "mmdetection"})
"""Formats whose arrays are taken as they are: as text, masks would be of many megabytes."""


def load_memory(
    predictions: Any, truth: GroundTruthColumns | None = None, class_map: str | None = None
) -> RawPredictions:
    """Predictions in memory as those of a file; warns of what is assumed, and of what is left out.

    Args:
        predictions: in one of the forms above.
        truth: the data set, which says what ids and orders mean.
        class_map: how category ids of COCO results count, where they are not the data set's (``result_ids``).

    Raises:
        ContractError: they are of no form that is known, or break its rules.
        OptionError: there is no such class map, or it does not fit the classes.
    """
    raw = accepted(valid(NAME, read_memory(predictions, truth, class_map)))
    for note in raw.notes:
        warnings.warn(note, AnydetWarning, stacklevel=3)
    return raw


def read_memory(
    predictions: Any, truth: GroundTruthColumns | None = None, class_map: str | None = None
) -> Scan:
    """As ``load_memory``, with what is wrong beside what is right."""
    if isinstance(predictions, ImagePredictions):
        predictions = [predictions]
    if isinstance(predictions, DetectionColumns):
        return Scan(_of_columns(predictions), ())
    value = _arrays(predictions)
    if isinstance(value, np.ndarray):
        value = _of_table(value)
    if not isinstance(value, Mapping | list):
        raise ContractError(
            f"{NAME}: {type(predictions).__name__} is none of the forms that are read",
            fix="give a list of results, a map of results by image, or a predictions file",
        )
    values = list(value.values()) if isinstance(value, Mapping) else value
    if values and all(isinstance(one, ImagePredictions) for one in values):
        return Scan(_of_columns(to_columns(values)), ())
    if _is_supervision(value) or (values and all(map(_is_supervision, values))):
        given = Given(Path(NAME), value=value, truth=truth, class_map=class_map)
        raw = assemble(given, _DETECTIONS, _of_supervision(given))
        return Scan(raw, given.all_problems(), fix_of(given) if given.problems else "")
    name = recognized(value)
    if name in _LARGE:
        return read_given(Given(Path(NAME), value=value, truth=truth, class_map=class_map), name)
    return _of_text(value, truth, class_map)


def _of_text(value: Any, truth: GroundTruthColumns | None, class_map: str | None) -> Scan:
    """What has a form of JSON, read as a file of it is."""
    try:
        # Python's writer keeps NaN, so that it is named with its place.
        text = json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise ContractError(
            f"{NAME}: neither results nor entries: {exc}",
            fix="give COCO results, dictionaries of boxes, scores and labels, or entries of the contract",
        ) from exc
    with open_document(Path(NAME), io.BufferedReader(io.BytesIO(text))) as source:
        if source.shape == "coco":
            if truth is None:
                raise without_truth(NAME)
            return Scan(
                read_coco_results(source, *coco_ids(truth, class_map), partial(sizes_by_id, truth)), ()
            )
        name = of_source(source)
        if name is not None:
            given = Given(Path(NAME), value=json.loads(text), truth=truth, class_map=class_map)
            return read_given(given, name)
        return scan(source)


def _of_columns(columns: DetectionColumns) -> RawPredictions:
    """Columns as if a file had them."""
    order = np.argsort(columns.image_index, kind="stable")
    if (np.diff(order) != 1).any():
        columns = columns.take(order)
    return RawPredictions(
        path=NAME,
        shape="other",
        images=columns.images,
        places=np.arange(len(columns.images)),
        sizes_wh=columns.sizes_wh,
        details={},
        image_index=columns.image_index,
        class_ids=columns.class_ids,
        boxes=columns.boxes_xywh_px,
        scores=columns.scores,
        states=columns.states,
        state_scores=columns.state_scores,
        masks=columns.masks,
        keypoints=columns.keypoints,
        keypoint_visibility=columns.keypoint_visibility,
        poses=columns.poses,
        classes=columns.classes,
        areas=columns.areas if columns.areas_stated else None,
        box_format="xywh_abs",
        keypoints_in_pixels=True,
        about=columns.about,
    )


def _of_table(table: Any) -> list[dict[str, Any]]:
    """COCO results of pycocotools' array."""
    if table.ndim != 2 or table.shape[1] != _COLUMNS or table.dtype.kind not in "fiu":
        raise ContractError(
            f"{NAME}: an array of shape {table.shape}, where (N, 7) belongs: image_id, x, y, width, height, "
            "score, category_id",
            fix="give columns in that order, as COCO.loadRes takes them",
        )
    return [
        {"image_id": row[0], "bbox": row[1:5], "score": row[5], "category_id": row[6]}
        for row in table.tolist()
    ]


def _of_supervision(given: Given) -> Iterator[Found]:
    """``supervision.Detections``: corners in pixels, class ids from 0, or names in ``data["class_name"]``."""
    value = [given.value] if _is_supervision(given.value) else given.value
    if isinstance(value, Mapping):
        named: Iterable[tuple[Ref, Any]] = value.items()
    else:
        stated = [getattr(one, "metadata", {}).get("image") for one in value]
        names: list[Any] = in_order(given, len(value)) if None in stated else stated
        named = zip(names, value, strict=True)
    for image, one in named:
        count = len(one.xyxy)
        data = getattr(one, "data", None) or {}
        scores = np.ones(count) if one.confidence is None else np.asarray(one.confidence, np.float64)
        if one.confidence is None and count:
            note = (
                f"{NAME}: detections without confidence count with score 1, which says nothing of their order"
            )
            given.notes += [note] if note not in given.notes else []
        labels = data.get("class_name", np.zeros(count, np.int64) if one.class_id is None else one.class_id)
        masks = None if one.mask is None else [encode(m) if m.any() else None for m in one.mask]
        yield Found(
            image if isinstance(image, int) else str(image),
            str(image),
            np.asarray(one.xyxy, np.float64).reshape(-1, 4),
            scores,
            [str(v) if isinstance(v, str) else int(v) for v in labels],
            size_wh=given.size_wh(image),
            masks=masks,
        )


def _is_supervision(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("xyxy", "confidence", "class_id", "mask"))


def _arrays(value: Any) -> Any:
    """Lists and maps as they are, with arrays in place of tensors; iterators are run through."""
    if isinstance(value, ImagePredictions | str | bytes | np.ndarray) or _is_supervision(value):
        return value
    if hasattr(value, "detach"):
        return array_of(value)
    if isinstance(value, Mapping):
        return {key: _arrays(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        # Lists of numbers are most of what there is, and nothing in them is looked at.
        plain = value and isinstance(value[0], int | float)
        return list(value) if plain else [_arrays(one) for one in value]
    return [_arrays(one) for one in value] if isinstance(value, Iterator) else value


def _plain(value: Any) -> Any:
    """What numpy and pycocotools have, as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bytes):  # counts of pycocotools
        return value.decode("ascii")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def columns_of(raw: RawPredictions, truth: GroundTruthColumns | None) -> DetectionColumns:
    """The columns in pixels, with the data set's sizes where it is known."""
    if truth is None:
        return raw.columns()
    position = {key: i for i, key in enumerate(truth.images)}
    at = np.array([position.get(key, -1) for key in raw.images], np.int64)
    sizes = np.where((at >= 0)[:, None], truth.sizes_wh[np.maximum(at, 0)].reshape(-1, 2), -1)
    return replace(raw.columns(sizes_wh=sizes), classes=raw.classes)
