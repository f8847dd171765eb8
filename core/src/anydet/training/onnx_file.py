"""ONNX files of torch models, with the description that lets any runtime use them without options."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from anydet.errors import OptionError
from anydet.outputs import write_file
from anydet.plugins.export import ExportSpec

OPSET = 17
"""The first with ``LayerNormalization``; runtimes of 2022 and later read it."""


def write_onnx(spec: ExportSpec, path: Path, *, opset: int = OPSET) -> None:
    """Trace ``spec.module`` and write it with its description.

    Args:
        spec: what ``Adapter.export_spec`` gave.
        path: of the file.
        opset: version of ONNX's operators.

    Raises:
        OptionError: the package ``onnx`` is missing.
    """
    try:
        import onnx
    except ImportError as exc:
        raise OptionError(f"writing {path} needs the package onnx", fix="pip install 'anydet[onnx]'") from exc

    with warnings.catch_warnings(), torch.no_grad(), TemporaryDirectory() as folder:
        # Tracing warns of each size that becomes a constant, and of the newer exporter, which stops at
        # sizes that depend on data, such as those of NMS.
        warnings.simplefilter("ignore")
        traced = Path(folder) / "traced.onnx"
        torch.onnx.export(
            spec.module,
            tuple(spec.inputs.values()),
            str(traced),
            input_names=list(spec.inputs),
            output_names=[output.name for output in spec.description.outputs],
            dynamic_axes={name: dict(axes) for name, axes in spec.dynamic_axes.items()},
            opset_version=opset,
            dynamo=False,
        )
        model = onnx.load(str(traced))
    onnx.helper.set_model_props(model, spec.description.as_metadata())
    write_file(path, model.SerializeToString())
