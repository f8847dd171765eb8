"""``export_onnx``: the model of an adapter as an ONNX file that any runtime adapter runs without options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from anydet.errors import OptionError
from anydet.export.axes import axis_kinds, with_dynamic_axes
from anydet.export.parity import (
    TOLERANCES,
    file_parity,
    missing_runtime,
    noise_cases,
    opened_file,
    real_cases,
)
from anydet.outputs import require_writable, write_file
from anydet.plugins.adapter import Adapter
from anydet.plugins.export import ExportSpec, ModelDescription, Source
from anydet.plugins.manager import Plugins
from anydet.prediction.meta import checkpoint_sha256
from anydet.runtime.tensor_parity import TensorParity
from anydet.training.onnx_file import OPSET, OPSETS, module_run, traced_model
from anydet.types import ByteImage
from anydet.version import __version__

SUFFIX = ".onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSettings:
    """How a file is written.

    Attributes:
        opset: version of ONNX's operators.
        dynamic_batch: whether the number of images is open, else it is 1; ``None`` opens it where it can be.
        dynamic_size: whether the size of images is open, for architectures whose inputs have one size.
        fp16: whether weights and arithmetic are float16; inputs and outputs stay float32.
    """

    opset: int = OPSET
    dynamic_batch: bool | None = False
    dynamic_size: bool = False
    fp16: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the file.

    Attributes:
        name: in the graph.
        shape: sizes; the name of one that is open.
        dtype: numpy's name.
        meaning: of an output, key of ``plugins.export.SHAPES``; empty for inputs.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """A file that was written, and how far its tensors are from the model's.

    Attributes:
        path: of the file.
        size: in bytes.
        sha256: of the file, in hexadecimal.
        inputs: in the order of the graph.
        outputs: likewise.
        description: as it stands in the file.
        parity: of a run on noise; ``None`` where it was not run.
        unchecked: why it was not run.
        runtime: what ran it, as ``meta`` of predictions says it.
    """

    path: Path
    size: int
    sha256: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    description: ModelDescription
    parity: TensorParity | None = None
    unchecked: str = ""
    runtime: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: what the meta JSON of a run holds."""
        import msgspec

        return {
            "path": str(self.path),
            "size": self.size,
            "sha256": self.sha256,
            "inputs": [asdict(tensor) for tensor in self.inputs],
            "outputs": [asdict(tensor) for tensor in self.outputs],
            "description": msgspec.to_builtins(self.description),
            "parity": None if self.parity is None else self.parity.as_dict(),
            "unchecked": self.unchecked,
            "runtime": dict(self.runtime),
        }


def export_onnx(
    adapter: Adapter,
    path: Path,
    settings: OnnxSettings | None = None,
    *,
    plugins: Plugins | None = None,
    images: Sequence[ByteImage] = (),
    step: Callable[[str], None] = lambda _what: None,
) -> ExportedFile:
    """Write the model of an open adapter, then run the file and compare its tensors with the model's.

    Args:
        adapter: one with the capability ``export-onnx``.
        path: file to write, ``.onnx``.
        settings: how it is written.
        plugins: where the runtime's adapter comes from; ``None`` leaves the run out.
        images: (H, W, 3) uint8 images that it is run on, beside noise.
        step: called with what is done next.

    Raises:
        UnsupportedError: the adapter cannot export.
        OptionError: the architecture cannot be written that way, or a package is missing.
        TrainingError: the model cannot be traced.
        OutputError: the file cannot be written.
        AnydetError: the runtime's adapter cannot predict with the file.
    """
    settings = settings or OnnxSettings()
    check_target(path, settings)
    step("build the model")
    spec = described_spec(adapter, settings)
    step("trace it")
    model = traced_model(spec, opset=settings.opset)
    if settings.fp16:
        from anydet.export.half import half_precision

        step("convert it to float16")
        model = half_precision(model, spec.float32_scopes)
    content = model.SerializeToString()
    write_file(path, content)
    written = ExportedFile(
        path=path,
        size=len(content),
        sha256=sha256(content).hexdigest(),
        inputs=_tensors(model.graph.input, {}),
        outputs=_tensors(model.graph.output, {o.name: o.meaning for o in spec.description.outputs}),
        description=_stored_description(model),
    )
    return _checked(written, spec, plugins, images, step)


def check_target(path: Path, settings: OnnxSettings) -> None:
    """Raise ``OptionError`` or ``OutputError`` where the file cannot be written, before any work."""
    if path.suffix != SUFFIX:
        raise OptionError(
            f"{path}: the name of an ONNX file ends with {SUFFIX}", fix=f"write --output model{SUFFIX}"
        )
    if settings.opset not in OPSETS:
        raise OptionError(
            f"opset {settings.opset} cannot be written: torch traces models to {OPSETS[0]} to {OPSETS[-1]}",
            fix=f"use --opset {OPSET}",
        )
    require_writable(path)


def described_spec(adapter: Adapter, settings: OnnxSettings) -> ExportSpec:
    """What the adapter exports, with the axes that were asked for and what it was made from."""
    given = adapter.export_spec()
    batch = settings.dynamic_batch
    spec = with_dynamic_axes(
        given,
        batch="batch" in axis_kinds(given).values() if batch is None else batch,
        size=settings.dynamic_size,
        adapter=adapter.name,
    )
    source = Source(
        adapter=adapter.name,
        adapter_version=adapter.version,
        anydet=__version__,
        checkpoint=adapter.settings.checkpoint,
        checkpoint_sha256=checkpoint_sha256(adapter.settings.checkpoint),
        options=dict(adapter.settings.options),
        opset=settings.opset,
        precision="float16" if settings.fp16 else "float32",
    )
    return replace(spec, description=replace(spec.description.checked(), source=source))


def _checked(
    written: ExportedFile,
    spec: ExportSpec,
    plugins: Plugins | None,
    images: Sequence[ByteImage],
    step: Callable[[str], None],
) -> ExportedFile:
    """With the comparison, where there is a runtime."""
    if plugins is None:
        return replace(written, unchecked="not asked for")
    missing = missing_runtime(plugins)
    if missing is not None:
        return replace(written, unchecked=missing.reason)
    step("compare it with the model")
    source = written.description.source
    tolerance = TOLERANCES["float32" if source is None else source.precision]
    run = module_run(spec)
    cases = {**noise_cases(spec, run), **real_cases(spec, images)}
    with opened_file(written.path, plugins) as loaded:
        parity = file_parity(spec, run, loaded, cases, tolerance)
        return replace(written, parity=parity, runtime=loaded.runtime.as_dict())


def _stored_description(model: Any) -> ModelDescription:
    found = ModelDescription.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    assert found is not None
    return found


def _tensors(values: Any, meanings: Mapping[str, str]) -> tuple[Tensor, ...]:
    """Of ONNX's ``ValueInfoProto``."""
    import onnx

    found = []
    for value in values:
        kind = value.type.tensor_type
        shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        found.append(Tensor(value.name, shape, dtype, meanings.get(value.name, "")))
    return tuple(found)
