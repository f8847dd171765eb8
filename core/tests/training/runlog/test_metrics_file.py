from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.errors import TrainingError
from anydet.training.runlog.metrics_file import MetricsFile, read_metrics

LINES = [{"step": i, "train_loss": 1 / (i + 1)} for i in range(5)]


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "reports" / "train_metrics.jsonl", tmp_path / "reports" / "train_metrics.csv"


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_read_back_bit_for_bit_from_both_files(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("run") / "m.jsonl"
    with MetricsFile(path, path.with_suffix(".csv")) as file:
        for step, number in enumerate(numbers):
            file.append({"step": step, "loss": number})
    expected = [float.hex(number) for number in numbers]
    assert [float.hex(line["loss"]) for line in read_metrics(path)] == expected
    assert [float.hex(float(row["loss"])) for row in table(path.with_suffix(".csv"))] == expected


def test_each_line_is_there_as_soon_as_it_is_appended(paths):
    with MetricsFile(*paths) as file:
        for i, line in enumerate(LINES):
            file.append(line)
            assert read_metrics(paths[0]) == LINES[: i + 1]
            assert len(table(paths[1])) == i + 1


def test_a_column_that_appears_late_is_empty_above(paths):
    with MetricsFile(*paths) as file:
        for line in ({"step": 0}, {"step": 1, "AP": 0.5}, {"step": 2}, {"step": 3, "AP": 0.25, "x": "a,b"}):
            file.append(line)
    assert table(paths[1]) == [
        {"step": "0", "AP": "", "x": ""},
        {"step": "1", "AP": "0.5", "x": ""},
        {"step": "2", "AP": "", "x": ""},
        {"step": "3", "AP": "0.25", "x": "a,b"},
    ]


def test_what_json_cannot_hold_is_null(paths):
    with MetricsFile(*paths) as file:
        file.append({"step": 0, "loss": float("nan"), "norm": float("inf")})
    assert json.loads(paths[0].read_text()) == {"step": 0, "loss": None, "norm": None}
    assert table(paths[1]) == [{"step": "0", "loss": "", "norm": ""}]


def test_a_resumed_run_goes_on_after_its_step(paths):
    with MetricsFile(*paths) as file:
        for line in LINES:
            file.append(line)
        file.truncate_after(2)
        file.append({"step": 3, "train_loss": 7.0})
    assert read_metrics(paths[0]) == [*LINES[:3], {"step": 3, "train_loss": 7.0}]
    assert [row["step"] for row in table(paths[1])] == ["0", "1", "2", "3"]


def test_truncating_after_minus_one_empties_both_files(paths):
    with MetricsFile(*paths) as file:
        file.append(LINES[0])
        file.truncate_after(-1)
        assert paths[0].read_text() == paths[1].read_text() == ""
        file.append({"other": 1})
    assert paths[1].read_text() == "other\n1\n"


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_that_was_torn_is_dropped_wherever_it_was_cut(paths, cut):
    with MetricsFile(*paths) as file:
        for line in LINES[:2]:
            file.append(line)
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-cut])
    kept = LINES[:2] if cut == 1 else LINES[:1]
    with MetricsFile(*paths) as file:
        assert [row["step"] for row in table(paths[1])] == [str(line["step"]) for line in kept]
        file.append(LINES[2])
    assert read_metrics(paths[0]) == [*kept, LINES[2]]


def test_a_broken_line_before_the_last_is_an_error_that_names_it(paths):
    paths[0].parent.mkdir()
    paths[0].write_text('{"step": 0}\n[1]\n{"step": 2}\n')
    with pytest.raises(TrainingError, match="line 2 is not a JSON object") as caught:
        MetricsFile(*paths)
    assert caught.value.fix


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_is_missing_or_binary_is_an_error(tmp_path, content):
    path = tmp_path / "m.jsonl"
    if content:
        path.write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        read_metrics(path)
    assert caught.value.fix


def test_without_csv_there_is_one_file(tmp_path):
    with MetricsFile(tmp_path / "m.jsonl") as file:
        file.append(LINES[0])
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]
