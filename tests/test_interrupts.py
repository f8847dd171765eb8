"""Ctrl-C while a command computes: one line and exit code 130."""

from __future__ import annotations

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
runpy.run_module("anydet.cli", run_name="__main__")
"""

GIVEN = "--dataset scenes --predictions p.json"
LINES = {
    "anydet_fasteval.engine:FastEngine.match": f"eval-coco {GIVEN} --json out/r.json",
    "anydet_fasteval.engine:FastEngine.accumulate": f"eval {GIVEN} --metrics coco --json out/r.json",
    "anydet_fasteval.scanner:CompiledScanner.predictions": "validate-predictions p.json",
    "anydet_toy.adapter:ToyAdapter.predict": "predict scenes --adapter toy --output out/r.json",
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
