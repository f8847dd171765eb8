"""``anydet tensorrt``: engines of ONNX models, and all that shows whether one predicts as its model does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, echo_path, say, warn
from anydet.commands.paths import DATASET, INPUT, OUTPUT, OUTPUT_FOLDER
from anydet.commands.recipe_options import score_threshold_option
from anydet.commands.result_options import MAX_PIXELS
from anydet.commands.tables import print_columns

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet_tensorrt.building import BuildSettings, Built

_F = TypeVar("_F", bound=Callable[..., Any])
_PRECISIONS = ("fp32", "fp16", "bf16", "int8", "best")
_BUILD = (
    click.option("--onnx", "model", type=INPUT, required=True, help="Model to build of."),
    click.option(
        "--precision",
        type=click.Choice(_PRECISIONS),
        default="fp32",
        show_default=True,
        help="Type of numbers that the engine computes in; best is what TensorRT finds fastest, and with "
        "TensorRT 11 and TensorRT-RTX fp16, or that of the file.",
    ),
    click.option(
        "--min-shapes",
        metavar="INPUT:SHAPE",
        help="Least shapes of inputs that the model leaves open: images:1x3x640x640, several with commas.",
    ),
    click.option("--opt-shapes", metavar="INPUT:SHAPE", help="Shapes that the engine is made fast for."),
    click.option("--max-shapes", metavar="INPUT:SHAPE", help="Largest shapes of such inputs."),
    click.option(
        "--workspace-mib",
        type=click.IntRange(1, 1 << 30),
        metavar="MIB",
        help="Most memory for intermediate results at run time; all of the GPU's by default.",
    ),
    click.option(
        "--timing-cache",
        type=OUTPUT,
        help="File of measured times of kernels, read and written: the next build is faster (TensorRT).",
    ),
    click.option(
        "--calibration-dataset",
        type=DATASET,
        help="Data set to measure ranges for int8 on (TensorRT 10); else int8 needs a quantized model.",
    ),
    click.option(
        "--calibration-images",
        type=click.IntRange(1, MOST_INTEGER),
        default=512,
        show_default=True,
        help="Most images to calibrate on.",
    ),
    MAX_PIXELS,
    click.option(
        "--library",
        type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]),
        default="auto",
        show_default=True,
        help="TensorRT builds for the GPU here, TensorRT-RTX for any; auto is TensorRT if installed.",
    ),
    click.option("--device", default="cuda", show_default=True, help="cuda or cuda:N."),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Option of the adapter, kept beside the engine ('anydet adapters show tensorrt'); repeatable. "
        "Files that describe themselves need none.",
    ),
)


def _build_options(function: _F) -> _F:
    """Decorator: all that says how an engine is built, but for its path."""
    for option in reversed(_BUILD):
        function = option(function)
    return function


@click.group(
    "tensorrt",
    epilog=("\b\nExample:\n  anydet tensorrt build --onnx model.onnx --engine model.engine --precision fp16"),
)
def command() -> None:
    """Build TensorRT engines of ONNX models, and compare them with the models."""


@command.command(epilog=("\b\nExample:\n  anydet tensorrt build --onnx model.onnx --engine model.engine"))
@_build_options
@click.option(
    "--engine",
    type=OUTPUT,
    required=True,
    help="Engine to write; ENGINE.json beside it says what it is.",
)
@json_option("what stands beside the engine")
@click.pass_obj
def build(plugins: Plugins, /, **flags: Any) -> None:
    """Build an engine of an ONNX model.

    TensorRT builds on the GPU that the engine is for. TensorRT-RTX builds without a GPU, and compiles for the
    one that it runs on at the first runs. 'anydet export-predictions --adapter tensorrt --checkpoint ENGINE'
    runs it.
    """
    from anydet_tensorrt.building import build_engine

    settings = read_settings(plugins, flags)
    with _shown() as progress:
        built = build_engine(flags["model"], flags["engine"], settings, progress=progress)
    for warning in built.warnings:
        warn(warning)
    import msgspec

    if not write_json(msgspec.to_builtins(built.metadata), flags["json_path"]):
        echo(_described(built))


def read_settings(plugins: Plugins, flags: dict[str, Any]) -> BuildSettings:
    """How an engine is built, of the flags of a command."""
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats
    from anydet_tensorrt.building import BuildSettings
    from anydet_tensorrt.cuda import device_index
    from anydet_tensorrt.shapes import parse_shapes

    adapter = plugins.settings("tensorrt", options=flags["options"])
    given = flags["calibration_dataset"]
    return BuildSettings(
        precision=flags["precision"],
        smallest=parse_shapes("--min-shapes", flags["min_shapes"]),
        usual=parse_shapes("--opt-shapes", flags["opt_shapes"]),
        largest=parse_shapes("--max-shapes", flags["max_shapes"]),
        workspace_mib=flags["workspace_mib"],
        timing_cache=flags["timing_cache"],
        calibration=None if given is None else open_dataset(given, formats=installed_formats(plugins)),
        calibration_images=flags["calibration_images"],
        options=adapter.options,
        library=flags["library"],
        device=device_index(flags["device"]),
    )


def _described(built: Built) -> str:
    stated = built.metadata
    gpu = "any GPU that it runs on" if stated.gpu is None else str(stated.gpu)
    size = built.engine.stat().st_size / 1e6
    return (
        f"{built.engine}: {size:.1f} MB in {stated.build_seconds:.1f} s, {stated.precision}, "
        f"{stated.library} {stated.library_version}, for {gpu}"
    )


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None]]:
    """Phases of a build on stderr, as bars; nothing where that is no terminal."""
    from anydet.commands.progress import phases

    if not sys.stderr.isatty():
        say("building; this takes seconds with TensorRT-RTX, and minutes with TensorRT")
    with phases() as show:
        yield show


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 4\n"
        "  anydet tensorrt pipeline --onnx model.onnx --dataset data/scenes --out runs/engine"
    )
)
@_build_options
@click.option("--dataset", type=DATASET, required=True, help="Images that model and engine predict.")
@click.option("--split", help="Split of the data set, as for 'anydet export-predictions'.")
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    required=True,
    help="Folder for engine, predictions, report.json and report.md.",
)
@click.option(
    "--reference",
    metavar="NAME",
    help="Adapter that runs the model; by default onnxruntime, if installed.",
)
@click.option("--max-images", type=click.IntRange(1, MOST_INTEGER), help="Predict only the first N images.")
@click.option(
    "--batch-size", type=click.IntRange(1, MOST_INTEGER), default=1, show_default=True, help="Images a run."
)
@score_threshold_option(0.001, "written")
@click.option(
    "--latency-images",
    type=click.IntRange(1, MOST_INTEGER),
    default=64,
    show_default=True,
    help="Images that are timed one by one.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="KEY=VALUE",
    help="Largest difference of a pair that counts as equal, box_px=0.1, score=0.001; repeatable.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Take what an earlier run into OUT completed, but for what changed: model, data set, options.",
)
@json_option("the report")
@click.pass_context
def pipeline(ctx: click.Context, /, **flags: Any) -> None:
    """Build an engine and show that it predicts as its model.

    Steps: build, predictions of the model, predictions of the engine, parity of both, AP, latency. The report
    has all of them. Without a GPU the engine is built (TensorRT-RTX), the model is predicted and evaluated,
    and the report says which steps are left. Exit code 1 if the engine differs from its model.
    """
    from anydet.commands.progress import progress
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats
    from anydet_tensorrt.pipeline import PipelineSettings, run_pipeline

    plugins = ctx.obj
    settings = PipelineSettings(
        model=flags["model"],
        folder=flags["out"],
        build=read_settings(plugins, flags),
        tolerances=_tolerances(flags["tolerances"]),
        **{
            name: flags[name]
            for name in (
                *("device", "reference", "max_images", "batch_size", "score_threshold", "latency_images"),
                "resume",
            )
        },
    )
    dataset = open_dataset(flags["dataset"], flags["split"], formats=installed_formats(plugins))
    with _shown() as phases:
        report = run_pipeline(settings, dataset, plugins, progress=phases, shown=progress)
    if not write_json(report.as_dict(), flags["json_path"]):
        print_columns(
            ("step", "", "seconds", ""),
            [(s.name, s.state, f"{s.seconds:.1f}", s.summary) for s in report.steps],
        )
        echo_path(flags["out"] / "report.md")
    if report.left:
        warn(f"left for a machine with a GPU: {', '.join(report.left)}")
    if not report.ok:
        ctx.exit(1)


def _tolerances(given: tuple[str, ...]) -> dict[str, float]:
    from dataclasses import fields

    from anydet.crosscheck.tolerances import Tolerances
    from anydet.errors import OptionError
    from anydet.text import listed

    names = [one.name for one in fields(Tolerances)]
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            equals = ""
        if name not in names:
            raise OptionError(f"there is no tolerance {name!r}", fix=f"use one of {listed(names)}")
        if not equals:
            raise OptionError(f"--tolerance {text!r} is no KEY=VALUE", fix="write --tolerance box_px=0.1")
    return found
