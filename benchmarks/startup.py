#!/usr/bin/env python3
"""Start-up of commands beside what cannot be undercut and beside the peers, in one run.

    python benchmarks/startup.py
    python benchmarks/startup.py --rounds 31 --before OTHER_ENVIRONMENT/bin/python

Our commands, ``python -c "import click"``, ``import click, numpy``, and each installed peer's four lines on
the same three images take turns, round by round, with compiled bytecode, in an environment as users have
them: ``.venv-bench`` of ``make bench`` has torch, transformers and a hundred other distributions beside.
``--before`` runs our commands in another environment as well, where another version is installed.

CPU time is what a process and its threads used (user + system); on a machine that does other work beside, it
is steadier than time on the clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

from contestants import installed

HERE = Path(__file__).parent
CLICK, NUMPY = 'python -c "import click"', 'python -c "import click, numpy"'


@dataclass
class Measured:
    """Seconds of each round: CPU and clock."""

    cpu: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)


def measure(command: Sequence[str]) -> tuple[float, float]:
    """CPU and clock seconds of one process; raises where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    clock = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, clock


def ours(python: Path, work: Path) -> dict[str, list[str]]:
    """Commands of an environment by the line that people type."""
    anydet = str(python.with_name("anydet"))
    three = ["--dataset", f"{work}/instances_val.json", "--predictions", f"{work}/results.json"]
    return {
        "anydet --version": [anydet, "--version"],
        "anydet --help": [anydet, "--help"],
        "anydet adapters list": [anydet, "adapters", "list"],
        "anydet validate-predictions": [anydet, "validate-predictions", f"{work}/predictions.json"],
        "anydet eval-coco": [anydet, "eval-coco", *three],
    }


def commands(work: Path, before: Path | None) -> dict[str, list[str]]:
    """Everything that takes part."""
    python = sys.executable
    found = {CLICK: [python, "-c", "import click"], NUMPY: [python, "-c", "import click, numpy"]}
    if before:
        found |= {f"{name} (before)": command for name, command in ours(before, work).items()}
    found |= ours(Path(python), work)
    files = [str(work / name) for name in ("instances_val.json", "results.json")]
    peers = [name for name in installed() if name not in {"anydet", "torchmetrics"}]
    for name in peers:
        arguments = [str(HERE / "contestants.py"), name, *files, "bbox", str(work / "out.json")]
        found[f"{name}, three images"] = [python, *arguments]
    return found


def race(found: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Measured]:
    """All in turn, round by round, after one that warms the page cache."""
    measured = {name: Measured() for name in found}
    for number in range(rounds + 1):
        for name, command in found.items():
            cpu, clock = measure(command)
            if number:
                measured[name].cpu.append(cpu)
                measured[name].clock.append(clock)
    return measured


def show(measured: Mapping[str, Measured]) -> None:
    """Medians and least values in milliseconds; ratios of medians of CPU time."""
    click, numpy = (statistics.median(measured[name].cpu) for name in (CLICK, NUMPY))
    print(f"{'':38} {'CPU ms':>7} {'least':>6} {'clock ms':>9} {'least':>6} {'/ click':>8} {'/ numpy':>8}")
    for name, one in measured.items():
        cpu, clock = statistics.median(one.cpu), statistics.median(one.clock)
        times = f"{1e3 * cpu:7.0f} {1e3 * min(one.cpu):6.0f} {1e3 * clock:9.0f} {1e3 * min(one.clock):6.0f}"
        print(f"{name:38} {times} {cpu / click:8.2f} {cpu / numpy:8.2f}")


def main() -> None:
    """Make three images' files, race, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--before", type=Path, metavar="PYTHON", help="of an environment to compare with")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        made = [str(HERE / "work.py"), str(work), "3", "20", "300", "bbox", "1"]
        subprocess.run([sys.executable, *made], check=True)
        box = '"score":0.5,"bbox":{"cx":0.5,"cy":0.5,"w":0.2,"h":0.2}'
        rows = ",".join(f'{{"image":"{i}.jpg","detections":[{{"class_id":0,{box}}}]}}' for i in range(3))
        (work / "predictions.json").write_text(f"[{rows}]")
        count = sum(1 for _ in distributions())
        print(f"Python {sys.version.split()[0]}, {count} distributions, {arguments.rounds} rounds")
        show(race(commands(work, arguments.before), arguments.rounds))


if __name__ == "__main__":
    main()
