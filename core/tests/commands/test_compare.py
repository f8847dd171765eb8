"""``anydet compare``: what it prints of two models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture
def files(tmp_path, crowd):
    truth, results = crowd(12, 1)
    paths = [tmp_path / name for name in ("instances_val2017.json", "a.json", "b.json")]
    for path, value in zip(paths, (truth, results[::2], results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def test_the_command_prints_differences_and_a_verdict(files):
    dataset, a, b = map(str, files)
    arguments = ["compare", a, b, "--dataset", dataset, "--resamples", "200"]
    done = CliRunner().invoke(main, arguments, obj=Plugins(()))
    assert done.exit_code == 0, done.output
    assert "AP: b is better by 0.0" in done.stdout
    assert "AP of classes, largest difference first" in done.stdout
    written = CliRunner().invoke(main, [*arguments, "--json", "-"], obj=Plugins(()))
    value = json.loads(written.stdout)
    assert value["overall"]["AP"]["difference"] == value["metrics"]["AP/difference"] > 0
    assert value["protocol"]["b"]["predictions"] == b
    assert value["resamples"] == 200


def test_the_command_says_when_a_difference_may_be_chance(files, tmp_path):
    dataset, a, _ = map(str, files)
    results = json.loads(Path(a).read_text())
    # Two images decide alone: each of the files lacks the detections of another one.
    kept = [[r for r in results if r["image_id"] != results[at]["image_id"]] for at in (0, -1)]
    paths = [tmp_path / name for name in ("first.json", "last.json")]
    for path, value in zip(paths, kept, strict=True):
        path.write_text(json.dumps(value))
    done = CliRunner().invoke(
        main, ["compare", *map(str, paths), "--dataset", dataset, "--resamples", "50"], obj=Plugins(())
    )
    assert ", which may be chance" in done.stdout


def test_a_file_and_itself_are_called_identical(files):
    dataset, a, _ = map(str, files)
    done = CliRunner().invoke(
        main, ["compare", a, a, "--dataset", dataset, "--resamples", "5"], obj=Plugins(())
    )
    assert "AP: identical for a and b, in every resample" in done.stdout
    assert "chance" not in done.stdout


def test_the_command_says_when_there_are_too_few_images(tmp_path, crowd):
    paths = [tmp_path / name for name in ("instances_val2017.json", "a.json")]
    for path, value in zip(paths, crowd(3, 1), strict=True):
        path.write_text(json.dumps(value))
    arguments = ["compare", paths[1], paths[1], "--dataset", paths[0], "--resamples", "5"]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=Plugins(()))
    assert "AP: not enough ground truth to compare" in done.stdout
