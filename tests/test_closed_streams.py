"""Every command with streams that are closed, or a reader that leaves: no traceback, nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.onnx_models import described_model
from tests.panoptic import write_panoptic

from anydet.cli import main
from anydet.plugins.manager import Plugins

ROOT = Path(__file__).parents[1]
OURS = ",".join(path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))

LINES = {
    "adaptation list": "--json",
    "adaptation show": "hflip",
    "adapters list": "--json",
    "adapters new": "my_detector --out out/new",
    "adapters show": "toy --json",
    "check-dataset": "scenes --json",
    "compare": "p.json p.json --dataset scenes --resamples 5 --json -",
    "convert": "p.json out/p.jsonl --json",
    "browse": "p.json --dataset scenes --resamples 5 --idle-minutes 0 --json -",
    "corrupt": "--dataset scenes --out out/corrupted --corruptions fog --severity 1 --json",
    "dataset filter": "scenes --images 00* --output out/filtered --json",
    "dataset merge": "scenes scenes --prefixes a,b --output out/merged --json",
    "dataset sample": "scenes --images 1 --output out/few --json",
    "dataset split": "scenes --parts a=0.5,b=0.5 --stratify --output out/parts --json",
    "dataset stats": "scenes --json",
    "doctor": "--quick --json",
    "eval": "--dataset scenes --predictions p.json --metrics coco --json -",
    "eval-coco": "--dataset scenes --predictions p.json --json -",
    "eval-panoptic": "--dataset annotations/panoptic_val2017.json --predictions found.json --json",
    "eval-suite": "p.json --protocol protocol.yaml --dataset scenes --json - --out out/suite",
    "export-predictions": "--adapter toy --dataset scenes --output out/p.json",
    "fasterrcnn-multitask prepare": (
        "--output-dir out/prepared --json --train-json bikes/all_annotations.json --train-cleaned bikes/all "
        "--val-json bikes/all_annotations.json --val-cleaned bikes/all"
    ),
    "fasterrcnn-multitask split": "bikes/all_annotations.json --out out/split --json",
    "fuse": "p.json p.json --output out/fused.json",
    "benchmark": "--adapter toy --dataset scenes --max-images 2 --rounds 1 --json - --plot out/benchmark.png",
    "parity": "p.json p.json --dataset scenes --resamples 5 --json - --output-dir out/parity",
    "plot-metrics": "metrics.jsonl --out out/plot.png",
    "plugins list": "--json",
    "predict": "scenes --adapter toy --json",
    "prepare-coco-yolo": "--coco-root coco --split val --out out/yolo --json",
    "report": "p.json --dataset scenes --resamples 5 --output out/report.html --json -",
    "synth": "--out out/scenes --images 2 --size 96x72",
    "test": "scenarios.yaml --adapter toy --dataset scenes --out out/scenarios --json -",
    "validate-predictions": "p.json --json",
    "view": "p.json --dataset scenes --out out/view --json",
}
LONG = {
    "adapters check": "toy",
    "adaptivestream quick-test": "--seconds 1 --image-size 64",
    "continual": "tasks.yaml --max-steps 1 --out out/learned --json -",
    "demo": "--out out/demo --images 2",
    "diagnose": "--adapter adaptivestream --dataset masks --image-size 64 --num-workers 0",
    "export-onnx": "--adapter adaptivestream --option image_size=64 --output out/model.onnx --json",
    "plugins check": "hflip",
    "quantize": "--model model.onnx --dataset many --output out/int8.onnx --max-drop 1 --json",
    "tensorrt build": "--onnx model.onnx --engine out/model.engine --library tensorrt-rtx --json",
    "tensorrt pipeline": (
        "--onnx model.onnx --dataset scenes --out out/engine --library tensorrt-rtx --latency-images 2 --json"
    ),
    "train": (
        "--adapter adaptivestream --dataset masks --image-size 64 --num-workers 0 --max-steps 1 "
        "--run-dir out/run"
    ),
    "transformers save": "runs/tiny --out out/saved",
    "ttt-compare": "setting.yaml --out out/compared --json -",
    "ttt-statistics": "--adapter adaptivestream --dataset masks --output out/source.npz",
}
"""A line of each command that writes to stdout, and all of what else it can write."""

FIRST = {
    "transformers save": (
        "train --adapter transformers --model tiny:yolos --dataset scenes --split val --batch-size 1 "
        "--max-steps 1 --num-workers 0 --run-dir runs/tiny --parity-policy off"
    )
}
"""What a command needs, and nothing else does."""
STREAMS = {
    "a reader that leaves": "exec 3>&1; { {}; echo $? >&3; } | true",
    "stdout": "{} >&-",
    "stderr": "{} 2>&-",
    "stdout and stderr": "{} >&- 2>&-",
    "stdin": "{} <&-",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("streams")
    for line in (
        "synth --out scenes --images 2 --size 96x72",
        "synth --out many --images 12 --size 96x72",
        "synth --out coco --images 2 --size 96x72 --format coco",
        "synth --scene bikes --images 4 --out bikes --split all",
        "synth --scene segmentation --images 2 --size 64x64 --out masks",
        "export-predictions --adapter toy --dataset scenes --output p.json",
    ):
        subprocess.run([sys.executable, "-m", "anydet.cli", *line.split()], cwd=here, check=True)
    (here / "protocol.yaml").write_text("{score_threshold: 0.001, allow: [score_threshold], resamples: 5}")
    (here / "scenarios.yaml").write_text("{scenarios: {clean: , dark: {low_light: }}, evaluators: []}")
    (here / "setting.yaml").write_text(
        "{adapter: adaptivestream, dataset: masks, methods: {norm: }, corruptions: [fog], severities: [1]}"
    )
    (here / "tasks.yaml").write_text(
        "{adapter: adaptivestream, dataset: masks, val_split: val, tasks: {one: }, "
        "training: {image_size: 64, num_workers: 0}}"
    )
    described_model(here / "model.onnx")
    write_panoptic(here)
    (here / "metrics.jsonl").write_text('{"step": 1, "train_loss": 2.0}\n{"step": 2, "train_loss": 1.0}\n')
    return here


def written(folder):
    """Files below ``out``."""
    return {path.relative_to(folder).as_posix() for path in folder.glob("out/**/*") if path.is_file()}


def run(script, folder):
    """Exit code, what came to stderr, and what was written."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env={**os.environ, "ANYDET_PLUGINS": OURS, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    code = int(done.stdout) if "| true" in script else done.returncode
    return code, done.stderr, written(folder)


def withstands(name, line, folder):
    command = f"{sys.executable} -m anydet.cli {name} {line}"
    code, said, files = run(command, folder)
    usual = set(said.splitlines())
    assert code == 0, said
    for stream, script in STREAMS.items():
        ended, said, left = run(script.replace("{}", command), folder)
        assert ended == 0 or (ended == 1 and stream == "a reader that leaves"), (stream, ended, said)
        for wrong in ("Traceback", "Exception", "BrokenPipe", "Errno"):
            assert wrong not in said, (stream, said)
        new = [text for text in said.splitlines() if text not in usual and text.startswith("Error")]
        assert len(new) <= 1, (stream, said)
        assert left <= files, (stream, left)
        if ended == 0:
            assert left == files, stream


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_a_command_withstands_closed_streams(name, folder):
    withstands(name, LINES[name], folder)


@pytest.mark.soak
@pytest.mark.parametrize("name", LONG)
def test_a_long_command_withstands_closed_streams(name, folder):
    if name in FIRST:
        subprocess.run([sys.executable, "-m", "anydet.cli", *FIRST[name].split()], cwd=folder, check=True)
    withstands(name, LONG[name], folder)


def leaves(command, ctx, name=""):
    """Names of all commands that are no groups, as they are typed."""
    if not isinstance(command, click.Group):
        yield name
        return
    for part in command.list_commands(ctx):
        below = command.get_command(ctx, part)
        yield from leaves(below, click.Context(below, ctx, part), f"{name} {part}".strip())


def test_every_command_has_a_line():
    root = click.Context(main, info_name="anydet", obj=Plugins(only=OURS.split(",")))
    assert {*LINES, *LONG} == set(leaves(main, root))
