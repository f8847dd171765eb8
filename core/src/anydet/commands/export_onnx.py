"""``anydet export-onnx``: the model of an adapter as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names
from anydet.commands.json_output import STDOUT, json_option, write_encoded
from anydet.commands.messages import echo_path, say, warn
from anydet.commands.paths import OUTPUT
from anydet.commands.recipe_options import ADAPTER_OPTION, max_detections_option, score_threshold_option
from anydet.errors import AnydetError, UnsupportedError
from anydet.text import first_of

if TYPE_CHECKING:
    from anydet.export.onnx_export import ExportedFile, Tensor
    from anydet.plugins.manager import Plugins

CAPABILITY = "export-onnx"


@click.command(
    "export-onnx",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene segmentation --size 96x96 --images 4 --out data/shapes\n"
        "  anydet export-onnx --adapter adaptivestream --option image_size=64 --output model.onnx"
    ),
)
@click.option(
    "--adapter",
    required=True,
    metavar="NAME",
    shell_complete=complete_names("adapters"),
    help="Adapter with the capability export-onnx; see 'anydet adapters list'.",
)
@click.option("--config", help="Configuration of the adapter; its base configuration by default.")
@click.option("--checkpoint", help="Weights: a checkpoint file, or the folder of a training run.")
@ADAPTER_OPTION
@click.option("--output", type=OUTPUT, required=True, metavar="FILE.onnx", help="File to write.")
@click.option(
    "--opset",
    type=click.IntRange(1, MOST_INTEGER),
    default=17,
    show_default=True,
    help="Version of ONNX's operators.",
)
@click.option("--dynamic-batch", is_flag=True, help="Leave the number of images of a run open; else it is 1.")
@click.option(
    "--dynamic-size",
    is_flag=True,
    help="Leave the size of inputs open; where each input has the size of its image, it is open in any case.",
)
@click.option(
    "--fp16", is_flag=True, help="Weights and arithmetic in half precision; inputs and outputs stay float32."
)
@score_threshold_option(0.001, "in the outputs, where the model itself selects detections")
@max_detections_option
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Run the file with ONNX Runtime and compare its outputs with the model's.",
)
@json_option("what was written")
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Write the model of an adapter as an ONNX file that needs no options to be run.

    Preprocessing, meaning of the outputs, names of classes, states and keypoints, and the digest of the
    checkpoint are in the file, and adapters of runtimes read them. Exits with 1 where outputs of the file
    differ from the model's.
    """
    from anydet.commands.progress import steps
    from anydet.export.onnx_export import OnnxSettings, check_target, export_onnx
    from anydet.prediction.checks import check_notes

    require_capability(plugins, flags["adapter"])
    settings = OnnxSettings(
        **{name: flags[name] for name in ("opset", "dynamic_batch", "dynamic_size", "fp16")}
    )
    check_target(flags["output"], settings)
    names = ("options", "config", "checkpoint", "max_detections")
    adapter_settings = plugins.settings(
        flags["adapter"], **{name: flags[name] for name in names}, score_floor=flags["score_threshold"]
    )
    with plugins.adapter(flags["adapter"], adapter_settings) as adapter:
        for warning in check_notes(adapter, plugins).warnings:
            warn(warning)
        with steps() as step:
            checked_by = plugins if flags["check"] else None
            written = export_onnx(adapter, flags["output"], settings, plugins=checked_by, step=step)
    _print(written, flags["json_path"])
    _judge(written)


def require_capability(plugins: Plugins, adapter: str) -> None:
    """Raise ``UnsupportedError`` naming the adapters that export, before anything is loaded."""
    from anydet.plugins.specs import CAPABILITY_NAMES

    if CAPABILITY not in plugins.spec("adapters", adapter).capabilities:
        specs = plugins.specs("adapters")
        others = [name for name, spec in specs.items() if CAPABILITY in spec.capabilities]
        raise UnsupportedError(adapter, CAPABILITY_NAMES[CAPABILITY], others=others)


def _print(written: ExportedFile, json_path: Path | None) -> None:
    """The summary to stderr, and the path, or all of it as JSON, to stdout."""
    import msgspec

    for line in summary(written):
        say(line)
    if json_path:
        encoded = msgspec.json.encode(written.as_dict())  # a number that is NaN becomes null
        write_encoded(msgspec.json.format(encoded).decode(), json_path)
    if json_path != STDOUT:
        echo_path(written.path)


def summary(written: ExportedFile) -> list[str]:
    """What was written, line by line, and what to type next."""
    import shlex

    description, source = written.description, written.description.source
    lines = [f"{written.path}: {written.size / 1e6:.1f} MB, sha256 {written.sha256}"]
    if source is not None:
        lines.append(f"  opset {source.opset}, {source.precision}, {source.exporter}")
    lines += _table("input", written.inputs) + _table("output", written.outputs)
    named = [("class", len(description.classes)), ("state", len(description.states))]
    names = ", ".join(
        f"{count} {noun}{'' if count == 1 else 'es' if noun == 'class' else 's'}"
        for noun, count in named
        if count
    )
    lines.append(
        f"  layout {description.layout}: {names}; images {description.preprocess.resize} to {_size(written)}"
    )
    lines.append(_parity_line(written))
    path = shlex.quote(str(written.path))
    return [
        *lines,
        "next:",
        f"  anydet predict IMAGES --adapter onnxruntime --checkpoint {path} --save-overlays overlays",
        f"  anydet export-predictions --adapter onnxruntime --checkpoint {path} --dataset DATA "
        "--output predictions.json",
    ]


def _size(written: ExportedFile) -> str:
    width, height = written.description.preprocess.size_wh
    return f"{width}x{height}"


def _table(kind: str, tensors: tuple[Tensor, ...]) -> list[str]:
    """A line a tensor: name, sizes, type, and what it means where its name does not say so."""
    width = max(len(tensor.name) for tensor in tensors)
    return [
        f"  {kind:<6}  {tensor.name:<{width}}  {tensor.dtype} [{', '.join(map(str, tensor.shape))}]"
        + (f"  {tensor.meaning}" if tensor.meaning not in {"", tensor.name} else "")
        for tensor in tensors
    ]


def _parity_line(written: ExportedFile) -> str:
    parity = written.parity
    if parity is None:
        return f"  not compared with the model: {written.unchecked}"
    cases = "; ".join(case.name for case in parity.cases)
    moved = sum(case.rows.moved for case in parity.cases if case.rows is not None)
    rows = f", {moved} rows in another place" if moved else ""
    return (
        f"  ONNX Runtime against the model ({cases}): largest difference {parity.max_abs:.3g}, "
        f"relative {parity.max_rel:.3g}{rows}"
    )


def _judge(written: ExportedFile) -> None:
    """Warn of differences that half precision explains; raise ``AnydetError`` on all others."""
    if written.parity is None or written.parity.passed:
        return
    source = written.description.source
    found = list(first_of(written.parity.findings(), 5))
    if source is not None and source.precision == "float16":
        warn("half precision changes more than rounding does on noise; compare predictions of both files")
        for line in found:
            warn(line)
        return
    raise AnydetError(
        f"{written.path} was written, and differs from the model: {'; '.join(found)}",
        fix="try another --opset, or --no-check to leave the comparison out",
    )
