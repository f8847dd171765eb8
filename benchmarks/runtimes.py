"""The same model files on several runtimes: AP, and CPU seconds as ratios to ONNX Runtime's, in one run.

Image by image in turn, so that a busy machine slows all alike; decoding is left out.

    python benchmarks/runtimes.py --dataset ../shared/data/coco128 --models ../shared/data/models
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import onnx

import anydet
from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.export.half import half_precision
from anydet.plugins.adapter import Adapter
from anydet.prediction.pipeline import Limits
from anydet.types import ImagePredictions

MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}
HALF = "onnxruntime, graph in float16"
"""Row of the graph that ``anydet tensorrt build --precision fp16`` builds."""
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "onnxruntime": ("onnxruntime", {}),
    HALF: ("onnxruntime", {}),
    "openvino": ("openvino", {}),
    "openvino, precision=auto": ("openvino", {"precision": "auto"}),
    "opencv_dnn": ("opencv_dnn", {}),
}
"""Row -> adapter and its options; the first is what the others are held to."""
LIMITS = Limits(score_threshold=0.001)


def measure(adapters: dict[str, Adapter], dataset: Any, count: int) -> dict[str, tuple[float, list[Any]]]:
    """CPU seconds and entries of each, over the first images."""
    seconds = dict.fromkeys(adapters, 0.0)
    results: dict[str, list[ImagePredictions]] = {name: [] for name in adapters}
    for place in range(count):
        record = dataset[place]
        decoded = Record(record.key, ImageArray(record.image()))
        for name, adapter in adapters.items():
            start = time.process_time()
            results[name] += [LIMITS.apply(found) for found in adapter.predict([decoded])]
            seconds[name] += time.process_time() - start
    return {name: (seconds[name], [encode_entry(r) for r in results[name]]) for name in adapters}


def write_half(source: Path, target: Path) -> None:
    """The model with weights and layers in float16, inputs and outputs as they are."""
    target.write_bytes(half_precision(onnx.load(source)).SerializeToString())


def main() -> None:
    """Print a table a model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the three model files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-images", type=int)
    arguments = parser.parse_args()
    dataset = anydet.open_dataset(arguments.dataset)
    count = min(len(dataset), arguments.max_images or len(dataset))
    print(f"{count} images, {arguments.threads} thread(s)")
    print("| model | runtime | version | precision | AP | AP50 | APs | ms of CPU an image | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    temporary = tempfile.TemporaryDirectory()
    halves = Path(temporary.name)
    for preset, file in MODELS.items():
        write_half(arguments.models / file, halves / file)
        adapters = {
            name: anydet.load_adapter(
                adapter,
                checkpoint=(halves if name == HALF else arguments.models) / file,
                options={"preset": preset, "threads": arguments.threads, **options},
                score_floor=LIMITS.score_threshold,
            )
            for name, (adapter, options) in RUNS.items()
        }
        found = measure(adapters, dataset, count)
        base, _ = found[next(iter(RUNS))]
        for name, (seconds, entries) in found.items():
            with tempfile.TemporaryDirectory() as folder:
                write_predictions(entries, Path(folder) / "p.json")
                metrics = anydet.evaluate(
                    dataset, Path(folder) / "p.json", max_images=arguments.max_images
                ).metrics
            ran = adapters[name].notes.runtime
            values = (metrics[key] for key in ("AP", "AP50", "APs"))
            numbers = " | ".join("-" if value is None else f"{value:.4f}" for value in values)
            print(
                f"| {file} | {name} | {ran['version']} | {ran.get('precision', 'of the file')} | {numbers} | "
                f"{1000 * seconds / count:.1f} | {seconds / base:.2f} |"
            )
        for adapter in adapters.values():
            adapter.close()
    temporary.cleanup()


if __name__ == "__main__":
    main()
