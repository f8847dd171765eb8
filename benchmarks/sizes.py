"""Files of absurd sizes: what is said of them, how long it takes, and whether that grows as the file does.

A million class names, 100,000 bad scores, 100,000 unknown keys and a key of 5 MB are given to the command
line, each at this size and at half of it; a ratio near 2 or below is linear work, start-up included. Of 2 GB
whose first byte is wrong, the rest must not be read. A polygon of a million points is evaluated in turns with
pycocotools, whose ratio is the last line; its AP must be the same. Seconds are those of the processor.

    python benchmarks/sizes.py [--rounds 3] [--scale 1]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.run import evaluate_coco

BOX = {"cx": 0.5, "cy": 0.5, "w": 0.25, "h": 0.25}
SIDE_PX = 2048


def detection(**others: Any) -> dict[str, Any]:
    """A valid one, but for what is given."""
    return {"class_id": 0, "score": 0.5, "bbox": BOX, **others}


def class_names(count: int) -> Any:
    """A file that states so many classes, of which one detection has the last but a wrong score."""
    names = [f"class {i}" for i in range(count)]
    entry = {"image": "a.jpg", "detections": [detection(class_id=count - 1, score=2)]}
    return {"schema_version": 1, "predictions": [entry], "meta": {"classes": names}}


def bad_scores(count: int) -> Any:
    """Detections whose scores are above 1."""
    return [{"image": "a.jpg", "detections": [detection(score=2)] * count}]


def unknown_keys(count: int) -> Any:
    """A detection with so many keys that the contract does not have."""
    return [{"image": "a.jpg", "detections": [detection(**{f"scoer{i}": 1 for i in range(count)})]}]


def long_key(count: int) -> Any:
    """An unknown key of so many characters."""
    return [{"image": "a.jpg", "detections": [detection(**{"k" * count: 1})]}]


CASES: dict[str, tuple[Callable[[int], Any], int]] = {
    "class names": (class_names, 1_000_000),
    "bad scores": (bad_scores, 100_000),
    "unknown keys": (unknown_keys, 100_000),
    "characters of a key": (long_key, 5_000_000),
}


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def validated(path: Path) -> tuple[float, str]:
    """Seconds of the command, and what it printed; it must refuse the file."""
    command = [sys.executable, "-m", "anydet.cli", "validate-predictions", str(path)]
    start = _of_children()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = _of_children() - start
    if done.returncode != 1 or "Traceback" in done.stderr:
        raise SystemExit(f"{path}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds, done.stdout + done.stderr


def measure_files(folder: Path, rounds: int, scale: float) -> None:
    """Print a row for each case."""
    print(f"{'what':<22}{'count':>12}{'MB':>8}{'seconds':>9}{'of half':>9}{'lines':>7}{'longest':>9}")
    for name, (make, usual) in CASES.items():
        count = max(2, int(usual * scale))
        paths = [folder / "half.json", folder / "whole.json"]
        for path, size in zip(paths, (count // 2, count), strict=True):
            path.write_text(json.dumps(make(size)))
        times: tuple[list[float], list[float]] = ([], [])
        said = ""
        for _ in range(rounds):
            for found, path in zip(times, paths, strict=True):
                seconds, said = validated(path)
                found.append(seconds)
        half, whole = map(median, times)
        lines = said.splitlines()
        size_mb = paths[1].stat().st_size / 1e6
        print(
            f"{name:<22}{count:>12}{size_mb:>8.1f}{whole:>9.2f}{whole / half:>9.2f}{len(lines):>7}"
            f"{max(map(len, lines)):>9}"
        )


def measure_wrong_first_byte(folder: Path, rounds: int) -> None:
    """Print how long refusing 2 GB takes, and refusing one byte."""
    large, small = folder / "large.json", folder / "small.json"
    for path, size in ((large, 2 << 30), (small, 1)):
        with path.open("wb") as file:
            file.write(b"x")
            file.truncate(size)
    times = [[validated(path)[0] for _ in range(rounds)] for path in (large, small)]
    slow, quick = map(median, times)
    print(f"2 GB whose first byte is wrong: {slow:.2f} s; one byte: {quick:.2f} s; ratio {slow / quick:.2f}")


def polygon(count: int) -> Iterator[float]:
    """X and y of a star with so many points."""
    for i in range(count):
        angle, radius = 2 * math.pi * i / count, 0.3 * SIDE_PX + i % 2
        yield SIDE_PX / 2 + radius * math.cos(angle)
        yield SIDE_PX / 2 + radius * math.sin(angle)


def by_pycocotools(truth: Path, results: Path) -> float:
    """AP of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        run = COCOeval(known, known.loadRes(str(results)), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


def by_anydet(truth: Path, results: Path) -> float:
    """AP of anydet, with the engine that is installed."""
    found = evaluate_coco(truth, results, CocoSettings(iou_type="segm")).metrics["AP"]
    return -1.0 if found is None else float(found)


def measure_polygon(folder: Path, rounds: int, scale: float) -> None:
    """Print the time of both in turns, and their ratio."""
    from pycocotools import mask

    points = [round(value, 3) for value in polygon(max(3, int(1_000_000 * scale)))]
    box = [0.1 * SIDE_PX, 0.1 * SIDE_PX, 0.8 * SIDE_PX, 0.8 * SIDE_PX]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1e6, "iscrowd": 0}
    truth, results = folder / "instances_val.json", folder / "results.json"
    truth.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.jpg", "width": SIDE_PX, "height": SIDE_PX}],
                "annotations": [{**annotation, "segmentation": [points]}],
                "categories": [{"id": 1, "name": "ring"}],
            }
        )
    )
    # A coarser ring, so that the overlap is not 1.
    coarse = mask.frPyObjects([list(polygon(7))], SIDE_PX, SIDE_PX)[0]
    coded = {"size": coarse["size"], "counts": coarse["counts"].decode()}
    results.write_text(json.dumps([{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": coded}]))
    times: dict[Callable[[Path, Path], float], list[float]] = {by_pycocotools: [], by_anydet: []}
    found = {}
    for _ in range(rounds):
        for evaluate, taken in times.items():
            start = time.process_time()
            found[evaluate] = evaluate(truth, results)
            taken.append(time.process_time() - start)
    if abs(found[by_anydet] - found[by_pycocotools]) > 1e-12:
        raise SystemExit(f"AP {found[by_anydet]} is not pycocotools' {found[by_pycocotools]}")
    ours, theirs = median(times[by_anydet]), median(times[by_pycocotools])
    print(
        f"a polygon of {len(points) // 2} points: anydet {ours:.2f} s, pycocotools {theirs:.2f} s, "
        f"ratio {ours / theirs:.2f}; AP of both {found[by_anydet]:.3f}"
    )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        measure_files(folder, options.rounds, options.scale)
        measure_wrong_first_byte(folder, options.rounds)
        measure_polygon(folder, options.rounds, options.scale)


if __name__ == "__main__":
    main()
