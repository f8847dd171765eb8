from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.write import check_output, write_predictions
from anydet.errors import ContractError, OptionError
from anydet.types import ImagePredictions

ENTRY = b'{"image":"a.jpg","detections":[]}'


def test_the_three_json_forms(tmp_path: Path) -> None:
    plain, wrapped, lines = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.jsonl"
    for path in (plain, wrapped, lines):
        write_predictions([ENTRY, ENTRY], path, meta={"adapter": "toy"}, wrap=path == wrapped)
    entry = json.loads(ENTRY)
    assert json.loads(plain.read_text()) == [entry, entry]
    assert json.loads(wrapped.read_text()) == {
        "schema_version": 1,
        "predictions": [entry, entry],
        "meta": {"adapter": "toy"},
    }
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [
        {"schema_version": 1},
        entry,
        entry,
        {"meta": {"adapter": "toy"}},
    ]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_no_entries_make_a_readable_file(name: str, tmp_path: Path) -> None:
    from anydet.contract.reading.load import load

    write_predictions([], tmp_path / name)
    assert load(tmp_path / name).images == ()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def entries() -> Iterator[bytes]:
        yield ENTRY
        raise KeyboardInterrupt

    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_predictions(entries(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_meta_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"meta: runtime\.wall_s is not a finite number"):
        write_predictions([], tmp_path / "a.jsonl", meta={"runtime": {"wall_s": float("nan")}})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"\.json, \.jsonl, \.parquet; did you mean '\.json'"):
        check_output(Path("out.jsom"))


def test_parquet_without_pyarrow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from anydet.errors import AnydetError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(AnydetError, match=r"pip install 'anydet\[parquet\]'"):
        check_output(Path("out.parquet"))


@pytest.mark.slow
def test_a_wrapped_file_passes_the_strict_validator_of_yolozu(
    full: ImagePredictions, images: list[ImagePredictions], tmp_path: Path
) -> None:
    pytest.importorskip("yolozu")
    example = Path(__file__).parents[3] / "schemas" / "examples" / "valid" / "wrapped.json"
    path = tmp_path / "predictions.json"
    meta = json.loads(example.read_text())["meta"]
    write_predictions(map(encode_entry, images), path, meta=meta, wrap=True)
    run = [sys.executable, "-m", "yolozu", "validate", "predictions", "--strict"]
    good = subprocess.run([*run, str(path)], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout + good.stderr
    path.write_text(path.read_text().replace('"w":1.0', '"w":1.1'))
    bad = subprocess.run([*run, str(path)], capture_output=True, text=True, check=False)
    assert bad.returncode != 0


def test_parquet_is_written_in_row_groups_and_keeps_meta(
    full: ImagePredictions, written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("anydet.contract.parquet_writer.ROWS", 2)
    from dataclasses import replace

    path = written("a.parquet", [replace(full, image=f"{i}.jpg") for i in range(3)])
    file = parquet.ParquetFile(path)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 2, 2, 0]
    assert json.loads(file.schema_arrow.metadata[b"anydet"])["meta"]["adapter"] == "toy"
