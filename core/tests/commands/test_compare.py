"""``anydet compare``: what it prints of two models."""

from __future__ import annotations

import json

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


def test_the_command_says_when_a_difference_may_be_chance(files):
    dataset, a, _ = map(str, files)
    done = CliRunner().invoke(
        main, ["compare", a, a, "--dataset", dataset, "--resamples", "5"], obj=Plugins(())
    )
    assert "AP: neither is better by 0.0000" in done.stdout
    assert "p = 1.000), which may be chance" in done.stdout


def test_the_command_says_when_there_are_too_few_images(tmp_path, crowd):
    paths = [tmp_path / name for name in ("instances_val2017.json", "a.json")]
    for path, value in zip(paths, crowd(3, 1), strict=True):
        path.write_text(json.dumps(value))
    arguments = ["compare", paths[1], paths[1], "--dataset", paths[0], "--resamples", "5"]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=Plugins(()))
    assert "AP: not enough ground truth to compare" in done.stdout
