#!/usr/bin/env python3
"""Time of a paired bootstrap of two models beside hotcoco's, on made-up work of val2017's size, in one run.

    python benchmarks/bootstrap.py                   # 1,000 resamples of 5,000 images
    python benchmarks/bootstrap.py --engine pycocotools --resamples 100      # numpy alone

Seconds are those of resampling two models that are matched already: twelve numbers and their intervals; ours
also those of each of the 80 classes. "intervals" is ours for one model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from anydet.evaluation.analysis.bootstrap import find_intervals
from anydet.evaluation.analysis.comparison import compare
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.reading import read_shards
from anydet.evaluation.run import prepare_coco

HERE = Path(__file__).parent


def prepare(truth: Path, results: Path, engine: str | None) -> CocoEvaluator:
    """An evaluator that has matched everything."""
    chosen = choose_engine(name=engine)
    evaluator = prepare_coco(read_shards(truth, results, scanner=chosen.scanner), engine=chosen)
    evaluator.result()
    return evaluator


def race_hotcoco(truth: Path, models: list[Path], resamples: int) -> tuple[float, dict[str, list[float]]]:
    """Seconds of its comparison, and the ends of its intervals."""
    from hotcoco import COCO, COCOeval
    from hotcoco import compare as compare_theirs

    known = COCO(str(truth))
    runs = [COCOeval(known, known.load_res(str(model)), "bbox") for model in models]
    for run in runs:
        run.evaluate()
    start = time.perf_counter()
    found = compare_theirs(*runs, n_bootstrap=resamples)
    seconds = time.perf_counter() - start
    return seconds, {name: [ci["lower"], ci["upper"]] for name, ci in found["ci"].items()}


def spoil(results: Path, path: Path) -> Path:
    """A second model: every tenth box moved to the right."""
    rows = json.loads(results.read_text())
    for row in rows[::10]:
        row["bbox"][0] += 0.1 * row["bbox"][2]
    path.write_text(json.dumps(rows))
    return path


def main() -> None:
    """Make the work, run both, print seconds and intervals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--annotations", type=int, default=36_000)
    parser.add_argument("--detections", type=int, default=500_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--engine", help="who matches and resamples; the fastest installed one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = arguments.images, arguments.annotations, arguments.detections
        made = [HERE / "work.py", folder, *sizes, "bbox", 1]
        subprocess.run([sys.executable, *map(str, made)], check=True)
        truth, results = folder / "instances_val.json", folder / "results.json"
        models = [results, spoil(results, folder / "spoilt.json")]
        ours = [prepare(truth, model, arguments.engine) for model in models]
        print(f"{sizes[0]} images, {sizes[2]} detections, {arguments.resamples} draws, {ours[0].engine.name}")
        start = time.perf_counter()
        find_intervals(ours[0], resamples=arguments.resamples)
        print(f"anydet intervals   {time.perf_counter() - start:7.2f} s")
        start = time.perf_counter()
        found = compare(*ours, resamples=arguments.resamples)
        seconds = time.perf_counter() - start
        difference = found.overall["AP"]
        print(f"anydet compare     {seconds:7.2f} s   AP {difference.low:+.5f} to {difference.high:+.5f}")
        if find_spec("hotcoco"):
            theirs, intervals = race_hotcoco(truth, models, arguments.resamples)
            low, high = intervals["AP"]
            print(
                f"hotcoco compare    {theirs:7.2f} s   AP {low:+.5f} to {high:+.5f}   {seconds / theirs:.2f}x"
            )


if __name__ == "__main__":
    main()
