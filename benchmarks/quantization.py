"""Size and AP of int8 files of 'anydet quantize' and of NNCF's accuracy control, on held-out images.

Both get the same images, in three sets without an image in common: for calibration, for the choice of layers,
and held out for the numbers below, whose intervals are those of a paired bootstrap over images ('anydet
compare'). Both have the same drop to stay within, and the same evaluator. Seconds are of the processor and,
beside them, of the clock, which counts what else the machine does.

    python benchmarks/quantization.py --dataset ../shared/data/coco128 --models ../shared/data/models
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx

import anydet
from anydet.errors import AnydetError, EvaluationError
from anydet.evaluation.analysis.comparison import Difference
from anydet.plugins.manager import Plugins
from anydet.runtime.stages import RuntimeStages
from anydet_onnxruntime.quantization.calibration import calibration_feeds, measure_ranges
from anydet_onnxruntime.quantization.choice import Loss
from anydet_onnxruntime.quantization.graph import FloatGraph
from anydet_onnxruntime.quantization.images import ChosenImages, Images, divide
from anydet_onnxruntime.quantization.judging import Judge
from anydet_onnxruntime.quantization.run import QuantizeSettings, quantize_model

MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}
MAX_DROP = 0.005
RUNTIMES = ("onnxruntime", "openvino", "opencv_dnn")
_RUNS = 15


def with_anydet(
    graph: FloatGraph, settings: QuantizeSettings, dataset: Any, plugins: Plugins, out: Path
) -> str:
    """Write the file of 'anydet quantize'; gives how many layers are in float."""
    quantized = quantize_model(graph.path, out, dataset, settings=settings, plugins=plugins)
    return f"{len(quantized.float_layers)} of {quantized.layers} layers in float"


def with_nncf(graph: FloatGraph, images: Images, judge: Judge, out: Path) -> str:
    """Write the file of ``nncf.quantize_with_accuracy_control`` with its defaults."""
    import nncf

    with judge.open(graph.path) as adapter:
        stages = cast(RuntimeStages, adapter.stages)
        feeds = [next(calibration_feeds(stages, [record])) for record in images.calibration]
        held = [next(calibration_feeds(stages, [record])) for record in images.choice]

    def validate(model: Any, items: Iterable[int]) -> float:
        onnx.save(model, judge.folder / "candidate.onnx")
        places = sorted(items)
        some = ChosenImages(images.choice, tuple(places))
        try:
            return judge.ap(judge.predicted(judge.folder / "candidate.onnx", some))
        except EvaluationError:
            return 1.0  # it also asks of single images, and some have no annotation

    model = nncf.quantize_with_accuracy_control(
        onnx.load(graph.prepared),
        nncf.Dataset(feeds),
        nncf.Dataset(list(range(len(held))), lambda place: held[place]),
        validate,
        max_drop=MAX_DROP,
    )
    onnx.save(model, out)
    kept = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return f"{kept} tensors quantized"


def ratios(model: Path, out: Path, images: Images, judge: Judge) -> dict[str, float | None]:
    """CPU seconds of the int8 file as part of the float file's, on each runtime, one thread, run in turn."""
    found: dict[str, float | None] = {}
    for name in RUNTIMES:
        options = {**judge.options, "threads": 1}
        try:
            with ExitStack() as stack:
                both = [
                    stack.enter_context(
                        anydet.load_adapter(name, options=options, checkpoint=path, plugins=judge.plugins)
                    )
                    for path in (model, out)
                ]
                stages: list[Any] = [adapter.stages for adapter in both]
                tensor = stages[0].prepare(images.held_out[0].image()).tensor
                times: list[list[float]] = [[], []]
                for _ in range(_RUNS):
                    for one, into in zip(stages, times, strict=True):
                        start = time.process_time()
                        one.run(tensor)
                        into.append(time.process_time() - start)
                found[name] = float(np.median(times[1]) / np.median(times[0]))
        except AnydetError:
            found[name] = None  # it does not run the file
    return found


def measure(work: Callable[[], str]) -> tuple[str, float, float]:
    """What a contestant says, and its seconds of processor and clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    said = work()
    return said, time.process_time() - cpu, time.perf_counter() - wall


def run(
    name: str, contestants: list[str], arguments: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """A row a contestant, of one model."""
    plugins = Plugins.from_env()
    dataset = anydet.open_dataset(arguments.dataset, plugins=plugins)
    settings = QuantizeSettings(
        max_drop=MAX_DROP,
        time_budget_s=arguments.time_budget,
        seed=arguments.seed,
        options={"preset": name},
    )
    images = divide(
        dataset,
        None,
        calibration_images=settings.calibration_images,
        max_images=settings.max_images,
        seed=settings.seed,
    )
    graph = FloatGraph(arguments.models / MODELS[name], folder)
    judge = Judge(settings.adapter, settings.options, plugins, folder)
    reference = judge.predicted(graph.path, images.held_out)
    works: dict[str, Callable[[Path], str]] = {
        "anydet": lambda out: with_anydet(graph, settings, dataset, plugins, out),
        "nncf": lambda out: with_nncf(graph, images, judge, out),
    }
    rows = []
    for contestant in contestants:
        out = folder / f"{name}-{contestant}.onnx"
        said, cpu, wall = measure(lambda contestant=contestant, out=out: works[contestant](out))  # type: ignore[misc]
        found = judge.difference(reference, judge.predicted(out, images.held_out), settings.seed)
        numbers = {"said": said, "cpu_s": cpu, "wall_s": wall}
        times = ratios(graph.path, out, images, judge)
        rows.append({**row(name, contestant, graph.path, out, found), **numbers, "ratios": times})
        print(line(rows[-1]), flush=True)
    return rows


def print_rule(name: str, arguments: argparse.Namespace, folder: Path) -> None:
    """What the disagreement says of AP that is lost, beside AP that is, for the largest layers in int8."""
    plugins = Plugins.from_env()
    dataset = anydet.open_dataset(arguments.dataset, plugins=plugins)
    images = divide(dataset, None, calibration_images=32, max_images=96, seed=arguments.seed)
    both = ChosenImages(dataset, tuple(sorted(images.choice.positions + images.held_out.positions)))
    graph = FloatGraph(arguments.models / MODELS[name], folder)
    judge = Judge("onnxruntime", {"preset": name}, plugins, folder)
    with judge.open(graph.path) as adapter:
        feeds = calibration_feeds(cast(RuntimeStages, adapter.stages), list(images.calibration))
        ranges = measure_ranges(graph.prepared, feeds, "entropy", folder, lambda: None)
    reference = judge.predicted(graph.path, both)
    by_size = sorted(graph.layers, key=lambda layer: -layer.weight_bytes)
    for part in (1.0, 0.75, 0.5):
        layers = by_size[: int(part * len(by_size))]
        onnx.save(graph.quantized(layers, ranges), folder / "largest.onnx")
        found = judge.predicted(folder / "largest.onnx", both)
        lost = judge.difference(found, reference, arguments.seed)
        loss = Loss(lost.difference or 0.0, 1.0 - judge.agreement(found, reference), judge.ap(reference))
        said = loss.said
        print(
            f"| {name}, {len(layers)} | {loss.disagreement:.3f} | {loss.drop:.4f} "
            f"[{lost.low:.4f}, {lost.high:.4f}] | {said:.3f} |",
            flush=True,
        )


def row(name: str, contestant: str, model: Path, out: Path, found: Difference) -> dict[str, Any]:
    """Sizes, and the difference on images that chose nothing."""
    sizes = {"float_bytes": model.stat().st_size, "bytes": out.stat().st_size}
    return {"model": name, "by": contestant, **sizes, **found.as_dict()}


def line(row: dict[str, Any]) -> str:
    """A row of the table in the documentation."""
    times = " / ".join("-" if one is None else f"{one:.2f}" for one in row["ratios"].values())
    interval = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
    return (
        f"| {row['model']} | {row['by']} | {row['float_bytes'] / 1e6:.2f} | {row['bytes'] / 1e6:.2f} | "
        f"{row['a']:.4f} | {row['b']:.4f} | {row['difference']:+.4f} {interval} | "
        f"{times} | {row['said']} | {row['cpu_s']:.0f} / {row['wall_s']:.0f} |"
    )


def main() -> None:
    """Print a row for each model and contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--by", nargs="*", choices=["anydet", "nncf"], default=["anydet", "nncf"])
    parser.add_argument("--time-budget", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rule", action="store_true", help="What the choice takes the disagreement for.")
    arguments = parser.parse_args()
    if arguments.rule:
        for name in arguments.only:
            with tempfile.TemporaryDirectory() as folder:
                print_rule(name, arguments, Path(folder))
        return
    columns = ("model", "by", "float MB", "MB", "float AP", "AP", "difference")
    print(f"| {' | '.join(columns)} | time on {' / '.join(RUNTIMES)} | | CPU / clock s |")
    print("|" + "---|" * 10)
    with tempfile.TemporaryDirectory() as folder:
        rows = [one for name in arguments.only for one in run(name, arguments.by, arguments, Path(folder))]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
