"""mPC and rPC: by hand, and from files of predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.data.corruptions.corruption import GROUPS, NAMES, Corruption
from anydet.errors import EvaluationError, OptionError
from anydet.evaluation.robustness import (
    CorruptedFile,
    CorruptedResult,
    corrupted_files,
    corruption_of,
    measure_robustness,
)


def result(name, severity, ap, **others):
    return CorruptedResult(Corruption(name, severity), {"AP": ap, **others}, f"{name}-{severity}.json")


def test_mpc_and_rpc_are_those_of_the_paper_computed_by_hand():
    clean = {"AP": 0.5, "AP50": 0.8}
    measured = measure_robustness(
        clean,
        [
            result("snow", 1, 0.4, AP50=0.6),
            result("snow", 3, 0.2, AP50=0.4),
            result("fog", 3, 0.1, AP50=0.2),
            result("fog", 1, 0.5, AP50=0.8),
        ],
    )
    # snow: (0.4 + 0.2) / 2 = 0.3; fog: (0.5 + 0.1) / 2 = 0.3; mPC = 0.3, rPC = 0.3 / 0.5
    assert measured.metrics["mPC"] == pytest.approx(0.3)
    assert measured.metrics["rPC"] == pytest.approx(0.6)
    assert measured.metrics["clean AP"] == 0.5
    assert measured.metrics["mPC/AP50"] == pytest.approx(0.5)
    assert measured.metrics["rPC/AP50"] == pytest.approx(0.625)
    grid, kinds, metrics = measured.tables
    assert grid.header == ("corruption", "1", "3", "mean", "of clean")
    assert [row[0] for row in grid.rows] == ["snow", "fog"]  # in the usual order
    np.testing.assert_allclose([row[1:] for row in grid.rows], [[0.4, 0.2, 0.3, 0.6], [0.5, 0.1, 0.3, 0.6]])
    assert kinds.rows == (("weather", 2, pytest.approx(0.3), pytest.approx(0.6)),)
    assert metrics.rows[0] == ("AP", 0.5, pytest.approx(0.3), pytest.approx(0.6))
    assert measured.protocol["missing"] == []
    assert measured.protocol["complete"] is False


def test_all_corruptions_and_severities_are_a_complete_benchmark():
    rng = np.random.default_rng(0)
    values = rng.random((15, 5))
    results = [result(n, s + 1, float(values[i, s])) for i, n in enumerate(NAMES) for s in range(5)]
    measured = measure_robustness({"AP": 0.9}, results[::-1])
    assert measured.metrics["mPC"] == pytest.approx(values.mean())
    assert measured.metrics["rPC"] == pytest.approx(values.mean() / 0.9)
    assert measured.protocol["complete"] is True
    first = 0
    for (kind, count, mean, _), (name, members) in zip(measured.tables[1].rows, GROUPS.items(), strict=True):
        assert (kind, count) == (name, len(members))
        assert mean == pytest.approx(values[first : first + count].mean())
        first += count


def test_a_missing_combination_is_listed_and_means_are_of_what_is_there():
    measured = measure_robustness(
        {"AP": 0.8}, [result("fog", 1, 0.6), result("fog", 5, 0.2), result("snow", 5, 0.1)]
    )
    assert measured.protocol["missing"] == ["snow:1"]
    assert measured.metrics["mPC"] == pytest.approx((0.4 + 0.1) / 2)
    assert measured.tables[0].rows[0] == ("snow", None, 0.1, pytest.approx(0.1), pytest.approx(0.125))


def test_a_combination_that_is_there_twice_is_refused_with_both_files():
    twice = [result("fog", 3, 0.6), CorruptedResult(Corruption("fog", 3, 7), {"AP": 0.1}, "other.json")]
    with pytest.raises(EvaluationError, match=r"fog at severity 3 is twice .*: fog-3.json and other.json"):
        measure_robustness({"AP": 0.8}, twice)


def test_numbers_that_are_undefined_stay_undefined():
    measured = measure_robustness({"AP": 0.0, "APl": None}, [result("fog", 3, 0.0, APl=None)])
    assert measured.metrics["mPC"] == 0.0
    assert measured.metrics["rPC"] is None
    assert measured.metrics["mPC/APl"] is None
    json.dumps(measured.as_dict(), allow_nan=False)
    for results in ([], [result("fog", 3, 0.5)]):
        with pytest.raises(EvaluationError):
            measure_robustness({}, results)


def test_figures_show_the_grid_from_clean_on():
    measured = measure_robustness(
        {"AP": 0.8}, [result("fog", 2, 0.6), result("fog", 4, 0.2), result("gaussian_noise", 4, 0.4)]
    )
    matrix, bars, lines = measured.figures
    assert matrix.row_names == ("gaussian_noise", "fog")
    assert matrix.values == ((None, 0.4), (0.6, 0.2))
    assert [(bar.name, bar.value) for bar in bars.bars] == [
        ("clean", 0.8),
        ("gaussian_noise", 0.4),
        ("fog", pytest.approx(0.4)),
    ]
    assert [series.name for series in lines.series] == ["all", "noise", "weather"]
    assert lines.series[2].x == (0, 2, 4)
    assert lines.series[2].y == (0.8, 0.6, 0.2)
    assert lines.series[1].y == (0.8, None, 0.4)


META = {"extra": {"corruption": {"name": "fog", "severity": 3, "seed": 0}}}


def test_the_corruption_is_the_one_that_the_meta_or_the_user_states(tmp_path):
    path = tmp_path / "a.json"
    assert corruption_of(META) == Corruption("fog", 3)
    assert corruption_of(None) is corruption_of({}) is corruption_of({"extra": {}}) is None
    assert CorruptedFile(path).corruption(META) == Corruption("fog", 3)
    assert CorruptedFile(path, Corruption("snow", 1)).corruption(None) == Corruption("snow", 1)
    assert CorruptedFile(path, Corruption("fog", 3)).corruption(META) == Corruption("fog", 3)
    with pytest.raises(EvaluationError, match="states fog:3, not snow:1"):
        CorruptedFile(path, Corruption("snow", 1)).corruption(META)
    with pytest.raises(EvaluationError, match="does not state the corruption") as unknown:
        CorruptedFile(path).corruption({"extra": {"options": {}}})
    assert f"--corrupted fog:3={path}" in unknown.value.fix
    for wrong in ("fog", {"name": "fgo", "severity": 3}, {"name": "fog"}, {"name": "fog", "severity": "3"}):
        with pytest.raises(EvaluationError, match="is none that is known"):
            corruption_of({"extra": {"corruption": wrong}})


def test_files_are_named_by_path_folder_pattern_or_with_their_corruption(tmp_path):
    for name in ("b.json", "a.jsonl", "c.txt", "odd=1.json"):
        (tmp_path / name).write_text("[]")
    paths = [file.path.name for file in corrupted_files([str(tmp_path)])]
    assert paths == ["a.jsonl", "b.json", "odd=1.json"]
    assert [file.path.name for file in corrupted_files([f"{tmp_path}/*.json"])] == ["b.json", "odd=1.json"]
    assert corrupted_files([f"snow:5={tmp_path}/b.json", str(tmp_path / "odd=1.json")]) == [
        CorruptedFile(tmp_path / "b.json", Corruption("snow", 5)),
        CorruptedFile(tmp_path / "odd=1.json"),
    ]
    with pytest.raises(OptionError, match="did you mean 'snow'"):
        corrupted_files(["snwo:5=b.json"])
