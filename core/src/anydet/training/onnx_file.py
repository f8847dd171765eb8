"""ONNX files of torch models, with the description that lets any runtime use them without options."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anydet.errors import OptionError, TrainingError
from anydet.outputs import write_file
from anydet.plugins.export import ExportSpec, ModelDescription
from anydet.text import one_line
from anydet.training.lora.layers import as_plain_layers

OPSET = 17
"""The first with ``LayerNormalization``; runtimes of 2022 and later read it."""
OPSETS = range(13, 21)
"""Versions of operators that torch writes traces in; before 13, axes of ``Unsqueeze`` are no input."""


def write_onnx(spec: ExportSpec, path: Path, *, opset: int = OPSET) -> None:
    """Trace ``spec.module`` and write it with its description.

    Args:
        spec: what ``Adapter.export_spec`` gave.
        path: of the file.
        opset: version of ONNX's operators.

    Raises:
        OptionError, TrainingError: as ``traced_model``.
    """
    write_file(path, traced_model(spec, opset=opset).SerializeToString())


def traced_model(spec: ExportSpec, *, opset: int = OPSET) -> Any:
    """An ``onnx.ModelProto`` of ``spec.module`` that ONNX's checker has passed, with its description.

    Args:
        spec: what ``Adapter.export_spec`` gave.
        opset: version of ONNX's operators; one of ``OPSETS``.

    Raises:
        OptionError: the package ``onnx`` is missing, or the model needs operators of a later version.
        TrainingError: the module cannot be traced, or the trace is no valid model.
    """
    try:
        import onnx
    except ImportError as exc:
        raise OptionError(
            "writing ONNX files needs the package onnx", fix="pip install 'anydet[onnx]'"
        ) from exc

    with warnings.catch_warnings(), torch.no_grad(), TemporaryDirectory() as folder:
        # Tracing warns of each size that becomes a constant, and of the newer exporter, which stops at
        # sizes that depend on data, such as those of NMS.
        warnings.simplefilter("ignore")
        traced = Path(folder) / "traced.onnx"
        shapes = {name: tuple(values.shape) for name, values in _example_outputs(spec).items()}
        # LoRA layers need no operators of their own, and half precision rounds sums once.
        with as_plain_layers(spec.module):
            _export(spec, traced, opset)
        model = onnx.load(str(traced))
    _state_shapes(model, spec.dynamic_axes, shapes)
    onnx.helper.set_model_props(model, _described(spec.description, opset).as_metadata())
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as exc:
        raise TrainingError(
            f"the exported graph is no valid ONNX model: {one_line(str(exc))}", fix="try another --opset"
        ) from exc
    return model


def module_run(spec: ExportSpec) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """The module as a function of arrays by name, that gives arrays by name."""
    device = next(iter(spec.inputs.values())).device

    def run(feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        given = tuple(torch.from_numpy(np.ascontiguousarray(feeds[name])).to(device) for name in spec.inputs)
        with torch.no_grad():
            found = _outputs(spec.module(*given))
        return {o.name: v.cpu().numpy() for o, v in zip(spec.description.outputs, found, strict=True)}

    return run


def _example_outputs(spec: ExportSpec) -> dict[str, torch.Tensor]:
    """Of the example inputs; raises ``TrainingError`` with the module's own error."""
    try:
        found = _outputs(spec.module(*spec.inputs.values()))
        return {o.name: v for o, v in zip(spec.description.outputs, found, strict=True)}
    except Exception as exc:  # whatever a model raises
        raise _untraceable(exc) from exc


def _untraceable(exc: Exception) -> TrainingError:
    return TrainingError(
        f"the model cannot be traced: {type(exc).__name__}: {one_line(str(exc))}",
        fix="'anydet adapters check' runs the export of an adapter and shows its traceback",
    )


def _outputs(found: Any) -> tuple[torch.Tensor, ...]:
    return (found,) if isinstance(found, torch.Tensor) else tuple(found)


def _export(spec: ExportSpec, target: Path, opset: int) -> None:
    try:
        torch.onnx.export(
            spec.module,
            tuple(spec.inputs.values()),
            str(target),
            input_names=list(spec.inputs),
            output_names=[output.name for output in spec.description.outputs],
            dynamic_axes={name: dict(axes) for name, axes in spec.dynamic_axes.items()},
            opset_version=opset,
            dynamo=False,
        )
    except torch.onnx.errors.OnnxExporterError as exc:
        text = str(exc)
        wanted = re.search(
            r"opset version (\d+)\.?$|since opset (\d+)|[Pp]lease try opset version (\d+)", text
        )
        needed = next((number for number in wanted.groups() if number), None) if wanted else None
        raise OptionError(
            f"the model cannot be written with opset {opset}: {one_line(text.partition('[Caused by')[0])}",
            fix=f"use --opset {needed}" if needed else f"use --opset {OPSET}, or a later one",
        ) from exc
    except Exception as exc:  # whatever a model raises
        raise _untraceable(exc) from exc


def _described(description: ModelDescription, opset: int) -> ModelDescription:
    """With what wrote the file, where it says what the file was made from."""
    if description.source is None:
        return description
    source = replace(description.source, exporter=f"torch {torch.__version__} (trace)", opset=opset)
    return replace(description, source=source)


def _state_shapes(
    model: Any, dynamic_axes: Mapping[str, Mapping[int, str]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """State the sizes of outputs: the exporter loses them behind some operators and invents names."""
    for value in model.graph.output:
        axes = dynamic_axes.get(value.name, {})
        sizes = shapes[value.name]
        value.type.tensor_type.shape.ClearField("dim")
        for axis, size in enumerate(sizes):
            stated = value.type.tensor_type.shape.dim.add()
            if axis in axes:
                stated.dim_param = axes[axis]
            else:
                stated.dim_value = size
