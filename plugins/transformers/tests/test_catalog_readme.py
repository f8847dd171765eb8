from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from anydet_transformers.catalog import LEFT_OUT, UNTRAINED, model_types

README = Path(__file__).parents[1] / "README.md"


def rows(header):
    """Cells of a table of the README, below its header."""
    lines = README.read_text("utf-8").splitlines()
    start = lines.index(header) + 2
    for line in lines[start:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_types_names_all_that_run():
    named = {
        name: row for row in rows("| `model_type` | predicts | trained here | ONNX |") for name in names(row)
    }
    assert set(named) == set(model_types())
    for name, why in UNTRAINED.items():
        assert named[name][2] == why
    prompted = {name for name, kind in model_types().items() if kind == "prompts"}
    assert {name for name, row in named.items() if "texts" in row[1]} == prompted


def test_each_type_that_is_left_out_has_its_reason_in_the_table():
    assert {name: row[1] for row in rows("| `model_type` | why |") for name in names(row)} == LEFT_OUT


def names(row):
    return re.findall(r"`([^`]+)`", row[0])
