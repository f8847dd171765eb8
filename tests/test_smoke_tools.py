"""The scripts that run the whole chain of ``rtdetr_pose`` in sizes: train, export, predict, check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def run(script: str, folder: Path, *words: str):
    environment = {**os.environ, "COCO128_URL": "file:///nowhere.zip", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(TOOLS / script), *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_chain_goes_on_with_synthetic_scenes_and_says_so(tmp_path):
    done = run("run_yolo26n_smoke_rtdetr_pose.py", tmp_path, "--steps", "1")
    assert done.returncode == 0, done.stderr
    assert "going on with synthetic scenes" in done.stderr
    assert "dry run: 1 file under protocol" in done.stderr
    out = tmp_path / "runs/yolo26_smoke"
    for made in ("n/best.pt", "n/model.onnx", "predictions/n.json", "protocol.yaml"):
        assert (out / made).is_file(), made
    again = run("run_yolo26n_smoke_rtdetr_pose.py", tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr


@pytest.mark.slow
def test_sizes_are_chosen_and_an_unknown_one_is_named(tmp_path):
    words = ("--steps", "1", "--max-images", "2")
    done = run("run_yolo26_smoke_rtdetr_pose.py", tmp_path, "--buckets", "n,s", *words)
    assert done.returncode == 0, done.stderr
    assert "dry run: 2 files under protocol" in done.stderr
    done = run("run_yolo26_smoke_rtdetr_pose.py", tmp_path, "--buckets", "n,xl")
    assert done.returncode == 2
    assert "there is no size xl" in done.stderr


@pytest.mark.slow
def test_a_command_that_fails_ends_the_chain(tmp_path):
    done = run("run_yolo26n_smoke_rtdetr_pose.py", tmp_path, "--steps", "0")
    assert done.returncode != 0
    assert "export-onnx" not in done.stderr
