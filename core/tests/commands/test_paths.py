"""Every command that reads a file reads it from a pipe as well."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from anydet.commands.paths import InputPath
from anydet.plugins.manager import Plugins

pytestmark = pytest.mark.slow


def anydet(line, cwd, stdin=b""):
    return subprocess.run(
        [sys.executable, "-m", "anydet.cli", *line.split()],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("pipes")
    for line in (
        "synth --out scenes --images 3 --size 96x72 --format coco",
        "export-predictions --adapter toy --dataset scenes --output p.json --wrap",
        "convert p.json p.jsonl",
        "convert p.json p.parquet",
        "convert p.json results.json --to coco --dataset scenes/annotations/instances_val.json",
    ):
        done = anydet(line, here)
        assert done.returncode == 0, (line, done.stderr)
    return here


TRUTH = "scenes/annotations/instances_val.json"
LINES = [
    *(
        (line.format(name), name)
        for name in ("p.json", "p.jsonl", "p.parquet")
        for line in (
            "validate-predictions {} --dataset scenes --json",
            "eval-coco --dataset scenes --predictions {} --json -",
        )
    ),
    ("eval --dataset scenes --predictions p.json --metrics coco --json -", "p.json"),
    (f"eval-coco --dataset {TRUTH} --predictions results.json --json -", TRUTH),
    (f"eval-coco --dataset {TRUTH} --predictions results.json --json -", "results.json"),
    ("compare p.json p.jsonl --dataset scenes --resamples 5 --json -", "p.json"),
]
"""Each command with a file, and the one that comes through stdin in its place."""


@pytest.mark.parametrize("number", range(len(LINES)))
def test_stdin_gives_what_the_file_gives(number, folder):
    (line, name), dash = LINES[number], ("-", "/dev/stdin")[number % 2]
    plain = anydet(line, folder)
    piped = anydet(line.replace(f" {name}", f" {dash}", 1), folder, (folder / name).read_bytes())
    assert plain.returncode == piped.returncode == 0, piped.stderr.decode()
    ours, theirs = (json.loads(done.stdout) for done in (plain, piped))
    for key in ("metrics", "ok", "images", "detections", "a", "b"):
        assert ours.get(key) == theirs.get(key)


def test_one_pipe_for_two_options_is_refused(folder):
    done = anydet("compare - - --dataset scenes", folder, b"[]")
    assert done.returncode == 2
    assert b"a pipe can be read once" in done.stderr


OUTPUTS = {
    "--json",
    "--ttt-log-out",
    "--out",
    "--output",
    "--plots",
    "--plot",
    "--repair",
    "--save-overlays",
    "output",
}
FOLDERS = {"--images", "--models", "--coco-root", "--ttt-source", "--runs-dir", "--run-dir"}


def test_every_path_that_is_read_may_be_a_pipe():
    plugins, found = Plugins(()), set()
    for name in plugins.specs("commands"):
        command = plugins.load("commands", name)
        for one in (command, *getattr(command, "commands", {}).values()):
            for option in one.params:
                if isinstance(option.type, click.Path) and not isinstance(option.type, InputPath):
                    found.add(option.opts[0])
    assert found <= OUTPUTS | FOLDERS | {"--dataset"}
