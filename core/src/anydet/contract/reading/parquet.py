"""A Parquet file of predictions opened: its columns where all is well, else its entries one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from anydet.contract.locations import Place
from anydet.contract.parquet_layout import IMAGE, KEY, REQUIRED, ROWS, SIDES, import_pyarrow, schema
from anydet.contract.reading.parquet_columns import read_columns
from anydet.contract.reading.source import RawEntry, Source
from anydet.contract.schema import VERSION
from anydet.contract.violations import parse, violations
from anydet.errors import ContractError, did_you_mean


def open_parquet(path: Path) -> Source:
    """A Parquet file as columns, and as the same raw entries that JSON files have.

    Raises:
        ContractError: not Parquet, or its columns are not those of the contract.
    """
    pa = import_pyarrow()
    try:
        # A file of pyarrow's own, and nothing read ahead: threads that read a file of Python's go on
        # after an error, and one that is left when Python ends aborts the process.
        native = pa.OSFile(os.fsencode(path))
        table = _open(pa, native)
        names = table.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeError) as exc:
        raise ContractError(
            f"{path}: not a Parquet file: {exc}", fix="write it again, or name it by what it is"
        ) from exc
    _check_columns(path, names, schema(pa).names)
    source = Source(
        path, "parquet", lambda: _entries(path, table), columns=lambda: read_columns(pa, table), file=native
    )
    about = (table.schema_arrow.metadata or {}).get(KEY)
    if about is not None:
        value, _ = parse(about)
        if isinstance(value, dict) and "meta" in value:
            source.meta = json.dumps(value.pop("meta")).encode()
        # The schema is loaded only where there is something to say: its package imports slowly.
        if json.dumps(value) != json.dumps({"schema_version": VERSION}):
            source.blame(violations(value, "lines_header"))
    return source


def _open(pa: Any, native: Any) -> Any:
    """A ``ParquetFile`` that decodes each key once, where keys are a plain column."""
    try:
        return pa.parquet.ParquetFile(native, read_dictionary=["image"], pre_buffer=False)
    except KeyError:  # there is no such column
        return pa.parquet.ParquetFile(native, pre_buffer=False)


def _check_columns(path: Path, names: list[str], known: list[str]) -> None:
    problems = [
        f"{path}: unknown column {name!r}{did_you_mean(name, known)}" for name in names if name not in known
    ]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        problems.append(f"{path}: missing columns: {', '.join(missing)}")
    if problems:
        raise ContractError.of(problems, fix="write it with 'anydet convert IN OUT.parquet'")


def _entries(path: Path, table: Any) -> Iterator[RawEntry]:
    names = table.schema_arrow.names
    image = names.index("image")
    for number, (_, group) in enumerate(groupby(_rows(path, table), itemgetter(image))):
        # NaN passes, so that it can be named with its place; values that no JSON has become text, which the
        # schema refuses.
        entry = json.dumps(_entry(names, group), default=str)
        yield Place("parquet", number), entry.encode()


def _rows(path: Path, table: Any) -> Iterator[tuple[Any, ...]]:
    """Rows of all batches; pages are decoded here, long after the footer was found to be in order."""
    pa = import_pyarrow()
    batches = table.iter_batches(ROWS)
    while True:
        try:
            batch = next(batches, None)
            rows = list(zip(*map(_values, batch.columns), strict=True)) if batch is not None else None
        except (pa.ArrowException, OSError, UnicodeError) as exc:
            raise ContractError(
                f"{path}: damaged: its rows cannot be decoded", fix="write it again, or copy it again"
            ) from exc
        if rows is None:
            return
        yield from rows


def _values(column: Any) -> list[Any]:
    """Python's values of a column; only nested ones can have nulls inside."""
    values: list[Any] = column.to_pylist()
    return list(map(_without_null, values)) if column.type.num_fields else values


def _entry(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    detections = []
    for i, row in enumerate(rows):
        values = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        if i == 0:
            entry = _about_image(values)
        for name in IMAGE:
            values.pop(name, None)
        if values:
            detections.append(_detection(values))
    return {**entry, "detections": detections}


def _about_image(values: dict[str, Any]) -> dict[str, Any]:
    about = {"image": values["image"]} if "image" in values else {}
    size = {name: values[name] for name in ("width", "height") if name in values}
    about |= {"image_size": size} if size else {}
    rest = _json(values.get("entry", "{}"))
    return about | (rest if isinstance(rest, dict) else {"entry": rest})


def _detection(values: dict[str, Any]) -> dict[str, Any]:
    box = {side: values.pop(side) for side in SIDES if side in values}
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
