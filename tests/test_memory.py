"""Commands whose memory is limited: one error with a fix wherever it ends, and nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from functools import partial

import pytest

ROWS = {"small": 2, "large": 60_000, "huge": 600_000}
"""Detections of files: entry by entry, 10,000 need a hundred MB; the compiled scanner takes far less."""
FRACTIONS = (0.02, 0.2, 0.5, 0.8)
"""Of the memory that a command takes beyond what it takes for small files, as its limits."""
# Prints how much address space the process had, of which the limit is.
MEASURED = """
import atexit, re, runpy, sys
from pathlib import Path

status = Path("/proc/self/status")
atexit.register(lambda: print(re.search("VmPeak.*", status.read_text())[0], file=sys.stderr))
sys.argv = ["anydet", *sys.argv[1:]]
runpy.run_module("anydet.cli", run_name="__main__")
"""
LINES = {
    "validate": "validate-predictions {huge}.json",
    "repair": "validate-predictions {large}.json --repair out/p.json",
    "validate lines": "validate-predictions {large}.jsonl",
    "validate Parquet": "validate-predictions {huge}.parquet",
    "eval": "eval-coco --dataset scenes --predictions {huge}.json --json out/r.json",
    "eval without the scanner": (
        "eval-coco --dataset scenes --predictions {large}.json --engine pycocotools --json out/r.json"
    ),
    "eval Parquet": "eval-coco --dataset scenes --predictions {huge}.parquet --json out/r.json",
    "truth": "check-dataset {large}-coco.json",
    "convert": "convert {large}.json out/p.parquet",
    "convert data": "convert {large}-coco.json out/coco --to coco --images scenes/images/val",
}
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc"),  # noqa: PTH110
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("memory")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "anydet.cli",
            *["synth", "--out", "scenes", "--images", "2", "--size", "96x72"],
        ],
        cwd=here,
        check=True,
    )
    (here / "measured.py").write_text(MEASURED)
    keys = sorted(
        path.relative_to(here / "scenes/images/val").as_posix() for path in here.glob("scenes/images/val/*")
    )
    for name, rows in ROWS.items():
        write(here / name, keys, rows)
        line = f"convert {name}.json {name}.parquet"
        subprocess.run([sys.executable, "-m", "anydet.cli", *line.split()], cwd=here, check=True)
    return here


def write(path, keys, rows):
    """Predictions as JSON and JSON lines, and a COCO truth, with so many rows."""
    box = {"cx": 0.5, "cy": 0.5, "w": 0.25, "h": 0.25}
    detections = [
        {"class_id": 0, "score": (i % 997 + 1) / 1000, "bbox": box} for i in range(rows // len(keys))
    ]
    entries = [{"image": key, "detections": detections} for key in keys]
    path.with_suffix(".json").write_text(json.dumps(entries))
    path.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, entries)) + "\n")
    boxes = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
        for i in range(1, rows + 1)
    ]
    images = [{"id": 1, "file_name": keys[0], "width": 96, "height": 72}]
    truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
    path.with_name(f"{path.name}-coco.json").write_text(json.dumps(truth))
    return detections


def run(line, folder, limit=None):
    """What a command did within so many bytes of address space."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    set_limit = partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit)) if limit else None
    return subprocess.run(
        [sys.executable, "measured.py", *line.split()],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=set_limit,
    )


def peak(line, folder):
    """Bytes of address space that a command takes, and its exit code."""
    done = run(line, folder)
    assert done.returncode in {0, 1}, done.stderr
    return int(done.stderr.rsplit("VmPeak:", 1)[1].split()[0]) * 1024, done.returncode


@pytest.mark.parametrize("name", LINES)
def test_memory_that_is_exhausted_is_one_error_with_a_fix(name, folder):
    small, _ = peak(LINES[name].format(large="small", huge="small"), folder)
    line = LINES[name].format(large="large", huge="huge")
    large, usual = peak(line, folder)
    assert large > small + (8 << 20), "the file is too small to tell the two apart"
    exhausted = 0
    for fraction in FRACTIONS:
        done = run(line, folder, limit=small + int(fraction * (large - small)))
        said = [text for text in done.stderr.splitlines() if "VmPeak" not in text]
        assert "Traceback" not in done.stderr, done.stderr
        if done.returncode == usual and "Error: " not in done.stderr:
            continue  # it was enough
        assert done.returncode == 1, (done.returncode, done.stderr)
        assert "memory" in done.stderr, done.stderr
        assert [text.startswith("  fix: ") for text in said[-2:]] == [False, True], done.stderr
        assert "ulimit -v" in said[-1], done.stderr
        assert not list(folder.glob("out/**/*")), "nothing half-written is left"
        exhausted += 1
    assert exhausted, "no limit was low enough"
