"""Encoded entries into a Parquet file, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import IO, Any

import msgspec
from msgspec import UNSET

from anydet.contract.documents import Box, Detection, Entry, decode_entry
from anydet.contract.encode import encode_json
from anydet.contract.parquet_layout import IMAGE_FIELDS, KEY, ROWS, SIDES, import_pyarrow, schema
from anydet.contract.schema import VERSION
from anydet.contract.violations import normalized
from anydet.errors import ContractError

# In the one row of an image without detections; structs made in Python are not checked.
_NO_DETECTION = Detection(UNSET, UNSET, UNSET)  # type: ignore[arg-type]

_NO_BOX = (None,) * len(SIDES)


def write_parquet(lines: Iterable[bytes], file: IO[bytes], *, meta: Mapping[str, Any] | None) -> None:
    """Encoded entries as row groups of some 50,000 detections; memory holds one of them."""
    pa = import_pyarrow()
    about = {"schema_version": VERSION} | ({} if meta is None else {"meta": meta})
    layout = schema(pa).with_metadata({KEY: encode_json(about, where="meta")})
    with pa.parquet.ParquetWriter(file, layout) as writer:
        entries: list[Entry] = []
        rows = 0
        for line in lines:
            entries.append(_decode(line))
            rows += len(entries[-1].detections) or 1
            if rows >= ROWS:
                writer.write_table(_table(pa, layout, entries))
                entries, rows = [], 0
        # Also where nothing is left: a file without entries needs a row group to be readable as a table.
        writer.write_table(_table(pa, layout, entries))


def _decode(line: bytes) -> Entry:
    try:
        return decode_entry(line)
    except msgspec.ValidationError:
        pass
    try:
        # The schema takes 1.0 for an integer, and repaired entries may have it.
        entry: Entry = normalized(msgspec.json.decode(line), Entry)
    except msgspec.ValidationError as exc:
        raise ContractError(
            f"an entry breaks the contract: {exc}", fix="write entries of encode_entry"
        ) from exc
    return entry


def _table(pa: Any, layout: Any, entries: Sequence[Entry]) -> Any:
    detections = list(chain.from_iterable(entry.detections or (_NO_DETECTION,) for entry in entries))
    counts = [len(entry.detections) or 1 for entry in entries]
    sizes = [entry.image_size for entry in entries]
    columns: dict[str, list[Any]] = {
        "image": _repeated([entry.image for entry in entries], counts),
        "width": _repeated([None if size is UNSET else size.width for size in sizes], counts),
        "height": _repeated([None if size is UNSET else size.height for size in sizes], counts),
        "entry": _in_first_rows([_beside_detections(entry) for entry in entries], counts),
        **dict(zip(SIDES, _sides(detections), strict=True)),
    }
    for name in Detection.__struct_fields__:
        if name != "bbox":
            columns[name] = _values(detections, name)
    arrays = [_ARRAYS.get(field.name, _plain)(pa, field.type, columns[field.name]) for field in layout]
    return pa.Table.from_arrays(arrays, schema=layout)


def _values(structs: Sequence[msgspec.Struct], name: str) -> list[Any]:
    """One field of each, ``None`` where it is not there."""
    values = list(map(attrgetter(name), structs))
    return [None if value is UNSET else value for value in values] if UNSET in values else values


def _repeated(values: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _in_first_rows(values: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    column: list[Any] = []
    for value, count in zip(values, counts, strict=True):
        column += [value, *[None] * (count - 1)]
    return column


def _beside_detections(entry: Entry) -> str | None:
    """JSON text of what an entry has beside detections and size; ``None`` where that is nothing."""
    fields = {name: getattr(entry, name) for name in IMAGE_FIELDS}
    stated = {name: value for name, value in fields.items() if value is not UNSET}
    return msgspec.json.encode(stated).decode() if stated else None


def _sides(detections: Iterable[Detection]) -> tuple[list[Any], ...]:
    """Four columns of boxes, which a detection may have under names or as a list."""
    boxes: list[Any] = [detection.bbox for detection in detections]
    named = attrgetter(*SIDES)
    rows = [named(box) if isinstance(box, Box) else _NO_BOX if box is UNSET else box for box in boxes]
    return tuple(map(list, zip(*rows, strict=True))) or ([], [], [], [])


def _plain(pa: Any, kind: Any, column: list[Any]) -> Any:
    return pa.array(column, kind)


def _masks(pa: Any, kind: Any, column: list[Any]) -> Any:
    fields = [
        pa.array([None if mask is None else getattr(mask, field.name) for mask in column], field.type)
        for field in kind
    ]
    missing = pa.array([mask is None for mask in column], pa.bool_())
    return pa.StructArray.from_arrays(fields, fields=list(kind), mask=missing)


def _keypoints(pa: Any, kind: Any, column: list[Any]) -> Any:
    points = list(chain.from_iterable(row for row in column if row is not None))
    fields = [pa.array(_values(points, field.name), field.type) for field in kind.value_type]
    ends = accumulate(0 if row is None else len(row) for row in column)
    return pa.ListArray.from_arrays(
        pa.array([0, *ends], pa.int32()),
        pa.StructArray.from_arrays(fields, fields=list(kind.value_type)),
        mask=pa.array([row is None for row in column], pa.bool_()),
    )


def _texts(pa: Any, kind: Any, column: list[Any]) -> Any:
    return pa.array(
        [None if value is None else msgspec.json.encode(value).decode() for value in column], kind
    )


# pyarrow would take structs as dictionaries alone: one a mask, one a keypoint.
_ARRAYS: Mapping[str, Callable[[Any, Any, list[Any]], Any]] = {
    "mask": _masks,
    "keypoints": _keypoints,
    "extra": _texts,
}
