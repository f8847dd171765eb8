"""One evaluator, once, in a process of its own; ``eval_coco.py`` starts these in turn.

    python benchmarks/contestants.py hotcoco truth.json results.json bbox out.json [arrays.npz]

``out.json`` gets the seconds of loading and of evaluating (imports left out) and the 12 numbers; with a last
argument, the arrays are written as well.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Run = tuple[Callable[[], Any], Callable[[Any], tuple[list[float], Mapping[str, Any] | None]]]
"""``load()`` gives what ``evaluate(loaded)`` takes; that gives the numbers and the arrays."""


def _by_pycocotools(coco: Any, evaluation: Any) -> Callable[[str, str, str], Run]:
    """Of packages with pycocotools' interface."""

    def contestant(truth: str, results: str, iou_type: str) -> Run:
        def load() -> Any:
            known = coco(truth)
            return known, (known.load_res if hasattr(known, "load_res") else known.loadRes)(results)

        def evaluate(loaded: Any) -> Any:
            run = evaluation(*loaded, iou_type)
            run.evaluate()
            run.accumulate()
            run.summarize()
            return [float(v) for v in run.stats], run.eval

        return load, evaluate

    return contestant


def pycocotools() -> Any:
    """The reference."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return _by_pycocotools(COCO, COCOeval)


def faster_coco_eval() -> Any:
    """C++ behind pycocotools' interface."""
    from faster_coco_eval import COCO, COCOeval_faster

    return _by_pycocotools(COCO, COCOeval_faster)


def hotcoco() -> Any:
    """Rust."""
    from hotcoco import COCO, COCOeval

    return _by_pycocotools(COCO, COCOeval)


def ultrafast_pycocotools() -> Any:
    """Rust."""
    from ultrafast_pycocotools import COCO, COCOeval

    return _by_pycocotools(COCO, COCOeval)


def vernier() -> Any:
    """Rust, through its own interface; it gives no arrays."""
    from vernier.instance import Bbox, CocoDataset, Evaluator, Keypoints, Segm

    kinds = {"bbox": Bbox, "segm": Segm, "keypoints": Keypoints}

    def contestant(truth: str, results: str, iou_type: str) -> Run:
        def load() -> Any:
            return CocoDataset.from_json(Path(truth).read_bytes()), Path(results).read_bytes()

        def evaluate(loaded: Any) -> Any:
            evaluator = Evaluator(iou=kinds[iou_type](), parity_mode="strict")
            return [float(v) for v in evaluator.evaluate(*loaded, num_threads=2).stats], None

        return load, evaluate

    return contestant


def torchmetrics() -> Any:
    """PyTorch's, with pycocotools behind it."""
    from torchmetrics.detection import MeanAveragePrecision

    def contestant(truth: str, results: str, iou_type: str) -> Run:
        def load() -> Any:
            return MeanAveragePrecision.coco_to_tm(results, truth, iou_type=iou_type)

        def evaluate(loaded: Any) -> Any:
            metric = MeanAveragePrecision(box_format="xywh", iou_type=iou_type, backend="faster_coco_eval")
            metric.warn_on_many_detections = False
            metric.update(*loaded)
            found = metric.compute()
            names = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
            recalls = ("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")
            return [float(found[name]) for name in (*names, *recalls)], None

        return load, evaluate

    return contestant


def anydet() -> Any:
    """As a library."""
    from anydet.evaluation.engines import choose_engine
    from anydet.evaluation.protocol import CocoSettings
    from anydet.evaluation.reading import read_shards
    from anydet.evaluation.run import prepare_coco

    engine = choose_engine()

    def contestant(truth: str, results: str, iou_type: str) -> Run:
        def load() -> Any:
            from anydet.data.opening import open_dataset

            known = open_dataset(truth, scanner=engine.scanner)
            return list(read_shards(known, results, scanner=engine.scanner))

        def evaluate(loaded: Any) -> Any:
            result = prepare_coco(loaded, CocoSettings(iou_type), engine=engine).result()
            arrays = {name: getattr(result.arrays, name) for name in ("precision", "recall", "scores")}
            return [-1.0 if v is None else v for v in result.metrics.values()], arrays

        return load, evaluate

    return contestant


CONTESTANTS: dict[str, Callable[[], Any]] = {
    "anydet": anydet,
    "ultrafast_pycocotools": ultrafast_pycocotools,
    "hotcoco": hotcoco,
    "vernier": vernier,
    "faster_coco_eval": faster_coco_eval,
    "torchmetrics": torchmetrics,
    "pycocotools": pycocotools,
}


def installed() -> list[str]:
    """Contestants that can be imported here."""
    return [name for name in CONTESTANTS if find_spec(name)]


def main() -> None:
    """Run one contestant on the files given."""
    name, truth, results, iou_type, out, *arrays_path = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):
        load, evaluate = CONTESTANTS[name]()(truth, results, iou_type)
        start = time.perf_counter()
        loaded = load()
        middle = time.perf_counter()
        numbers, arrays = evaluate(loaded)
        end = time.perf_counter()
    Path(out).write_text(json.dumps({"load": middle - start, "evaluate": end - middle, "numbers": numbers}))
    if arrays_path and arrays is not None:
        import numpy as np

        np.savez(
            arrays_path[0], **{key: np.asarray(arrays[key]) for key in ("precision", "recall", "scores")}
        )


if __name__ == "__main__":
    main()
