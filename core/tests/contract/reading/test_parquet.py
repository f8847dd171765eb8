from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anydet.contract.checking.validate import validate
from anydet.contract.reading.load import load
from anydet.contract.reading.opening import open_source
from anydet.errors import ContractError
from anydet.types import ImagePredictions

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

MINIMAL = {
    "image": ["a.jpg", "a.jpg", "b.jpg"],
    "class_id": [0, 1, None],
    "score": [0.5, 0.25, None],
    "cx": [0.5, 0.5, None],
    "cy": [0.5, 0.5, None],
    "w": [0.5, 0.5, None],
    "h": [0.5, 0.5, None],
}


def save(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def errors(path: Path) -> list[str]:
    return [line.removeprefix(f"{path}: ") for line in validate(path).errors]


def test_the_columns_can_be_read_by_anyone(
    images: list[ImagePredictions], written: Callable[..., Path]
) -> None:
    table = pq.read_table(written("p.parquet", images)).to_pylist()
    assert [row["image"] for row in table] == ["folder/bike 1.jpg"] * 2 + ["empty.jpg", "b.jpg"]
    assert [row["class_id"] for row in table] == [1, 0, None, 0]
    assert (table[3]["cx"], table[3]["cy"], table[3]["w"], table[3]["h"]) == (0.2, 0.3, 0.2, 0.2)
    assert (table[2]["width"], table[2]["height"]) == (8, 6)


def test_a_minimal_table_of_somebody_else_is_read(tmp_path: Path) -> None:
    raw = load(save(tmp_path / "p.parquet", MINIMAL))
    assert (raw.images, raw.image_index.tolist(), raw.meta) == (("a.jpg", "b.jpg"), [0, 0], None)
    assert raw.boxes.tolist() == [[0.5] * 4] * 2


@pytest.mark.slow
def test_flipped_bits_in_pages_are_a_message(tmp_path: Path) -> None:
    path = save(tmp_path / "p.parquet", MINIMAL)
    good = path.read_bytes()
    end = len(good) - 8 - int.from_bytes(good[-8:-4], "little")  # the footer begins
    damaged = 0
    for at in range(4, end):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        try:
            load(path)
        except ContractError as error:
            damaged += "damaged: its rows cannot be decoded" in str(error)
    assert damaged


@pytest.mark.slow
def test_flipped_bits_in_the_footer_are_a_message(tmp_path: Path) -> None:
    """Names of columns that are not UTF-8, and whatever else."""
    whole = save(tmp_path / "p.parquet", MINIMAL).read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    seen = set()
    for at in range(footer, len(whole)):
        path = tmp_path / f"{at}.parquet"
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :])
        seen.update(" ".join(error.split()[:4]) for error in errors(path))
    assert "not a Parquet file:" in seen


def test_threads_of_pyarrow_read_no_file_of_python(tmp_path: Path) -> None:
    """One that is left when the process ends would end it with an abort."""
    with open_source(save(tmp_path / "p.parquet", MINIMAL)) as source:
        assert type(source.file).__module__.startswith("pyarrow")
        assert len(list(source.entries())) == 2
    assert source.file is not None
    assert source.file.closed


def test_wrong_values_are_named_with_their_place(tmp_path: Path) -> None:
    columns = {
        **MINIMAL,
        "score": [0.5, 1.5, None],
        "cx": [float("nan"), 0.5, None],
        "extra": ["{}", "odd", None],
    }
    assert errors(save(tmp_path / "p.parquet", columns)) == [
        "image 0: detections[0].bbox.cx: NaN is not a finite number (image a.jpg)",
        'image 0: detections[1].extra: "odd" where an object belongs (image a.jpg)',
        "image 0: detections[1].score: 1.5 is above the maximum 1 (image a.jpg)",
    ]


def test_rows_of_one_image_that_stand_apart_are_two_entries(tmp_path: Path) -> None:
    path = save(tmp_path / "p.parquet", {**MINIMAL, "image": ["a.jpg", "b.jpg", "a.jpg"]})
    assert errors(path) == ["image 2: a second entry for one image, the first is image 0 (image a.jpg)"]


def test_unknown_and_missing_columns_are_named(tmp_path: Path) -> None:
    columns = {"scroe" if name == "score" else name: values for name, values in MINIMAL.items()}
    assert errors(save(tmp_path / "p.parquet", columns)) == [
        "unknown column 'scroe'; did you mean 'score'?",
        "missing columns: score",
    ]


def test_a_later_version_in_the_metadata_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "p.parquet", MINIMAL, {"anydet": '{"schema_version": 2, "meta": {"images": -1}}'})
    assert errors(path) == [
        "schema_version: version 2 is newer than 1, the latest that this program knows",
        "meta.images: -1 is below the minimum 0",
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and then nothing of the kind"])
def test_a_file_that_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    with pytest.raises(ContractError, match="not a Parquet file"):
        load(path)
