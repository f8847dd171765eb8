"""What results of adapters and fusions must be before anything is kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anydet.contract.encode import encode_json
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import ContractError, PluginError
from anydet.geometry.boxes import clip_xyxy
from anydet.mask_columns import MaskColumn
from anydet.plugins.adapter import Adapter, AdapterNotes
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.types import RLE, BoolArray, Classification, ImagePredictions, Intrinsics, Poses, Size

_FLOAT, _INTEGER = np.dtype(np.float64), np.dtype(np.int64)
_FAR = 1e15
"""Pixels; an edge so far away is as good as infinite, and below it the width of a box cannot overflow."""
_BITS_OF_1 = int(np.float64(1).view(np.uint64))
_LARGEST_ID = 2**31
"""Class ids without a table are below it: files and engines hold them as int32."""

_Kind: TypeAlias = np.dtype[Any]
_Width: TypeAlias = tuple[int | None, ...]
_COLUMNS: Mapping[str, tuple[_Kind, _Width]] = {
    "boxes_xyxy_px": (_FLOAT, (4,)),
    "scores": (_FLOAT, ()),
    "class_ids": (_INTEGER, ()),
    "states": (_INTEGER, ()),
    "state_scores": (_FLOAT, (None,)),
    "keypoints": (_FLOAT, (None, 3)),
    "keypoint_visibility": (_INTEGER, (None,)),
}
"""Column -> its type, and the shape of a row; ``None`` is any number."""
_POSES: Mapping[str, _Width] = {
    "log_z": (),
    "rot6d": (6,),
    "rotations": (3, 3),
    "translations_m": (3,),
    "offsets_px": (2,),
    "k_delta": (4,),
    "log_sigma_z": (),
    "log_sigma_rot": (),
}


def check_results(
    given: object, records: Sequence[Record], classes: int | None, calls: PluginCalls
) -> list[ImagePredictions]:
    """What ``predict`` gave for records: one whole result each, in their order.

    Args:
        given: by ``predict``, of any type.
        records: that it was called with.
        classes: number of classes, or ``None`` where it is unknown.
        calls: what gave it, for the error.

    Raises:
        PluginError: results are missing, surplus or out of order, or one is not whole (``check_values``).
    """
    if not isinstance(given, Iterable):
        raise calls.error(f"gave {type(given).__name__} in predict, not results one by one")
    keys = [record.key for record in records]
    # One more than there should be is enough to know, however many follow.
    results = list(islice(given, len(keys) + 1))
    for result in results:
        if not isinstance(result, ImagePredictions):
            raise calls.error(f"gave {type(result).__name__} in predict, not ImagePredictions")
    got = [result.image for result in results]
    if got != keys:
        more = " or more" * (len(got) > len(keys))
        raise calls.error(
            f"gave results for {got[:3]}... ({len(got)}{more}) where {keys[:3]}... ({len(keys)}) were "
            "expected: one result a record, in order"
        )
    return check_values(results, [record.size_wh for record in records], classes, calls)


def check_values(
    results: Sequence[ImagePredictions], sizes_wh: Sequence[Size], classes: int | None, calls: PluginCalls
) -> list[ImagePredictions]:
    """The results with columns of float64 and int64, every value one that a predictions file can state.

    An infinite edge of a box is beyond the image and becomes the image's border: a detection of little
    score may overflow in fp16, and its box is right when it is clipped. A box whose edges are both at the
    same infinity is nowhere, and refused.

    Args:
        results: of a batch, or one.
        sizes_wh: of the images.
        classes: number of classes, or ``None`` where it is unknown.
        calls: what gave the results, for the error.

    Raises:
        PluginError: names the image, the field and what is wrong.
    """
    # All at once where all is well: a look at each image costs as much as the rest of the pipeline.
    if all(map(_plain, results, sizes_wh)) and _fine(results, classes):
        return list(results)
    return [
        _Inspection(result, size, classes, calls).checked()
        for result, size in zip(results, sizes_wh, strict=True)
    ]


def check_notes(adapter: Adapter, plugins: Plugins | None = None) -> AdapterNotes:
    """The notes of an adapter; ``PluginError`` where they cannot be had or are none, or have no JSON form."""
    calls = PluginCalls("adapters", adapter.name, plugins)
    with calls.to("notes"):
        notes = adapter.notes
        if not isinstance(notes, AdapterNotes):
            raise calls.error(f"gave {type(notes).__name__} as notes, not AdapterNotes")
        require_json(asdict(notes), "notes", calls)
    return notes


def require_json(value: Any, method: str, calls: PluginCalls) -> None:
    """Raise ``PluginError`` where what a method of a plugin gave has no JSON form."""
    try:
        encode_json(value, where=method)
    except ContractError as exc:
        raise calls.error(f"gave what meta cannot state: {exc.problem}") from exc


def _plain(result: ImagePredictions, size_wh: Size) -> bool:
    """Whether there are boxes, scores and class ids of the right types and shapes, and nothing else."""
    # Of any type, whatever the class declares: what a plugin gives is not what mypy has seen.
    boxes: Any = result.boxes_xyxy_px
    scores: Any = result.scores
    ids: Any = result.class_ids
    return (
        type(boxes) is type(scores) is type(ids) is np.ndarray
        and boxes.dtype == scores.dtype == _FLOAT
        and ids.dtype == _INTEGER
        and scores.ndim == 1
        and ids.shape == scores.shape
        and boxes.shape == (scores.size, 4)
        and type(result.size_wh) is tuple
        and result.size_wh == size_wh
        and result.masks is None
        and result.states is None
        and result.state_scores is None
        and result.keypoints is None
        and result.keypoint_visibility is None
        and result.poses is None
        and result.detection_extra is None
        and result.classification is None
        and result.semantic_mask is None
        and result.intrinsics is None
        and result.preprocess is None
        and not result.extra
    )


def _fine(results: Sequence[ImagePredictions], classes: int | None) -> bool:
    """Whether boxes are finite, scores in [0, 1] and class ids in range."""
    if not any(map(len, results)):
        return True
    scores = _joined([result.scores for result in results])
    boxes = _joined([result.boxes_xyxy_px.ravel() for result in results])
    ids = _joined([result.class_ids for result in results])
    # Read as unsigned integers, floats from 0 to 1 are in their order, and negative ones, infinity and NaN
    # are above them, as negative ids are above all others: one look at the largest is enough. The least and
    # the largest of floats are NaN where one is, and no comparison with NaN is true.
    return bool(
        np.maximum.reduce(scores.view(np.uint64)) <= _BITS_OF_1
        and np.minimum.reduce(boxes) > -_FAR
        and np.maximum.reduce(boxes) < _FAR
        and np.maximum.reduce(ids.view(np.uint64)) < (_LARGEST_ID if classes is None else classes)
    )


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


@dataclass(frozen=True, slots=True)
class _Inspection:
    """A look at one result, field by field."""

    result: ImagePredictions
    size_wh: Size
    classes: int | None
    calls: PluginCalls

    def checked(self) -> ImagePredictions:
        """The result with columns of the right types and finite boxes; raises at the first fault."""
        self._size()
        columns = {name: self._column(name, *kind) for name, kind in _COLUMNS.items()}
        columns["masks"] = self._rows("masks", self.result.masks)
        columns["detection_extra"] = self._rows("detection_extra", self.result.detection_extra)
        columns["boxes_xyxy_px"] = self._bounded(columns["boxes_xyxy_px"])
        whole = replace(self.result, **columns)
        for name, good, what in self._numbers(whole):
            self._require(name, getattr(whole, name), good, what)
        for row, mask in enumerate(() if whole.masks is None else self._unlike_masks(whole.masks)):
            if mask is not None:
                self._mask(f"masks[{row}]", mask)
        if whole.poses is not None:
            self._poses(whole.poses)
        self._image_fields()
        self._free_data(whole)
        return whole

    def _fault(self, problem: str) -> PluginError:
        return self.calls.error(f"gave {problem} on image {self.result.image!r}")

    def _require(self, name: str, column: NDArray[Any], good: BoolArray, what: str) -> None:
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            raise self.calls.error(
                f"gave {what} on image {self.result.image!r}: {name}[{row}] is {column[row].tolist()}"
            )

    def _size(self) -> None:
        size = self.result.size_wh
        if not isinstance(size, Iterable) or tuple(size) != tuple(self.size_wh):
            raise self._fault(f"size_wh {size!r}, where {self.size_wh} is right,")

    def _column(self, name: str, kind: _Kind, width: _Width) -> Any:
        column = getattr(self.result, name)
        if column is None and name not in ("boxes_xyxy_px", "scores", "class_ids"):
            return None
        return self._array(name, column, kind, width)

    def _array(self, name: str, column: object, kind: _Kind, width: _Width) -> NDArray[Any]:
        if not isinstance(column, np.ndarray):
            raise self._fault(f"{name} as {type(column).__name__}, not as numpy array,")
        if column.dtype.kind not in ("f" if kind is _FLOAT else "iu"):
            raise self._fault(f"{name} of type {column.dtype}, not {kind},")
        rows = np.size(self.result.scores)
        wanted = (rows, *width)
        if column.ndim != len(wanted) or any(
            n not in (None, got) for n, got in zip(wanted, column.shape, strict=True)
        ):
            raise self._fault(f"{name} of shape {column.shape} for {rows} scores")
        return column.astype(kind, copy=False)

    def _rows(self, name: str, column: Any) -> Any:
        """A column of objects; a list, from which rows cannot be taken, becomes a tuple."""
        if column is None:
            return None
        if not isinstance(column, Sequence):
            raise self._fault(f"{name} as {type(column).__name__}, not as tuple,")
        if len(column) != len(self.result.scores):
            raise self._fault(f"{len(column)} {name} for {len(self.result.scores)} scores")
        return tuple(column) if isinstance(column, list) else column

    def _bounded(self, boxes: NDArray[Any]) -> NDArray[Any]:
        infinite = np.abs(boxes) >= _FAR
        if not infinite.any():
            return boxes
        nowhere: Any = (boxes[:, :2] >= _FAR).any(axis=1) | (boxes[:, 2:] <= -_FAR).any(axis=1)
        self._require("boxes_xyxy_px", boxes, ~nowhere, "a box that is nowhere")
        return np.where(infinite, clip_xyxy(boxes, self.size_wh), boxes)

    def _numbers(self, whole: ImagePredictions) -> Iterable[tuple[str, Any, str]]:
        """Column, which of its rows are good, and what the others are."""
        yield "boxes_xyxy_px", ~np.isnan(whole.boxes_xyxy_px).any(axis=1), "a box that is not a number"
        yield "scores", (whole.scores >= 0) & (whole.scores <= 1), "a score that is not in [0, 1]"
        ids, most = whole.class_ids, self._most
        yield "class_ids", (ids >= 0) & (ids < most), f"a class id out of range (0 to {most - 1} are known)"
        if whole.states is not None:
            states = whole.states
            yield "states", (states >= -1) & (states < _LARGEST_ID), "a state that is none"
        if whole.state_scores is not None:
            good = _probabilities(whole.state_scores).all(axis=1)
            yield "state_scores", good, "a state score that is not in [0, 1]"
            unknown = np.isnan(whole.state_scores)
            # A file has as many scores as are known, and no gaps.
            good = (unknown[:, 1:] >= unknown[:, :-1]).all(axis=1)
            yield "state_scores", good, "a state score after one that is unknown"
        if whole.keypoints is not None:
            good = ~np.isinf(whole.keypoints[..., :2]).any(axis=(1, 2))
            yield "keypoints", good, "a keypoint that is infinite"
            good = _probabilities(whole.keypoints[..., 2]).all(axis=1)
            yield "keypoints", good, "a keypoint whose score is not in [0, 1]"
        if whole.keypoint_visibility is not None:
            visible = whole.keypoint_visibility
            good = ((visible >= -1) & (visible <= 2)).all(axis=1)
            yield "keypoint_visibility", good, "a visibility that is not 0, 1, 2 or -1"

    @property
    def _most(self) -> int:
        return _LARGEST_ID if self.classes is None else self.classes

    def _unlike_masks(self, masks: Sequence[RLE | None]) -> Sequence[RLE | None]:
        """All masks, or none where a column has the right sizes: its objects need not be made."""
        if isinstance(masks, MaskColumn):
            good = masks.missing | (masks.sizes_hw == np.array(self.size_wh)[::-1]).all(axis=1)
            return () if good.all() else masks
        return masks

    def _mask(self, name: str, mask: object) -> None:
        if not isinstance(mask, RLE) or not isinstance(mask.counts, str):
            raise self._fault(f"{name} as {type(mask).__name__}, not as RLE,")
        width, height = self.size_wh
        if tuple(mask.size_hw) != (height, width):
            raise self._fault(f"{name} of {mask.size_hw} pixels, where the image has {(height, width)},")

    def _poses(self, poses: object) -> None:
        if not isinstance(poses, Poses):
            raise self._fault(f"poses as {type(poses).__name__}, not as Poses,")
        for name, width in _POSES.items():
            column = getattr(poses, name)
            if column is None:
                continue
            values = self._array(f"poses.{name}", column, _FLOAT, width).reshape(len(column), -1)
            # A row of NaN is an object without that value; some of its numbers alone have no meaning.
            good = np.isfinite(values).all(axis=1) | np.isnan(values).all(axis=1)
            self._require(f"poses.{name}", column, good, "a pose that is not finite")

    def _image_fields(self) -> None:
        whole, masks, camera = self.result.classification, self.result.semantic_mask, self.result.intrinsics
        if whole is not None:
            self._classification(whole)
        if masks is not None:
            if not isinstance(masks, Mapping):
                raise self._fault(f"semantic_mask as {type(masks).__name__}, not class id to RLE,")
            for class_id, mask in masks.items():
                self._class_id("semantic_mask", class_id)
                self._mask(f"semantic_mask[{class_id}]", mask)
        if camera is not None and not (
            isinstance(camera, Intrinsics)
            and all(_is_number(v) for v in (camera.fx, camera.fy, camera.cx, camera.cy))
            and min(camera.fx, camera.fy) > 0
        ):
            raise self._fault(f"intrinsics that are not finite, or no focal lengths above 0, {camera!r},")

    def _classification(self, whole: object) -> None:
        if not isinstance(whole, Classification):
            raise self._fault(f"classification as {type(whole).__name__}, not as Classification,")
        self._class_id("classification", whole.class_id)
        scores = (whole.score, *(whole.scores or ()))
        if not all(_is_number(score) and 0 <= score <= 1 for score in scores):
            raise self._fault(f"a classification with a score that is not in [0, 1], {whole!r},")

    def _class_id(self, name: str, class_id: object) -> None:
        if not isinstance(class_id, int | np.integer) or not 0 <= class_id < self._most:
            raise self._fault(
                f"{name} with class id {class_id!r}, which is out of range (0 to {self._most - 1} are known),"
            )

    def _free_data(self, whole: ImagePredictions) -> None:
        """What is written as it is must have a JSON form."""
        for name, value in (
            ("extra", whole.extra or None),
            ("preprocess", whole.preprocess),
            *((f"detection_extra[{row}]", extra) for row, extra in enumerate(whole.detection_extra or ())),
        ):
            if value is None:
                continue
            if not isinstance(value, Mapping):
                raise self._fault(f"{name} as {type(value).__name__}, not as mapping,")
            try:
                encode_json(value, where=name)
            except ContractError as exc:
                raise self._fault(f"what has no JSON form ({exc.problem})") from exc


def _probabilities(values: NDArray[Any]) -> BoolArray:
    """Which values are in [0, 1], or unknown."""
    good: BoolArray = np.isnan(values) | ((values >= 0) & (values <= 1))
    return good


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and bool(np.isfinite(value))
