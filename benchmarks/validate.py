"""Validation against a bare typed decode of the same file, in one run.

500,000 detections on 5,000 images, some 75 MB of JSON. The peer is msgspec's typed decode into plain structs
without constraints, garbage collector as Python sets it. The two take turns; peak memory is measured in a
process of its own for each. Validation reads with the scanner of the installed engine, if it brings one.

    python benchmarks/validate.py [--images 5000] [--detections 100] [--rounds 7]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from anydet.contract.checking.validate import validate
from anydet.contract.encode import encode_entry
from anydet.contract.reading.load import load
from anydet.contract.write import write_predictions
from anydet.evaluation.engines import choose_engine
from anydet.types import ImagePredictions


class Box(msgspec.Struct):
    """Four plain numbers."""

    cx: float
    cy: float
    w: float
    h: float


class Detection(msgspec.Struct):
    """What is in the file, nothing optional."""

    class_id: int
    score: float
    bbox: Box


class Size(msgspec.Struct):
    """Two plain numbers."""

    width: int
    height: int


class Entry(msgspec.Struct):
    """One image."""

    image: str
    image_size: Size
    detections: list[Detection]


def bare(path: Path) -> int:
    """Detections that the bare typed decode gives."""
    decoded = msgspec.json.decode(path.read_bytes(), type=list[Entry])
    return sum(len(entry.detections) for entry in decoded)


def validated(path: Path) -> int:
    """Detections that validation finds in a file without errors."""
    report = validate(path, scanner=choose_engine().scanner)
    if not report.ok:
        raise SystemExit("\n".join(report.errors[:5]))
    return report.detections


def loaded(path: Path) -> int:
    """Detections as columns in pixels."""
    return len(load(path, choose_engine().scanner).columns())


def slow(path: Path) -> int:
    """Detections that validation without a compiled scanner finds."""
    return validate(path).detections


def whole_command(path: Path) -> int:
    """A new process: ``anydet validate-predictions``."""
    run = [sys.executable, "-m", "anydet.cli", "validate-predictions", str(path)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    return 0


CASES: dict[str, Callable[[Path], int]] = {
    "msgspec typed decode (peer)": bare,
    "validate": validated,
    "validate without a scanner": slow,
    "load as columns in pixels": loaded,
    "anydet validate-predictions (process)": whole_command,
}


def entries(images: int, detections: int) -> Iterator[bytes]:
    """Entries with boxes inside 640 x 480 images, full-precision floats as detectors give them."""
    rng = np.random.default_rng(0)
    limits = np.array([640.0, 480.0, 640.0, 480.0])
    for i in range(images):
        corners = np.sort(rng.random((detections, 2, 2)), axis=1).reshape(-1, 4) * limits
        scores, class_ids = rng.random(detections), rng.integers(0, 80, detections)
        yield encode_entry(ImagePredictions(f"{i:012d}.jpg", (640, 480), corners, scores, class_ids))


def peak_mib(name: str, path: Path) -> float:
    """Peak resident memory of a fresh process that runs one case, MiB."""
    run = [sys.executable, __file__, "--only", name, "--file", str(path)]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def own_peak_mib() -> float:
    """Peak resident memory of this process, MiB; ``ru_maxrss`` would count the parent's before exec."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def compare(path: Path, rounds: int) -> None:
    """Print medians, ratios to the peer and peak memory."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, case in CASES.items():
            start = time.perf_counter()
            case(path)
            seconds[name].append(time.perf_counter() - start)
    peer = median(seconds["msgspec typed decode (peer)"])
    print(f"{path.stat().st_size / 1e6:.1f} MB, {validated(path)} detections, {rounds} rounds")
    for name, times in seconds.items():
        memory = f"{peak_mib(name, path):6.0f} MiB" if CASES[name] is not whole_command else ""
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:40} {median(times):6.3f} s ({spread})  ratio {median(times) / peer:5.2f}  {memory}")


def main() -> None:
    """Make the file and compare, or run one case alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--file", type=Path)
    args = parser.parse_args()
    if args.only:
        CASES[args.only](args.file)
        print(own_peak_mib())
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.json"
        write_predictions(entries(args.images, args.detections), path)
        compare(path, args.rounds)


if __name__ == "__main__":
    main()
