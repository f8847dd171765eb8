"""The example script, as a reader would start it: to a real evaluation of real detections."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def run_script(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """``docs/examples/rtdetr_pose.sh`` in a folder, with the ``anydet`` of this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", ROOT / "docs/examples/rtdetr_pose.sh", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def check_outcome(done: subprocess.CompletedProcess[str], out: Path) -> None:
    """50 steps were trained, 20 images have detections that validate, and AP is a number."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    steps = (out / "run" / "train_metrics.jsonl").read_text().splitlines()
    assert json.loads(steps[-1])["step"] == 50
    entries = json.loads((out / "predictions.json").read_text())["predictions"]
    assert len(entries) == 20
    assert all(entry["detections"] for entry in entries)
    assert re.search(r"predictions\.json: valid, .* 20 images, [1-9]", done.stdout)
    printed = re.search(r"^AP +(\S+)$", done.stdout, re.MULTILINE)
    assert printed is not None, done.stdout
    report = json.loads((out / "report.json").read_text())
    assert math.isclose(float(printed[1]), report["metrics"]["AP"], abs_tol=5e-5)
    assert 0 <= report["metrics"]["AP"] <= 1


def test_the_example_leads_from_synthetic_scenes_to_an_evaluation(tmp_path):
    done = run_script(tmp_path)
    check_outcome(done, tmp_path / "runs/rtdetr_pose")
    first = json.loads((tmp_path / "runs/rtdetr_pose/predictions.json").read_text())["predictions"][0]
    assert {"log_z", "R", "t"} <= set(first["detections"][0])
    again = run_script(tmp_path)
    assert again.returncode != 0, "what was written is kept"
    assert "fix: " in again.stderr


@pytest.mark.soak
def test_the_example_leads_from_real_images_to_an_evaluation(coco128, tmp_path):
    done = run_script(tmp_path, coco128, "out")
    check_outcome(done, tmp_path / "out")
    assert "128 images" in done.stderr
