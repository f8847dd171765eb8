"""Bounds on the command line: exit codes, and what is written before the command fails."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture(scope="module")
def files(tmp_path_factory, crowd):
    """A data set, predictions of half its detections, and of all."""
    truth, results = crowd(12, 1)
    folder = tmp_path_factory.mktemp("gates")
    paths = [folder / name for name in ("instances_val2017.json", "a.json", "b.json")]
    for path, value in zip(paths, (truth, results[::2], results), strict=True):
        path.write_text(json.dumps(value))
    return [str(path) for path in paths]


def run(*words):
    return CliRunner().invoke(main, words, obj=Plugins(()), prog_name="anydet")


@pytest.mark.parametrize("command", [["eval-coco"], ["eval", "--metrics", "coco,tide"]])
def test_metrics_below_their_bounds_end_with_code_3_when_all_is_written(files, command, tmp_path):
    dataset, a, _ = files
    given = [*command, "--dataset", dataset, "--predictions", a]
    assert run(*given, "--fail-under", "AP=0,AP50=0").exit_code == 0
    summary, cases, numbers = (tmp_path / name for name in ("summary.md", "cases.xml", "numbers.json"))
    outputs = ["--markdown", str(summary), "--junit", str(cases), "--json", str(numbers)]
    done = run(*given, "--fail-under", "AP=0,AP50=1", *outputs)
    assert done.exit_code == 3
    assert "Error: 1 of 2 bounds not kept\nAP50: " in done.stderr
    assert "| AP50 | at least 1 |" in summary.read_text()
    assert 'failures="1"' in cases.read_text()
    assert json.loads(numbers.read_text())["metrics"]


def test_a_metric_of_any_evaluator_may_be_bounded(files):
    dataset, a, _ = files
    given = ["eval", "--metrics", "coco,tide", "--dataset", dataset, "--predictions", a, "--fail-under"]
    assert run(*given, "tide/dAP_Miss=0").exit_code == 0
    done = run(*given, "tide/dAP_Mis=0")
    assert done.exit_code == 1
    assert "did you mean 'tide/dAP_Miss'?" in done.stderr


def test_a_model_that_lost_too_much_ends_with_code_3(files):
    dataset, a, b = files
    given = ["--dataset", dataset, "--resamples", "100"]
    assert run("compare", a, b, *given, "--max-drop", "AP=0,AP50=0", "--fail-if-worse").exit_code == 0
    done = run("compare", b, a, *given, "--max-drop", "AP=0.001,AP50=1")
    assert done.exit_code == 3
    assert "Error: 1 of 2 bounds not kept\nAP: -0." in done.stderr
    assert run("compare", b, a, *given, "--fail-if-worse", "--p", "1").exit_code == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fail-under", "AP"], "'AP' is not a bound like AP=0.5"),
        (["--fail-under", "AP=0.5,=3"], "'=3' is not a bound"),
        (["--fail-under", "AP=nan"], "'AP=nan' is not a bound"),
        (["--fail-under", "AP=0.9,AP=0.1"], "'AP' has two bounds"),
        (["--fail-under", "AP=50"], "AP is between 0 and 1; for 50 % write AP=0.5"),
        (["--fail-under", "AP=-1"], "AP is between 0 and 1"),
        (["--junit", "cases.xml"], "--junit needs --fail-under"),
        (["--dry-run", "--fail-under", "AP=1"], "--dry-run evaluates nothing"),
    ],
)
def test_bounds_that_are_none_are_wrong_usage(files, words, said):
    done = run("eval-coco", "--dataset", files[0], "--predictions", files[1], *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_comparison_of_too_few_resamples_is_no_gate(files):
    given = ["compare", files[2], files[1], "--dataset", files[0], "--fail-if-worse", "--resamples"]
    done = run(*given, "5")
    assert done.exit_code == 2
    assert "give --resamples 20 or more" in done.stderr
    assert "could not fail" not in run(*given, "20").stderr


def test_what_cannot_be_compared_is_not_kept(files):
    done = run("compare", *files[1:], "--dataset", files[0], "--fail-if-worse", "--max-images", "1")
    assert done.exit_code == 3
    assert "(p = n/a), wanted not worse with p < 0.05" in done.stderr


def test_a_drop_is_not_negative(files):
    done = run("compare", files[1], files[2], "--dataset", files[0], "--max-drop", "AP=-0.1")
    assert done.exit_code == 2
    assert "'AP=-0.1' is not a bound" in done.stderr
