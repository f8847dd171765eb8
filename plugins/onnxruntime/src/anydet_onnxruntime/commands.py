"""``anydet quantize``: a model in int8 that loses no more AP than is allowed."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo_path, say, warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import DATASET, INPUT, OUTPUT
from anydet.commands.result_options import MAX_PIXELS
from anydet.errors import OptionError
from anydet.text import counted, listed

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.manager import Plugins
    from anydet_onnxruntime.quantization.run import Quantized


@click.command(
    "quantize",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene segmentation --size 96x96 --images 32 --out data/shapes\n"
        "  anydet export-onnx --adapter adaptivestream --option image_size=64 --output model.onnx\n"
        "  anydet quantize --model model.onnx --dataset data/shapes --output model.int8.onnx"
    ),
)
@click.option("--model", type=INPUT, required=True, metavar="FILE.onnx", help="Model in float32.")
@click.option("--output", type=OUTPUT, required=True, metavar="FILE.onnx", help="File to write.")
@click.option(
    "--dataset",
    type=DATASET,
    required=True,
    help="Images to measure ranges of activations on; without --eval-dataset labeled, and evaluated on, too.",
)
@click.option("--split", help="Split of the data set, as for 'anydet export-predictions'.")
@click.option(
    "--eval-dataset", type=DATASET, help="Labeled images to evaluate on; by default the rest of --dataset."
)
@click.option("--eval-split", help="Split of that data set.")
@click.option(
    "--max-drop",
    type=FiniteRange(0, 1, min_open=True),
    default=0.005,
    show_default=True,
    help="AP that may be lost, as far as the images that choose layers can tell.",
)
@click.option(
    "--calibration",
    "method",
    type=click.Choice(["minmax", "entropy", "percentile"]),
    default="entropy",
    show_default=True,
    help="Ranges of activations: all that was seen, what keeps most information, or 99.99% of it.",
)
@click.option(
    "--calibration-images",
    type=click.IntRange(1, MOST_INTEGER),
    default=64,
    show_default=True,
    help="Most images to measure ranges on; of a data set that is for all, at most a quarter.",
)
@click.option(
    "--max-images",
    type=click.IntRange(1, MOST_INTEGER),
    default=256,
    show_default=True,
    help="Most images to evaluate on: half of them choose, half are held out for the report.",
)
@click.option(
    "--per-channel/--per-tensor",
    default=True,
    show_default=True,
    help="A scale for each output channel of a weight, or one for all.",
)
@click.option(
    "--time-budget",
    "time_budget_s",
    type=FiniteRange(0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Time in which choices of layers are measured; the first is measured in any case.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, MOST_INTEGER),
    default=0,
    show_default=True,
    help="Seed of the draw of images.",
)
@click.option(
    "--adapter",
    metavar="NAME",
    default="onnxruntime",
    show_default=True,
    shell_complete=complete_names("adapters"),
    help="Runtime that predicts with the files that are measured: onnxruntime, openvino, opencv_dnn. They "
    "round int8 differently: take the one that the file is for.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the adapter ('anydet adapters show NAME'); repeatable. Files that describe themselves "
    "need none.",
)
@click.option("--resume", is_flag=True, help="Go on with what an interrupted run measured.")
@json_option("what was written")
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Quantize an ONNX model to int8, leaving in float the layers that cost AP.

    The layers are chosen by the evaluator on a part of the images, and what is reported is measured on
    another part that chose nothing. All runtime adapters take the file with the options of the float one, and
    'anydet tensorrt build --precision int8' builds engines of it.
    """
    from anydet.commands.progress import phases
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    _require_packages()
    from anydet_onnxruntime.quantization.run import QuantizeSettings, quantize_model

    formats = installed_formats(plugins)
    dataset = open_dataset(flags["dataset"], flags["split"], formats=formats)
    evaluation: Dataset | None = None
    if flags["eval_dataset"] is not None:
        evaluation = open_dataset(flags["eval_dataset"], flags["eval_split"], formats=formats)
    elif flags["eval_split"] is not None:
        evaluation = open_dataset(flags["dataset"], flags["eval_split"], formats=formats)
    names = ("max_drop", "method", "calibration_images", "max_images", "per_channel", "time_budget_s", "seed")
    settings = QuantizeSettings(
        adapter=flags["adapter"],
        options=plugins.settings(flags["adapter"], options=flags["options"]).options,
        resume=flags["resume"],
        **{name: flags[name] for name in names},
    )
    with phases() as progress:
        quantized = quantize_model(
            flags["model"], flags["output"], dataset, evaluation, settings, plugins=plugins, progress=progress
        )
    _print(quantized, flags)


def _require_packages() -> None:
    """Raise ``OptionError`` for a package that is not there; both write the file, whatever measures it."""
    for package in ("onnx", "onnxruntime"):
        try:
            import_module(package)
        except ImportError as exc:
            raise OptionError(
                f"quantizing needs the package {package}, which cannot be imported: {exc}",
                fix="pip install 'anydet-onnxruntime[quantize]'",
            ) from exc


def _print(quantized: Quantized, flags: dict[str, Any]) -> None:
    output: Path = flags["output"]
    for line in _summary(quantized, output.stat().st_size):
        say(line)
    told = told_of_held_out(quantized, flags["max_drop"])
    if told:
        warn(told)
    if quantized.repeated:
        warn(
            f"{counted(quantized.repeated, 'image')} to evaluate on "
            f"{'has' if quantized.repeated == 1 else 'have'} the pixels of one that ranges were measured on: "
            "AP on images of the calibration says too much"
        )
    if not quantized.complete:
        warn("the time ran out before all was tried: a longer --time-budget may leave less in float")
    if write_json(
        {"output": str(output), "bytes": output.stat().st_size, **quantized.as_dict()}, flags["json_path"]
    ):
        return
    given = ["--checkpoint", str(output)]
    given += [word for option in flags["options"] for word in ("--option", option)]
    say(
        "next:",
        f"  anydet export-predictions --adapter {flags['adapter']} {shlex.join(given)} --dataset DATA "
        "--output predictions.json",
    )
    echo_path(output)


def told_of_held_out(quantized: Quantized, max_drop: float) -> str | None:
    """What to warn of by the interval of the held-out images; ``None`` where all of it is within the drop."""
    found = quantized.held_out_difference
    if found.low is None or found.high is None or found.low >= -max_drop:
        return None
    if found.high < -max_drop:
        return (
            f"on images that chose nothing it loses more than --max-drop {max_drop:g}: the choice "
            "fits its own images; raise --max-images"
        )
    images = counted(quantized.held_out.images, "held-out image")
    return (
        f"{images} cannot show that it loses at most --max-drop {max_drop:g}: by the interval up to "
        f"{-found.low:.4f} may be lost; evaluate the file on more images"
    )


def _summary(quantized: Quantized, size: int) -> list[str]:
    """What was written and what it loses, line by line."""
    left, found = quantized.float_layers, quantized.held_out_difference
    lines = [
        f"{quantized.float_bytes / 1e6:.2f} MB in float, {size / 1e6:.2f} MB quantized: "
        f"{quantized.layers - len(left)} of {counted(quantized.layers, 'layer')} in int8, "
        f"{quantized.float_weight_bytes / 1e6:.2f} of {quantized.weight_bytes / 1e6:.2f} MB of weights "
        "in float",
    ]
    if left:
        lines.append(f"  in float: {listed(left)}")
    images = quantized.choice.images
    loss = quantized.choice_loss
    lines.append(
        f"  {counted(images, 'image')} that chose: {quantized.metric} {loss.float_ap:.4f} in float, "
        f"{loss.float_ap - loss.drop:.4f} quantized, {-loss.drop:+.4f}; "
        f"{quantized.metric} with the float model's detections as ground truth: {1 - loss.disagreement:.4f}"
    )
    if found.a is not None and found.b is not None and found.difference is not None:
        ends = "" if found.low is None else f", 95% interval [{found.low:+.4f}, {found.high:+.4f}]"
        lines.append(
            f"  {counted(quantized.held_out.images, 'image')} held out: {quantized.metric} {found.a:.4f} in "
            f"float, {found.b:.4f} quantized, {found.difference:+.4f}{ends}"
        )
    lines.append(
        f"  {counted(quantized.measurements, 'measurement')} on {quantized.runtime['name']} "
        f"{quantized.runtime['version']} in {quantized.wall_s:.0f} s "
        f"({quantized.cpu_s:.0f} s of processor time)"
    )
    return lines
