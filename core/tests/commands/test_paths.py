"""Every command that reads a file reads it from a pipe as well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.commands.paths import DATASET, InputPath, OutputPath
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


TRUTH, IMAGES = "scenes/annotations/instances_val.json", "scenes/images/val"
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


BROKEN = b'{"image": 3}'
SPOKEN = [
    ("validate-predictions {}", "p.json"),
    ("validate-predictions {} --json --dataset scenes", "results.json"),
    ("validate-predictions {}", None),
    ("validate-predictions {} --json", None),
    ("validate-predictions {} --repair {out}/r.json", None),
    ("eval-coco --dataset scenes --predictions {} --json -", "p.json"),
    ("eval-coco --dataset {} --predictions results.json --json -", TRUTH),
    ("eval --dataset scenes --predictions {} --metrics coco --json {out}/r.json", "p.json"),
    ("check-dataset {}", TRUTH),
    ("check-dataset {} --json", TRUTH),
    ("check-dataset {}", None),
    ("compare p.jsonl {} --dataset scenes --resamples 5", "p.json"),
    ("convert {} {out}/r.jsonl", "p.json"),
    ("convert {} {out}/r.jsonl", None),
    ("view {} --dataset scenes --out {out}/view", None),
    ("plot-metrics {} --out {out}/r.png", None),
    (
        f"export-predictions --adapter toy --dataset {{}} --images {IMAGES} --output {{out}}/r.json --wrap",
        TRUTH,
    ),
    (
        "export-predictions --adapter precomputed --option predictions={} "
        "--dataset scenes --output {out}/r.json",
        None,
    ),
    ("predict --adapter toy --checkpoint {} scenes --output {out}/r.json", None),
]
"""Lines with a pipe, and what comes through it: a file, or what is no file of any kind."""


@pytest.mark.parametrize("number", range(len(SPOKEN)))
def test_a_pipe_is_named_as_it_was_given(number, folder, tmp_path):
    line, name = SPOKEN[number]
    content = BROKEN if name is None else (folder / name).read_bytes()
    done = anydet(line.format("/dev/stdin", out=tmp_path), folder, content)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    said = done.stdout + done.stderr + written
    assert b"anydet-pipe" not in said
    assert b"Traceback" not in said
    if done.returncode:
        assert b"/dev/stdin" in said


def test_one_pipe_for_two_options_is_refused(folder):
    done = anydet("compare - - --dataset scenes", folder, b"[]")
    assert done.returncode == 2
    assert b"a pipe can be read once" in done.stderr


OUTPUTS = {
    "--engine",
    "--json",
    "--junit",
    "--log-dir",
    "--markdown",
    "--ttt-log-out",
    "--output-dir",
    "--out",
    "--output",
    "--plots",
    "--plot",
    "--repair",
    "--save-overlays",
    "--sheet",
    "--timing-cache",
    "output",
}
FOLDERS = {
    *("--images", "--image-folder", "--ttt-source", "--models", "--coco-root", "--segments"),
    *("--train-cleaned", "--val-cleaned"),
}


def commands(command, ctx):
    """All commands of a group and of the groups in it."""
    if not isinstance(command, click.Group):
        yield command
        return
    for name in command.list_commands(ctx):
        below = command.get_command(ctx, name)
        yield from commands(below, click.Context(below, ctx, name))


def path_options():
    """Name and type of each option of all commands that takes a path."""
    ours = [path.parent.name for path in Path(__file__).parents[3].glob("plugins/*/pyproject.toml")]
    root = click.Context(main, info_name="anydet", obj=Plugins(only=ours))
    return [
        (option.opts[0], option.type)
        for command in commands(main, root)
        for option in command.params
        if isinstance(option.type, click.Path)
    ]


def test_every_path_that_is_read_may_be_a_pipe():
    read = {name for name, kind in path_options() if isinstance(kind, InputPath)}
    assert read >= {"--dataset", "--predictions", "--train-json"}
    assert {name for name, kind in path_options() if not isinstance(kind, InputPath)} <= OUTPUTS | FOLDERS


def test_every_path_that_is_written_is_looked_at_before_the_work():
    written = {name for name, kind in path_options() if name in OUTPUTS}
    looked_at = {name for name, kind in path_options() if isinstance(kind, OutputPath)}
    assert looked_at == written == OUTPUTS


WRITING = [
    "benchmark --adapter toy --dataset {none} --json {one} --plot {two}.png",
    "eval-coco --dataset {none} --predictions {none} --json {one}",
    "eval --dataset {none} --predictions {none} --metrics coco --json {one} --plots {two}",
    "parity --adapter toy --adapter toy --dataset {none} --json {one} --output-dir {two}",
    "export-predictions --adapter toy --dataset {none} --output {one} --ttt-log-out {two}",
    "predict --adapter toy {none} --output {one} --save-overlays {two}",
    "corrupt --dataset {none} --severity 1 --sheet {one}.png --out {two}",
    "ttt-compare {none} --out {two} --json {one}",
]
"""Lines with two outputs, whose inputs are not there: what is wrong with an output is said all the same."""


@pytest.mark.parametrize("line", WRITING)
@pytest.mark.parametrize("which", ["one", "two"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(which, line, tmp_path):
    if f"{{{which}}}" not in line:
        return
    (tmp_path / "file").write_bytes(b"kept")
    places = {name: tmp_path / name for name in ("one", "two", "none")}
    places[which] = tmp_path / "file" / "inside"
    done = CliRunner().invoke(main, line.format(**places).split())
    assert done.exit_code == 1
    assert f"{places[which]}" in done.output
    assert "cannot be written" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("line", [one for one in WRITING if "{two}" in one])
@pytest.mark.parametrize("other", ["same.png", "./same.png", "link.png"])
def test_two_outputs_with_one_name_are_refused(other, line, tmp_path):
    (tmp_path / "link.png").symlink_to("same.png")
    names = {"one": tmp_path / "same.png", "two": tmp_path / other, "none": tmp_path / "none"}
    line = line.replace(".png", "").format(**names)
    done = CliRunner().invoke(main, line.split())
    assert done.exit_code == 2
    assert re.search(r"is the output of --\S+, too: name another one", done.output)
    assert not (tmp_path / "same.png").exists()


def test_stdout_is_one_output_too():
    done = CliRunner().invoke(
        main, ["benchmark", "--adapter", "toy", "--dataset", "none", "--json", "-", "--plot", "/dev/stdout"]
    )
    assert "is the output of --json, too" in done.output


@pytest.mark.parametrize(
    "line",
    [
        "benchmark --adapter toy --dataset none --plot chart{}",
        "plot-metrics none --out chart{}",
        "diagnose --adapter toy --dataset none --plot chart{}",
        "corrupt --dataset none --severity 1 --sheet chart{}",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".pdf", ".txt"])
def test_a_picture_of_another_kind_than_its_name_says_is_refused(suffix, line):
    done = CliRunner().invoke(main, line.format(suffix).split())
    assert done.exit_code == 2
    assert re.search(r"does not end in \.png", done.output)


REPLACING = [
    "eval-coco --dataset scenes --predictions p.json --json p.json",
    "eval --dataset scenes --predictions p.json --metrics coco --json p.json",
    "compare p.json q.json --dataset scenes --json q.json --resamples 5",
    "parity p.json q.json --json p.json",
    "convert p.json p.json",
    "fuse p.json q.json --output q.json",
    "validate-predictions p.json --repair p.json",
    "export-predictions --adapter toy --dataset coco --output coco/annotations/instances_val.json",
    "corrupt --dataset scenes --severity 1 --sheet scenes/images/val/000000.png",
]
"""Lines whose output is something that they read."""


@pytest.mark.parametrize("line", REPLACING)
def test_no_output_replaces_what_the_command_reads(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for layout, name in (("yolo", "scenes"), ("coco", "coco")):
        made = CliRunner().invoke(main, ["synth", "--out", name, "--images", "2", "--format", layout])
        assert made.exit_code == 0
    line_made = "export-predictions --adapter toy --dataset scenes --wrap --output p.json"
    assert CliRunner().invoke(main, line_made.split()).exit_code == 0
    Path("q.json").write_bytes(Path("p.json").read_bytes())
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    done = CliRunner().invoke(main, line.split())
    assert done.exit_code in {1, 2}
    assert "would replace a file that" in done.output or "is the file to repair" in done.output
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_repair_in_the_folder_of_the_data_set_may_be_made_again(tmp_path):
    """Files of the folder are looked at for annotations: those that are none may be replaced."""
    made = ["synth", "--out", str(tmp_path / "coco"), "--images", "1", "--format", "coco"]
    assert CliRunner().invoke(main, made).exit_code == 0
    annotations = next((tmp_path / "coco").rglob("*.json"))
    folder, truth = annotations.parent, json.loads(annotations.read_text())
    results, out = tmp_path / "r.json", folder / "left.json"
    row = {"image_id": truth["images"][0]["id"], "category_id": truth["categories"][0]["id"], "score": 0.5}
    results.write_text(json.dumps([{**row, "bbox": [1, 2, 3, 4]}, {**row, "bbox": None}]))
    line = ["validate-predictions", str(results), "--dataset", str(tmp_path / "coco"), "--repair"]
    first, again = (CliRunner().invoke(main, [*line, str(out)]) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0), again.output
    assert again.output == first.output
    refused = CliRunner().invoke(main, [*line, str(annotations)])
    assert "would replace a file that this command reads" in refused.output
    assert json.loads(annotations.read_text()) == truth


def test_another_name_of_a_file_that_is_read_is_no_way_around(tmp_path):
    (tmp_path / "p.json").write_text("[]")
    (tmp_path / "link.json").symlink_to(tmp_path / "p.json")
    done = CliRunner().invoke(main, ["convert", str(tmp_path / "p.json"), str(tmp_path / "link.json")])
    assert done.exit_code == 1
    assert "would replace a file that this command reads" in done.output
    assert (tmp_path / "p.json").read_text() == "[]"


@pytest.mark.parametrize("before", ["", "corruption:fog:3:"])
@pytest.mark.parametrize("written", ["data", "data/", "./data", "./data//", "sub/..//data/."])
def test_a_data_set_is_found_however_its_path_is_written(before, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "sub"):
        (tmp_path / name).mkdir()
    opened = str(DATASET.convert(before + written, None, None))
    assert opened.startswith(before)
    assert Path(opened.removeprefix(before)).samefile("data")
