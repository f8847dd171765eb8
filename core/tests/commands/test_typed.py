"""Flags with values, ``--json`` with or without a path, and predictions by either way reach click."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.commands.typed import as_click_takes
from anydet.plugins.manager import Plugins


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``anydet`` in a folder with two files of predictions and a data set."""
    monkeypatch.chdir(tmp_path)
    box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 32, "height": 32}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**box, "id": 1, "area": 100, "iscrowd": 0}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for name, score in (("a", 0.9), ("b", 0.8)):
        (tmp_path / f"{name}.json").write_text(json.dumps([{**box, "score": score}]))

    def invoke(line):
        done = CliRunner().invoke(main, line.split(), obj=Plugins(()))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done

    return invoke


@click.command()
@click.argument("first")
@click.argument("rest", nargs=-1)
@click.option("--plain", is_flag=True)
@click.option("--clip/--no-clip", default=True)
@click.option("--name")
@click.option("--json", is_flag=False, flag_value="-")
def command(**flags):
    pass


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("x --plain true", "x --plain"),
        ("x --plain=True --name true", "x --plain --name true"),
        ("x --plain false", "x"),
        ("x --plain=off y", "x y"),
        ("x --clip=false", "x --no-clip"),
        ("x --no-clip=false", "x --clip"),
        ("x --clip maybe", "x --clip maybe"),
        ("x --plain=maybe", "x --plain=maybe"),
        ("x --plain 1", "x --plain 1"),
        ("x -- --plain true", "x -- --plain true"),
        ("x --json", "x --json=-"),
        ("x --json --plain", "x --json=- --plain"),
        ("x --json -", "x --json -"),
        ("x --json out.json", "x --json out.json"),
        ("--json out.json", "--json=- out.json"),
        ("--json out.json --name n x", "--json out.json --name n x"),
        ("x --json FOLDER", "x --json=- FOLDER"),
        ("x --json=FOLDER", "x --json=FOLDER"),
    ],
)
def test_words_become_what_click_takes(typed, taken, tmp_path):
    words = typed.replace("FOLDER", str(tmp_path)).split()
    expected = taken.replace("FOLDER", str(tmp_path)).split()
    assert as_click_takes(command, words, click.Context(command)) == expected


def test_json_alone_prints_and_with_a_path_writes_beside_the_text(run, tmp_path):
    for line in (
        "validate-predictions {} a.json --dataset truth.json",
        "eval-coco a.json --dataset truth.json {}",
    ):
        printed = run(line.format("--json"))
        text = run(line.format(""))
        written = run(line.format("--json=result.json"))
        assert json.loads((tmp_path / "result.json").read_text()) == json.loads(printed.stdout)
        assert written.stdout == text.stdout
        assert "wrote result.json" in written.stderr
    assert json.loads(run("validate-predictions --json a.json --dataset truth.json").stdout)["ok"]
    assert len(json.loads((tmp_path / "a.json").read_text())) == 1, "predictions were overwritten"


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("eval-coco a.json --dataset truth.json", "eval-coco --predictions a.json --dataset truth.json"),
        (
            "validate-predictions a.json --dataset truth.json",
            "validate-predictions --predictions a.json --dataset truth.json",
        ),
        (
            "compare a.json b.json --dataset truth.json --resamples 9",
            "compare a.json --predictions b.json --dataset truth.json --resamples 9",
        ),
        (
            "compare a.json b.json --dataset truth.json --resamples 9",
            "compare --predictions a.json --predictions b.json --dataset truth.json --resamples 9",
        ),
    ],
)
def test_predictions_are_named_either_way(run, line, same):
    done = run(line)
    assert done.exit_code == 0, done.output
    assert done.output == run(same).output


def test_too_few_and_too_many_predictions_are_wrong_usage(run):
    for line, said in (
        ("eval-coco --dataset truth.json", "Missing argument 'PREDICTIONS'"),
        ("compare --predictions a.json --dataset truth.json", "Missing argument 'B'"),
        ("eval-coco a.json --predictions b.json --dataset truth.json", "it takes one file of predictions"),
    ):
        done = run(line)
        assert done.exit_code == 2
        assert said in done.stderr


def test_a_flag_that_is_false_is_off(run):
    lines = [
        run(f"eval-coco a.json --dataset truth.json {flag}").stdout for flag in ("", "--per-class=false")
    ]
    assert lines[0] == lines[1]
    assert "cat" in run("eval-coco a.json --dataset truth.json --per-class true").stdout
