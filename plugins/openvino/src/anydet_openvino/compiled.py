"""Models compiled by OpenVINO: devices, precision, threads, and errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov
import yaml
from numpy.typing import NDArray

from anydet.errors import OptionError
from anydet.plugins.weights_file import OPENVINO, TFLITE
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo, TensorInfo
from anydet.runtime.model_file import lacking_operators, require_model_file
from anydet.runtime.threads import settled_threads
from anydet_openvino.quantized import WITHOUT_INT8, join_pairs, quantized_types, saturates

_DEVICES = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
_PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
"""OpenVINO's names of types, and numpy's."""
_CAPABILITIES = {"f16": "FP16", "bf16": "BF16"}
"""What a device must state to compute in a type; single precision is computed in by all."""
_FRAMES = ("Exception from", "Check '", "FrontEnd API failed", "Model wasn't fully", "Summary:")
"""How lines of OpenVINO's messages begin that say where in its source something happened."""


class Compiled:
    """A model that OpenVINO has compiled for a device.

    Args:
        path: an ``.onnx`` file, the ``.xml`` of an IR, or a ``.tflite`` file.
        device: see ``device_name``.
        precision: ``f32``, ``f16``, ``bf16``, or ``auto`` for what OpenVINO chooses, which is bf16 on CPUs
            that have it: YOLOX-nano loses 0.014 of APs by that on coco128.
        threads: on the CPU; what OpenVINO chooses by default.
        quantized: of a quantized model, ``int8``, or ``f32`` for its layers in float32 on the numbers that
            the file quantizes to; by default int8 where the CPU has it with the numbers of the file.

    Attributes:
        inputs: what it is fed.
        outputs: what it gives, in the order of the file.
        metadata: what the exporter wrote into the file.
        runtime: version, device, precision and threads, as OpenVINO states them of the compiled model.

    Raises:
        ModelError: the file is missing, or no model that this OpenVINO can run.
        OptionError: the device is not there, or does not compute in that precision.
    """

    def __init__(
        self,
        path: str,
        *,
        device: str = "cpu",
        precision: str = "f32",
        threads: int | None = None,
        quantized: str | None = None,
    ) -> None:
        require_model_file(Path(path), others={OPENVINO, TFLITE})
        core = the_core()
        name = device_name(device, core.available_devices)
        properties = _properties(core, name, precision, threads)
        model = _read(core, path)
        self.metadata = _metadata(model, path)
        types = quantized_types(model)
        in_int8 = _in_int8(core, name, types, quantized)
        if types and not in_int8:
            properties.update(WITHOUT_INT8)
        if in_int8:
            join_pairs(model)
        try:
            compiled = core.compile_model(model, name, properties)
        except RuntimeError as exc:
            raise ModelError(
                f"{path} cannot be compiled for {name}: {reason(exc)}", fix="use --device cpu"
            ) from exc
        self.inputs = _tensors(compiled.inputs)
        self.outputs = _tensors(compiled.outputs)
        self.runtime = _info(core, compiled, types, in_int8=in_int8)
        self._request: Any = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """All outputs for inputs by name; ``ModelError`` with the reason where it does not run."""
        try:
            found = self._request.infer(dict(feeds), share_inputs=True)
        except RuntimeError as exc:
            raise ModelError(reason(exc)) from exc
        return [found[place] for place in range(len(self.outputs))]

    def close(self) -> None:
        """Free the request and with it the model."""
        self._request = None


@cache
def the_core() -> Any:
    """OpenVINO's ``Core`` of this process.

    There is one, and it stays: its plugin for CPUs sets the stack that signal handlers run on, and sets back
    the one before when it is removed. Of two that are removed in the order in which they were made, the
    second sets back a stack that is gone, and the next signal ends the process.
    """
    return ov.Core()


def device_name(device: str, available: Sequence[str]) -> str:
    """OpenVINO's name of ``cpu``, ``gpu``, ``gpu:1`` or ``npu``.

    Raises ``OptionError`` where it is unknown or not there.
    """
    kind, _, index = device.partition(":")
    if kind not in _DEVICES or (":" in device and (kind != "gpu" or not index.isdecimal())):
        raise OptionError(
            f"--device {device!r} is not known to the openvino adapter",
            fix="use cpu, gpu, gpu:N or npu; CUDA is for --adapter onnxruntime",
        )
    name = _DEVICES[kind] + (f".{index}" if index else "")
    # One GPU is called GPU, several are called GPU.0, GPU.1, ...
    if not {name, name.removesuffix(".0"), f"{name}.0"} & set(available):
        raise OptionError(
            f"--device {device} is not there (OpenVINO finds {', '.join(available) or 'none'})",
            fix="install the driver that OpenVINO needs for it, or use --device cpu",
        )
    return name


def reason(exc: BaseException) -> str:
    """What a message of OpenVINO says, without the places in its source."""
    lines = [line.strip() for line in str(exc).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_FRAMES)]
    return telling[0] if telling else next(filter(None, lines), type(exc).__name__)


def _properties(core: Any, device: str, precision: str, threads: int | None) -> dict[str, Any]:
    """How a model is compiled: one image after the other, in the precision that was asked for."""
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if precision != "auto":
        wanted = _CAPABILITIES.get(precision)
        # Of a type that the device lacks OpenVINO silently makes another: f16 becomes bf16.
        if wanted and wanted not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
            raise OptionError(
                f"precision={precision} is nothing that {_full_name(core, device)} computes in",
                fix="use --option precision=f32",
            )
        properties["INFERENCE_PRECISION_HINT"] = precision
    if threads is not None:
        if device != "CPU":
            raise OptionError(f"threads= is for the CPU, not for {device}", fix="leave threads= out")
        properties["INFERENCE_NUM_THREADS"] = settled_threads(threads)
    return properties


def _in_int8(core: Any, device: str, types: Sequence[str], wanted: str | None) -> bool:
    """Whether the layers of a quantized model are computed in integers."""
    if not types:
        return False
    if device != "CPU":
        if wanted == "f32":
            raise OptionError(
                f"quantized=f32 is for the CPU, not for {device}",
                fix="leave quantized= out, or use --device cpu",
            )
        return True
    if wanted == "int8" and saturates():
        raise OptionError(
            f"quantized=int8: sums of int8 saturate on {_full_name(core, device)}, which has no VNNI: "
            "results would not be those of the file",
            fix="use --option quantized=f32, or a CPU with VNNI",
        )
    return wanted == "int8" or (wanted is None and not saturates())


def _read(core: Any, path: str) -> Any:
    weights = Path(path).with_suffix(".bin")
    if path.endswith(".xml") and not weights.is_file():
        raise ModelError(
            f"{path}: its weights {weights.name} are not there", fix=f"put them beside it, as {weights}"
        )
    try:
        return core.read_model(path)
    except RuntimeError as exc:
        if operators := _lacking(str(exc)):
            raise lacking_operators(
                path, f"OpenVINO {_version()}", operators, instead="use --adapter onnxruntime"
            ) from exc
        raise ModelError(
            f"{path} cannot be opened by OpenVINO: {reason(exc)}",
            fix="give --checkpoint a complete .onnx, .xml or .tflite file; download or export it again",
        ) from exc


def _lacking(text: str) -> list[str]:
    """Operators that a message says are not there: ``com.acme.Foo, Det-17``."""
    found = re.search(r"No conversion rule found for operations: (.+)", text)
    return [re.sub(r"-\d+$", "", name.strip()) for name in found[1].split(",")] if found else []


def _metadata(model: Any, path: str) -> Mapping[str, str]:
    """What an ONNX file has as metadata, which an IR keeps; of Ultralytics' IRs, what stands beside them."""
    if model.has_rt_info(["framework"]):
        stored = model.get_rt_info(["framework"]).value
        if isinstance(stored, dict):
            return {str(key): str(value) for key, value in stored.items()}
    beside = Path(path).with_name("metadata.yaml")
    if path.endswith(".xml") and beside.is_file():
        try:
            stated = yaml.safe_load(beside.read_bytes())
        except yaml.YAMLError as exc:
            raise ModelError(
                f"{beside} cannot be read: {' '.join(str(exc).split())}", fix="export it again"
            ) from exc
        return {str(key): str(value) for key, value in stated.items()} if isinstance(stated, dict) else {}
    return {}


def _tensors(ports: Sequence[Any]) -> tuple[TensorInfo, ...]:
    return tuple(_tensor(port) for port in ports)


def _tensor(port: Any) -> TensorInfo:
    shape = port.get_partial_shape()
    sizes = [d.get_length() if d.is_static else None for d in shape] if shape.rank.is_static else []
    name = port.get_any_name() if port.get_names() else port.node.get_friendly_name()
    return TensorInfo(name, tuple(sizes), port.get_element_type().to_dtype().name)


def _info(core: Any, compiled: Any, types: Sequence[str], *, in_int8: bool) -> RuntimeInfo:
    devices = compiled.get_property("EXECUTION_DEVICES")
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    floating = _PRECISIONS.get(hint, hint)
    return RuntimeInfo(
        "openvino",
        _version(),
        ", ".join(f"{name}: {_full_name(core, name)}" for name in devices),
        precision=", ".join([*types, floating]) if in_int8 else floating,
        threads=compiled.get_property("INFERENCE_NUM_THREADS") if devices == ["CPU"] else None,
        details={"quantized": ", ".join(types)} if types else {},
    )


def _full_name(core: Any, device: str) -> str:
    return str(core.get_property(device, "FULL_DEVICE_NAME")).strip()


def _version() -> str:
    """As the package has it: 2026.4.1 of ``2026.4.1-22982-e213a147257-releases/2026/4``."""
    return str(ov.__version__).partition("-")[0]
