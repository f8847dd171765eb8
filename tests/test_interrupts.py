"""Ctrl-C while a command computes: one line and exit code 130."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# Sends SIGINT from another thread while a function is called again and again, which no end but this one has.
ENDLESS = """
import importlib, os, runpy, signal, sys, threading

class Endless:
    def __init__(self, function):
        self.function = function

    def __get__(self, owner, kind):
        def call(*args, **named):
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            while True:
                self.function(owner, *args, **named)
        return call

module, _, path = sys.argv.pop(1).partition(":")
kind, _, name = path.partition(".")
owner = getattr(importlib.import_module(module), kind)
setattr(owner, name, Endless(getattr(owner, name)))
# Ignored in whatever a shell runs in the background, where this would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("anydet.cli", run_name="__main__")
"""

GIVEN = "--dataset scenes --predictions p.json"
LINES = {
    "anydet_fasteval.engine:FastEngine.match": f"eval-coco {GIVEN} --json out/r.json",
    "anydet_fasteval.engine:FastEngine.accumulate": f"eval {GIVEN} --metrics coco --json out/r.json",
    "anydet_fasteval.scanner:CompiledScanner.predictions": "validate-predictions p.json",
    "anydet_toy.adapter:ToyAdapter.predict": "predict scenes --adapter toy --output out/r.json",
    "anydet.report.server.server:BrowseServer.handle_request": (
        "browse p.json --dataset scenes --no-open --resamples 2"
    ),
    "anydet.data.scenes.shape_scenes:SyntheticDataset.record": "synth --out out/new --images 2",
}
"""What is called without end, and the command that calls it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("interrupted")
    for line in (
        "synth --out scenes --images 2 --size 96x72",
        "export-predictions --adapter toy --dataset scenes --output p.json",
    ):
        subprocess.run([sys.executable, "-m", "anydet.cli", *line.split()], cwd=here, check=True)
    (here / "endless.py").write_text(ENDLESS)
    return here


@pytest.mark.parametrize("called", LINES)
def test_an_interrupted_command_says_so_and_writes_nothing(called, folder):
    done = subprocess.run(
        [sys.executable, "endless.py", called, *LINES[called].split()],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: interrupted")
    assert not list(folder.glob("out/*"))


# Sends SIGINT at the n-th call of a function; then the process goes on as it will.
ONCE = """
import importlib, os, runpy, signal, sys

module, _, path = sys.argv.pop(1).partition(":")
at, calls = int(sys.argv.pop(1)), 0
kind, _, name = path.partition(".")
owner = getattr(importlib.import_module(module), kind)
function = getattr(owner, name)

def call(*args, **named):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGINT)
    return function(*args, **named)

setattr(owner, name, call)
# Ignored in whatever a shell runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("anydet.cli", run_name="__main__")
"""
SETTING = """
adapter: adaptivestream
dataset: masks
methods: {norm: }
corruptions: [fog]
severities: [1]
resamples: 5
"""
TRAIN = (
    "train --adapter adaptivestream --dataset masks --image-size 64 --num-workers 0 --max-steps 4 "
    "--batch-size 1 --run-id"
)


SCENARIOS = (
    "{batch_size: 2, evaluators: [], scenarios: {clean: , truncated: {truncated: }, dark: {low_light: }}}"
)
TASKS = """
adapter: adaptivestream
dataset: masks
val_split: val
tasks: {clean: , fog: {corruption: "fog:1"}}
training: {image_size: 64, num_workers: 0, max_steps: 2, batch_size: 1}
resamples: 5
"""


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    here = tmp_path_factory.mktemp("masks")
    line = "synth --scene segmentation --images 3 --size 64x64 --out masks"
    subprocess.run([sys.executable, "-m", "anydet.cli", *line.split()], cwd=here, check=True)
    (here / "once.py").write_text(ONCE)
    (here / "setting.yaml").write_text(SETTING)
    (here / "tasks.yaml").write_text(TASKS)
    (here / "scenarios.yaml").write_text(SCENARIOS)
    return here


def run(line, folder, *before, expect=0):
    """What a command said; ``before`` are the words of ``once.py``."""
    start = ["once.py", *before] if before else ["-m", "anydet.cli"]
    done = subprocess.run(
        [sys.executable, *start, *line.split()],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


def test_an_interrupted_training_goes_on_to_the_same_weights(masks):
    import torch

    from anydet.training.checkpoints.checkpoint import load_checkpoint

    run(f"{TRAIN} whole", masks)
    stepper = "anydet.training.stepping:Stepper.take"
    said = run(f"{TRAIN} stopped", masks, stepper, "2", expect=130)
    assert said[-2].startswith("Error: stopped by SIGINT after step 2")
    assert said[-1] == "  fix: go on with the same command and --resume"
    run(f"{TRAIN} stopped --resume", masks)
    whole, stopped = (
        load_checkpoint(masks / "runs" / name / "checkpoints/last.pt", device=torch.device("cpu")).model
        for name in ("whole", "stopped")
    )
    assert whole.keys() == stopped.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, stopped[name]), name


def test_an_interrupted_comparison_goes_on_where_it_was(masks):
    run("ttt-compare setting.yaml --out whole-comparison", masks)
    predicted = "anydet.adaptation.ttt.protocol:Runs._predicted"
    said = run("ttt-compare setting.yaml --out stopped-comparison", masks, predicted, "3", expect=130)
    assert said[-1].startswith(("Error: interrupted", "  fix: "))
    assert sum(line.startswith("Error: ") for line in said) == 1
    out = masks / "stopped-comparison"
    assert not (out / "results.json").exists()
    done = {path: path.stat().st_mtime_ns for path in out.rglob("*-0.json")}
    assert len(done) == 2
    run("ttt-compare setting.yaml --out stopped-comparison", masks)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    results = [json.loads((masks / name / "results.json").read_text()) for name in ("whole-comparison", out)]
    # The first table says how long an image took, too.
    whole, stopped = ([result["images"], result["tables"][1], result["figures"]] for result in results)
    assert whole == stopped


def test_interrupted_scenarios_go_on_where_they_were(masks):
    """What was predicted is not predicted again, and the numbers are those of a run without a stop."""
    line = "test scenarios.yaml --adapter toy --dataset scenes --out"
    run("synth --images 6 --size 96x72 --out scenes", masks)
    run(f"{line} whole-scenarios", masks)
    said = run(f"{line} stopped-scenarios", masks, "anydet_toy.adapter:ToyAdapter.predict", "6", expect=130)
    assert said[-2].startswith("Error: interrupted after 4 of 6 images")
    assert said[-1] == "  fix: give the same command again to go on"
    out = masks / "stopped-scenarios"
    assert not (out / "results.json").exists()
    done = {path: path.stat().st_mtime_ns for path in out.glob("predictions/unchanged-*.jsonl")}
    assert len(done) == 1
    (partial,) = out.glob("predictions/dark-*.jsonl.partial")
    begun = partial.read_bytes()
    assert begun.count(b"\n") == 4
    run(f"{line} stopped-scenarios", masks)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    (dark,) = out.glob("predictions/dark-*.jsonl")
    assert begun in dark.read_bytes()
    assert not list(out.rglob("*.partial*"))
    whole, stopped = (
        json.loads((masks / name / "results.json").read_text())["scenarios"]
        for name in ("whole-scenarios", "stopped-scenarios")
    )
    for one in (*whole, *stopped):
        assert one["numbers"].pop("images_per_s") > 0
    assert whole == stopped


def test_interrupted_tasks_go_on_where_they_were(masks):
    run("continual tasks.yaml --out whole-tasks", masks)
    stepper = "anydet.training.stepping:Stepper.take"
    said = run("continual tasks.yaml --out stopped-tasks", masks, stepper, "3", expect=130)
    assert said[-2].startswith("Error: method 'none', task 'fog': stopped by SIGINT after step 1")
    assert said[-1] == "  fix: the same command goes on; what was done is kept"
    assert sum(line.startswith("Error: ") for line in said) == 1
    out = masks / "stopped-tasks"
    assert not (out / "results.json").exists()
    done = {path: path.stat().st_mtime_ns for path in out.rglob("clean-*/best.pt")}
    assert len(done) == 1
    run("continual tasks.yaml --out stopped-tasks", masks)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    whole, stopped = (
        json.loads((masks / name / "results.json").read_text()) for name in ("whole-tasks", "stopped-tasks")
    )
    assert whole["methods"]["none"]["matrix"] == stopped["methods"]["none"]["matrix"]
    assert whole["figures"] == stopped["figures"]
    predicting = "anydet.continual.stages:Trainer.predict"
    said = run("continual tasks.yaml --out predicting", masks, predicting, "2", expect=130)
    assert sum(line.startswith("Error: ") for line in said) == 1
