"""Predictions as Parquet: one row a detection.

Layout: ``image``, ``width``, ``height``, ``class_id``, ``score``, the box as ``cx``, ``cy``, ``w``, ``h``,
then the optional fields of a detection under their own names, null where a detection has none; ``extra`` is
JSON text. ``entry`` is JSON text of what an entry says beside its detections and size, in the first row of
each image. Rows of an image stand together. An image without detections has one row with all of a
detection's columns null. The file's key-value metadata has ``anydet``: JSON with ``schema_version`` and
``meta``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import msgspec

from anydet.contract.encode import encode_json
from anydet.contract.locations import Place
from anydet.contract.reading.source import RawEntry, Source
from anydet.contract.schema import VERSION
from anydet.contract.violations import parse, violations
from anydet.errors import AnydetError, ContractError, did_you_mean

KEY = b"anydet"
_ROWS = 50_000
_SIDES = ("cx", "cy", "w", "h")
_IMAGE = ("image", "width", "height", "entry")


def import_pyarrow() -> Any:
    """The pyarrow module; raises ``AnydetError`` that says how to get it."""
    try:
        import pyarrow.parquet
    except ImportError as exc:
        raise AnydetError(
            "Parquet needs the package pyarrow, which is not installed", fix="pip install 'anydet[parquet]'"
        ) from exc
    return pyarrow


def write_parquet(lines: Iterable[bytes], file: IO[bytes], *, meta: Mapping[str, Any] | None) -> None:
    """Encoded entries as row groups of some 50,000 detections; memory holds one of them."""
    pa = import_pyarrow()
    about = {"schema_version": VERSION} | ({} if meta is None else {"meta": meta})
    columns = schema(pa).with_metadata({KEY: encode_json(about, where="meta")})
    with pa.parquet.ParquetWriter(file, columns) as writer:
        rows: list[dict[str, Any]] = []
        for line in lines:
            rows += _rows(msgspec.json.decode(line))
            if len(rows) >= _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, columns))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, columns))


def open_parquet(path: Path) -> Source:
    """Take a Parquet file apart into the same raw entries that JSON files have.

    Raises:
        ContractError: not Parquet, or its columns are not those of the contract.
    """
    pa = import_pyarrow()
    try:
        file = pa.parquet.ParquetFile(path)
    except pa.ArrowException as exc:
        raise ContractError(
            f"{path}: not a Parquet file: {exc}", fix="write it again, or name it by what it is"
        ) from exc
    _check_columns(path, file.schema_arrow.names, schema(pa).names)
    source = Source(path, "parquet", _entries(file))
    about = (file.schema_arrow.metadata or {}).get(KEY)
    if about is not None:
        value, _ = parse(about)
        if isinstance(value, dict) and "meta" in value:
            source.meta = json.dumps(value.pop("meta")).encode()
        source.blame(violations(value, "lines_header"))
    return source


def schema(pa: Any) -> Any:
    """The columns that are written; files of others may lack optional ones."""
    number, numbers = pa.float64(), pa.list_(pa.float64())
    keypoint = pa.struct([("x", number), ("y", number), ("score", number), ("v", pa.int32())])
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("class_id", pa.int32()),
            ("score", number),
            *((side, number) for side in _SIDES),
            ("state", pa.int32()),
            ("state_scores", numbers),
            ("mask", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
            ("keypoints", pa.list_(keypoint)),
            ("log_z", number),
            ("rot6d", numbers),
            ("R", pa.list_(numbers)),
            ("t", numbers),
            ("offsets", numbers),
            ("k_delta", numbers),
            ("log_sigma_z", number),
            ("log_sigma_rot", number),
            ("extra", pa.string()),
            ("entry", pa.string()),
        ]
    )


def _rows(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one entry; the first one carries what the entry says beside its detections."""
    image, size = entry.pop("image"), entry.pop("image_size", {})
    detections = entry.pop("detections") or [{}]
    rest = encode_json(entry, where=image).decode() if entry else None
    for detection in detections:
        box = detection.pop("bbox", {})
        if "extra" in detection:
            detection["extra"] = encode_json(detection["extra"], where=image).decode()
        yield {"image": image, **size, **detection, **box, "entry": rest}
        rest = None


def _check_columns(path: Path, names: list[str], known: list[str]) -> None:
    problems = [
        f"{path}: unknown column {name!r}{did_you_mean(name, known)}" for name in names if name not in known
    ]
    missing = [name for name in ("image", "class_id", "score", *_SIDES) if name not in names]
    if missing:
        problems.append(f"{path}: missing columns: {', '.join(missing)}")
    if problems:
        raise ContractError(
            "\n".join(problems), fix="write it with 'anydet convert IN OUT.parquet'", issues=problems
        )


def _entries(file: Any) -> Iterator[RawEntry]:
    rows = (row for batch in file.iter_batches(_ROWS) for row in batch.to_pylist())
    for number, (image, group) in enumerate(groupby(rows, lambda row: row["image"])):
        yield Place("parquet", number), json.dumps(_entry(image, group)).encode()


def _entry(image: Any, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {} if image is None else {"image": image}
    detections = []
    for i, row in enumerate(rows):
        values = {name: _without_null(value) for name, value in row.items() if value is not None}
        if i == 0:
            entry |= _about_image(values)
        detection = {name: value for name, value in values.items() if name not in _IMAGE}
        if detection:
            detections.append(_detection(detection))
    return {**entry, "detections": detections}


def _about_image(values: dict[str, Any]) -> dict[str, Any]:
    size = {name: values[name] for name in ("width", "height") if name in values}
    about = {"image_size": size} if size else {}
    rest = _json(values.get("entry", "{}"))
    return about | (rest if isinstance(rest, dict) else {"entry": rest})


def _detection(values: dict[str, Any]) -> dict[str, Any]:
    box = {side: values.pop(side) for side in _SIDES if side in values}
    if box:
        values["bbox"] = box
    if "extra" in values:
        values["extra"] = _json(values["extra"])
    return values


def _json(text: Any) -> Any:
    """The value of a JSON column; text that is no JSON stays text, which the schema then refuses."""
    value, problems = parse(text.encode()) if isinstance(text, str) else (text, [])
    return text if problems else value


def _without_null(value: Any) -> Any:
    """Nested values without the nulls that Parquet's fixed structs are filled up with."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value
