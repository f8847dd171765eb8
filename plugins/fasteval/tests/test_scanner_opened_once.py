"""With the scanner, Python opens a predictions file only where the scanner stopped, and once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from anydet.contract.checking.validate import validate
from anydet.contract.reading.load import load
from anydet_fasteval.scanner import CompiledScanner

DETECTION = {"class_id": 0, "score": 0.5, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.5, "h": 0.5}}
ENTRY = {"image": "a.jpg", "detections": [DETECTION]}


@dataclass(frozen=True)
class Counting(CompiledScanner):
    """Notes what it reads."""

    calls: list[Path] = field(default_factory=list)

    def predictions(self, path):
        self.calls.append(path)
        return super().predictions(path)


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Files of the test that Python opens; a library that is imported meanwhile opens its own."""
    path_open, found = Path.open, []

    def open_(path, *args, **how):
        if path.is_relative_to(tmp_path):
            found.append(path)
        return path_open(path, *args, **how)

    monkeypatch.setattr(Path, "open", open_)
    return found


@pytest.mark.parametrize("name", ["list.json", "lines.jsonl"])
def test_what_the_scanner_reads_is_not_opened_again(name, opened, tmp_path):
    path, scanner = tmp_path / name, Counting()
    path.write_bytes(json.dumps(ENTRY if name == "lines.jsonl" else [ENTRY]).encode())
    opened.clear()
    assert len(load(path, scanner)) == 1
    assert validate(path, scanner=scanner).ok
    assert (scanner.calls, opened) == ([path] * 2, [])


def test_what_it_stops_at_is_opened_once(opened, tmp_path):
    path, scanner = tmp_path / "list.json", Counting()
    path.write_text(json.dumps([{**ENTRY, "detections": [{**DETECTION, "score": 1.5}]}]))
    opened.clear()
    assert len(validate(path, scanner=scanner).errors) == 1
    assert (scanner.calls, opened) == ([path], [path])


def test_parquet_is_not_for_the_scanner(opened, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    path, scanner = tmp_path / "rows.parquet", Counting()
    box = {side: [0.5] for side in ("cx", "cy", "w", "h")}
    parquet.write_table(pa.table({"image": ["a.jpg"], "class_id": [0], "score": [0.5], **box}), path)
    opened.clear()
    assert len(load(path, scanner)) == 1
    assert (scanner.calls, opened) == ([], [path])
