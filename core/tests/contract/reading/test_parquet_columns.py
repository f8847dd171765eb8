"""Parquet straight to columns gives what reading row by row gives, and leaves the rest to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.raw import RawPredictions
from anydet.contract.reading.entries import read_meta, scan_entries
from anydet.contract.reading.opening import open_source
from anydet.contract.reading.scanned import whole
from anydet.types import ImagePredictions

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

WRONG: dict[str, list[Any]] = {
    "image": ["", "b.jpg"],
    "width": [None, 0, -1, 7],
    "height": [None, 2**31 - 1],
    "class_id": [None, -1],
    "score": [None, -0.5, 1.5, float("nan"), 1.0],
    "cx": [None, float("inf"), -3.0],
    "w": [None, -0.5, 0.0],
    "state": [None, -1, 5],
    "state_scores": [None, [], [0.5, 2.0], [None], [0.25]],
    "mask": [
        None,
        {"size": [2], "counts": "6"},
        {"size": [20, 40], "counts": ""},
        {"size": None, "counts": "6"},
    ],
    "keypoints": [
        None,
        [],
        [None],
        [{"x": 0.5, "y": None}],
        [{"x": 0.0, "y": 0.0, "v": 0}],
        [{"x": 0.5, "y": 0.5, "v": 3}],
        [{"x": 0.5, "y": 0.5, "score": 2.0}],
    ],
    "log_z": [None, float("nan"), 2.0],
    "rot6d": [None, [1.0] * 5, [1.0] * 6],
    "R": [None, [[1.0] * 3] * 2, [[1.0] * 3, [1.0] * 3, [1.0, 2.0]], [[1.0, None, 0.0]] * 3],
    "t": [None, [1.0, None, 2.0]],
    "extra": [None, "{}", "[1]", "no json", '{"a": NaN}'],
    "entry": [None, "{}", '{"extra": {"a": 1}}', '{"image": "x"}', '{"extra": 7}', "[]", "{"],
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a) and type(a) is type(b) and type(a).__eq__ is object.__eq__:
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


def slowly(path: Path) -> RawPredictions | None:
    with open_source(path) as source:
        found = scan_entries(source)
    return None if found.errors else found.predictions


def directly(path: Path) -> RawPredictions | None:
    with open_source(path) as source:
        assert source.columns is not None
        columns, (meta, _) = source.columns(), read_meta(source)
        return None if columns is None else whole(path, "parquet", columns, meta)


@pytest.fixture
def table(images: list[ImagePredictions], written: Callable[..., Path]) -> Any:
    return pq.read_table(written("all.parquet", images))


def test_what_is_written_is_read_directly_and_with_the_same_bits(
    images: list[ImagePredictions], written: Callable[..., Path]
) -> None:
    path = written("p.parquet", images)
    found = directly(path)
    assert isinstance(found, RawPredictions)
    assert same(found, slowly(path))


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_any_other_value_gets_the_verdict_of_reading_row_by_row(
    name: str, value: Any, table: Any, tmp_path: Path
) -> None:
    for row in range(len(table)):
        values = table[name].to_pylist()
        values[row] = value
        place = table.column_names.index(name)
        path = tmp_path / f"{row}.parquet"
        pq.write_table(table.set_column(place, name, pa.array(values, table[name].type)), path)
        found, wanted = directly(path), slowly(path)
        assert found is None or same(found, wanted)


def test_integers_of_another_width_are_read_directly(table: Any, tmp_path: Path) -> None:
    wide = table.set_column(3, "class_id", table["class_id"].cast(pa.int64()))
    assert wide.column_names == table.column_names
    pq.write_table(wide, tmp_path / "p.parquet")
    found = directly(tmp_path / "p.parquet")
    assert same(found, slowly(tmp_path / "p.parquet"))
