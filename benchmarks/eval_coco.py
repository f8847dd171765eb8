#!/usr/bin/env python3
"""Time and memory of COCO evaluation beside every peer that is installed, on made-up work, in one run.

    python benchmarks/eval_coco.py                                                # val2017's size
    python benchmarks/eval_coco.py --images 50000 --annotations 360000 --detections 5000000
    python benchmarks/eval_coco.py --iou-type segm --detections 90000
    python benchmarks/eval_coco.py --iou-type keypoints --annotations 11000 --detections 75000

"whole" is a process from two JSON files to the numbers, start-up included: ``anydet eval-coco`` for us, a
script of four lines for the others. "CPU" is what it takes of all cores together, which says more where the
machine has other work. "load" and "evaluate" are what the library calls take inside. All take turns, round
by round. Before that each one's numbers and arrays are compared with pycocotools' (where that takes too long,
with another's: ``--reference``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contestants import installed

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Work:
    """The files of one problem."""

    truth: Path
    results: Path


@dataclass
class Measured:
    """What the rounds gave for one contestant: seconds and MB."""

    whole: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    evaluate: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure(command: Sequence[str | Path]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident MB of one process; raises where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    errors = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(map(str, command))}\n{errors[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def library(name: str, work: Work, iou_type: str, out: Path) -> list[str | Path]:
    """The command that runs a contestant's library calls."""
    return [sys.executable, HERE / "contestants.py", name, work.truth, work.results, iou_type, out]


def command_line(work: Work, iou_type: str) -> list[str | Path]:
    """Ours, as people type it."""
    files = ["--dataset", work.truth, "--predictions", work.results]
    return [sys.executable, "-m", "anydet.cli", "eval-coco", *files, "--iou-type", iou_type]


def compare(names: Sequence[str], reference: str, work: Work, iou_type: str, folder: Path) -> dict[str, str]:
    """How each one's numbers and arrays differ from the reference's."""
    if reference not in names:
        return dict.fromkeys(names, "not compared")
    for name in names:
        measure([*library(name, work, iou_type, folder / f"{name}.json"), folder / f"{name}.npz"])
    lines = subprocess.run(
        [sys.executable, HERE / "differences.py", folder, reference, *names],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return dict(zip(names, lines, strict=True))


def race(names: Sequence[str], work: Work, iou_type: str, rounds: int, folder: Path) -> dict[str, Measured]:
    """All in turn, round by round."""
    found = {name: Measured() for name in names}
    for _ in range(rounds):
        for name, one in found.items():
            out = folder / "round.json"
            taken = measure(library(name, work, iou_type, out))
            if name == "anydet":
                taken = measure(command_line(work, iou_type))
            inside = json.loads(out.read_text())
            for column, value in zip((one.whole, one.cpu, one.memory), taken, strict=True):
                column.append(value)
            one.load.append(inside["load"])
            one.evaluate.append(inside["evaluate"])
    return found


def show(found: dict[str, Measured], differences: dict[str, str]) -> None:
    """Medians with the range of the whole, and our ratio to each peer."""
    head = f"{'':22} {'whole s':>20} {'CPU s':>7} {'load s':>7} {'eval. s':>7} {'MB':>6}"
    print(f"{head}   anydet's ratio to it: whole    CPU   call  eval.     MB")
    ours = _medians(found["anydet"])
    for name, one in found.items():
        theirs = _medians(one)
        spread = f"({min(one.whole):.2f}-{max(one.whole):.2f})"
        seconds = f"{theirs['whole']:6.3f} {spread:>13} " + " ".join(
            f"{theirs[column]:7.3f}" for column in ("cpu", "load", "evaluate")
        )
        ratios = " ".join(
            f"{ours[column] / theirs[column]:6.2f}"
            for column in ("whole", "cpu", "call", "evaluate", "memory")
        )
        print(f"{name:22} {seconds} {theirs['memory']:6.0f}   {'':20} {ratios}  {differences.get(name, '')}")


def _medians(one: Measured) -> dict[str, float]:
    """Of each column, and of the calls: loading and evaluating together."""
    columns = {**vars(one), "call": [sum(both) for both in zip(one.load, one.evaluate, strict=True)]}
    return {name: statistics.median(column) for name, column in columns.items()}


def main() -> None:
    """Make the work, compare everyone, race, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--annotations", type=int, default=36_000)
    parser.add_argument("--detections", type=int, default=500_000)
    parser.add_argument("--iou-type", choices=["bbox", "segm", "keypoints"], default="bbox")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--reference", default="pycocotools", help="what the others are compared with")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="leave these peers out")
    arguments = parser.parse_args()
    names = [name for name in installed() if name not in arguments.without]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = arguments.images, arguments.annotations, arguments.detections
        # In a process of its own, as the peak memory of a child counts what its parent had when it forked.
        made = [HERE / "work.py", folder, *sizes, arguments.iou_type, 1]
        subprocess.run([sys.executable, *map(str, made)], check=True)
        work = Work(folder / "instances_val.json", folder / "results.json")
        megabytes = work.results.stat().st_size / 1e6
        print(f"{sizes[0]} images, {sizes[1]} annotations, {sizes[2]} detections ({megabytes:.0f} MB)")
        differences = compare(names, arguments.reference, work, arguments.iou_type, folder)
        racers = [
            name for name in names if name != "pycocotools"
        ]  # it takes a minute: in the comparison alone
        show(race(racers, work, arguments.iou_type, arguments.rounds, folder), differences)
        ours = differences.get("anydet", "")
        print(f"anydet: {ours}")
    raise SystemExit("off" in ours)


if __name__ == "__main__":
    main()
