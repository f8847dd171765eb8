"""Columns of Parquet as columns of predictions, where they are as ``write_parquet`` writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from anydet.contract.documents import INT_MAX
from anydet.contract.parquet_layout import IMAGE, IMAGE_FIELDS, SIDES, schema
from anydet.contract.reading.assemble import POSE_SHAPES
from anydet.mask_columns import MaskColumn
from anydet.scanner import Ragged, RawTexts, ScannedPredictions, Sparse
from anydet.types import RLE, BoolArray, IntArray

_FIRST, _LAST = b"0"[0], b"o"[0]
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class UnusualError(Exception):
    """Something that reading entry by entry must judge."""


def read_columns(pa: Any, file: Any) -> ScannedPredictions | None:
    """All columns at once; ``None`` where anything in them is wrong, or not as this program writes it.

    Args:
        pa: the pyarrow module.
        file: an opened ``ParquetFile`` with ``read_dictionary=["image"]``, so that a key is decoded once; the
            names of its columns are those of the layout.
    """
    try:
        wanted = {field.name: field.type for field in schema(pa)}
        for field in file.schema_arrow:
            if field.name == "image":
                _need(pa.types.is_dictionary(field.type) and pa.types.is_string(field.type.value_type))
            else:
                _need(_alike(pa, field.type, wanted[field.name]))
        return _columns(file.read())
    except (pa.ArrowException, OSError, UnusualError, msgspec.DecodeError, UnicodeError):
        return None


def _alike(pa: Any, kind: Any, wanted: Any) -> bool:
    """Whether a column is of the type that is written, or another kind of integer."""
    return bool(kind == wanted or (wanted == pa.int32() and pa.types.is_integer(kind)))


def _need(holds: Any) -> None:
    if not holds:
        raise UnusualError


def _columns(table: Any) -> ScannedPredictions:
    keys, starts = _images(table["image"])
    there = _valid(table["class_id"])
    for name in table.column_names:
        if name in {"score", *SIDES}:
            _need((_valid(table[name]) == there).all())
        elif name not in IMAGE:
            _need(not (_valid(table[name]) & ~there).any())
    rows = _Rows(table, np.cumsum(there) - 1)
    scores, class_ids = rows.numbers("score").values, rows.numbers("class_id").values
    boxes = np.stack([rows.numbers(side).values for side in SIDES], axis=1).astype(np.float64)
    _need(_unit(scores) and _index(class_ids) and np.isfinite(boxes).all() and (boxes[:, 2:] >= 0).all())
    return ScannedPredictions(
        shape="list",
        meta=b"",
        images=keys,
        places=np.arange(len(keys)),
        counts=np.add.reduceat(there, starts, dtype=np.int64) if len(starts) else np.zeros(0, np.int64),
        sizes_wh=_sizes(table, starts),
        class_ids=class_ids.astype(np.int64),
        scores=scores.astype(np.float64),
        boxes=boxes,
        states=rows.states(),
        state_scores=rows.state_scores(),
        keypoints=rows.keypoints(),
        masks=rows.masks(len(scores)),
        poses={name: rows.vectors(name, shape) for name, shape in POSE_SHAPES.items()},
        extra=rows.texts("extra"),
        about=_about(table, starts),
    )


def _valid(column: Any) -> BoolArray:
    """(R,) which rows are not null."""
    valid: BoolArray = column.is_valid().to_numpy()
    return valid


def _unit(values: NDArray[Any]) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _index(values: NDArray[Any]) -> bool:
    return bool(((values >= 0) & (values <= INT_MAX)).all())


def _images(column: Any) -> tuple[tuple[str, ...], IntArray]:
    """Keys in the order of the file, and the first row of each."""
    _need(column.null_count == 0)
    # Each chunk of a column has a dictionary of its own, by which equal codes mean different keys.
    whole = column.unify_dictionaries().combine_chunks()
    if not len(whole):
        return (), np.zeros(0, np.int64)
    codes = whole.indices.to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1])
    names = whole.dictionary.to_pylist()
    keys = tuple(names[code] for code in codes[starts].tolist())
    _need(all(keys))
    return keys, starts


def _sizes(table: Any, starts: IntArray) -> IntArray:
    """(I, 2), -1 where the file states none."""
    sides = [
        table[name].take(starts).fill_null(-1).to_numpy()
        for name in ("width", "height")
        if name in table.column_names
    ]
    if not sides:
        return np.full((len(starts), 2), -1, np.int64)
    _need(len(sides) == 2)
    sizes = np.stack(sides, axis=1).astype(np.int64)
    _need(((sizes > 0).all(axis=1) | (sizes == -1).all(axis=1)).all() and (sizes <= INT_MAX).all())
    return sizes


def _about(table: Any, starts: IntArray) -> dict[str, RawTexts]:
    """What entries say beside detections and size, by the field's name."""
    found: dict[str, list[tuple[int, bytes]]] = {name: [] for name in IMAGE_FIELDS}
    if "entry" in table.column_names:
        for image, text in enumerate(table["entry"].take(starts).to_pylist()):
            for name, raw in _decode_fields(text).items() if text is not None else ():
                _need(name in found)
                found[name].append((image, bytes(raw)))
    return {name: _texts(texts) for name, texts in found.items()}


def _texts(texts: list[tuple[int, bytes]]) -> RawTexts:
    return RawTexts(
        np.array([row for row, _ in texts], np.int64),
        np.cumsum([len(text) for _, text in texts], dtype=np.int64),
        np.frombuffer(b"".join(text for _, text in texts), np.uint8),
    )


class _Rows:
    """Columns of detections; ``place`` is the detection that a row of the table is."""

    def __init__(self, table: Any, place: IntArray) -> None:
        self._table = table
        self._place = place

    def _known(self, name: str) -> tuple[IntArray, Any]:
        """Detections that have a value, and these values as one arrow array; ``None`` for no column."""
        if name not in self._table.column_names:
            return np.zeros(0, np.int64), None
        column = self._table[name]
        values = column.drop_null().combine_chunks()
        return self._place[_valid(column)], values

    def numbers(self, name: str) -> Sparse:
        """Finite numbers."""
        rows, values = self._known(name)
        column = np.zeros(0) if values is None else values.to_numpy(zero_copy_only=False)
        _need(column.dtype.kind != "f" or np.isfinite(column).all())
        return Sparse(rows, column)

    def states(self) -> Sparse:
        found = self.numbers("state")
        _need(_index(found.values))
        return Sparse(found.rows, found.values.astype(np.int64))

    def vectors(self, name: str, shape: tuple[int, ...]) -> Sparse:
        """Numbers, or lists of them, or lists of lists, of a fixed shape; flat."""
        if not shape:
            return self.numbers(name)
        rows, values = self._known(name)
        for length in shape:
            if values is not None:
                _need((_lengths(values) == length).all())
                values = values.flatten()
        return Sparse(rows, _finite(values).reshape(-1, math.prod(shape)))

    def state_scores(self) -> Ragged:
        rows, lists = self._known("state_scores")
        scores = _finite(None if lists is None else lists.flatten())
        _need(_unit(scores))
        return Ragged(rows, _ends(lists), scores)

    def keypoints(self) -> Ragged:
        rows, lists = self._known("keypoints")
        points = None if lists is None else lists.flatten()
        if points is None or not len(points):
            return Ragged(rows, _ends(lists), np.zeros((0, 4)))
        _need(points.null_count == 0)
        x, y, scores, seen = (points.field(name) for name in ("x", "y", "score", "v"))
        known, marks = _finite(scores.drop_null()), seen.fill_null(-1).to_numpy(zero_copy_only=False)
        _need(
            _unit(known) and ((marks >= -1) & (marks <= 2)).all() and (seen.drop_null().to_numpy() >= 0).all()
        )
        values = np.stack([_finite(x), _finite(y), scores.to_numpy(zero_copy_only=False), marks], axis=1)
        return Ragged(rows, _ends(lists), values.astype(np.float64))

    def masks(self, count: int) -> MaskColumn | None:
        rows, values = self._known("mask")
        if values is None or not len(values):
            return None
        sizes, counts = values.field("size"), values.field("counts")
        _need(sizes.null_count == 0 and counts.null_count == 0 and (_lengths(sizes) == 2).all())
        flat = sizes.flatten()
        _need(flat.null_count == 0)
        sides = flat.to_numpy().reshape(-1, 2)
        texts = counts.to_pylist()
        letters = np.frombuffer("".join(texts).encode(), np.uint8)
        _need((sides >= 1).all() and (sides <= INT_MAX).all() and all(texts))
        _need(((letters >= _FIRST) & (letters <= _LAST)).all())
        column: list[RLE | None] = [None] * count
        for row, (height, width), text in zip(rows.tolist(), sides.tolist(), texts, strict=True):
            column[row] = RLE((height, width), text)
        return MaskColumn.of(column)

    def texts(self, name: str) -> RawTexts:
        rows, values = self._known(name)
        return _texts(list(self._encoded(rows, values)))

    @staticmethod
    def _encoded(rows: IntArray, values: Any) -> Iterator[tuple[int, bytes]]:
        for row, text in zip(rows.tolist(), values.to_pylist() if values is not None else (), strict=True):
            yield row, text.encode()


def _lengths(lists: Any) -> IntArray:
    found: IntArray = lists.value_lengths().to_numpy(zero_copy_only=False)
    return found


def _ends(lists: Any) -> IntArray:
    return np.zeros(0, np.int64) if lists is None else np.cumsum(_lengths(lists), dtype=np.int64)


def _finite(values: Any) -> NDArray[np.float64]:
    """Numbers of an arrow array without nulls; none for ``None``."""
    if values is None:
        return np.zeros(0)
    _need(values.null_count == 0)
    column: NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    _need(np.isfinite(column).all())
    return column
