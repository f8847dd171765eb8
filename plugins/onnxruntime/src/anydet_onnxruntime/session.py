"""onnxruntime sessions: devices, threads, and errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from anydet.errors import OptionError
from anydet.plugins.weights_file import ORT
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo, TensorInfo
from anydet.runtime.model_file import lacking_operators, require_model_file
from anydet.runtime.threads import settled_threads

_PROVIDERS = {
    "cpu": (),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}
_FATAL_ONLY = 4
"""Errors are raised with their reason; printed, they would include those of probes that may fail."""
_UPDATE = "update onnxruntime, or export the model with an older opset"
_DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names of types, where numpy has others."""


class Session:
    """An ONNX model in a session of ONNX Runtime.

    Args:
        path: the ``.onnx`` file.
        device: see ``providers``.
        threads: threads within an operator; one a processor by default.

    Attributes:
        inputs: what it is fed; weights that a graph lists as inputs are not among them.
        outputs: what it gives.
        metadata: what the exporter wrote into the file.
        runtime: version, execution provider and threads.

    Raises:
        ModelError: the file is missing, or no ONNX model that this onnxruntime can read.
        OptionError: the device is not there.
    """

    def __init__(self, path: str, *, device: str = "cpu", threads: int | None = None) -> None:
        self._session = open_session(path, device=device, threads=threads)
        self.inputs = _tensors(self._session.get_inputs())
        self.outputs = _tensors(self._session.get_outputs())
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        options = self._session.get_session_options()
        first = self._session.get_providers()[0]
        self.runtime = RuntimeInfo(
            "onnxruntime",
            ort.__version__,
            first,
            threads=options.intra_op_num_threads if device == "cpu" else None,
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """All outputs for inputs by name; ``ModelError`` with the reason where it does not run."""
        try:
            outputs: Sequence[NDArray[Any]] = self._session.run(None, dict(feeds))
        except Exception as exc:  # onnxruntime's errors have no base class of their own
            raise ModelError(reason(exc)) from exc
        return outputs

    def close(self) -> None:
        """Free the session."""
        self._session = None


def providers(device: str, available: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Execution providers for ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt`` or ``tensorrt:1``, best first.

    Raises ``OptionError`` naming the missing provider, those there are and the package that brings it.
    """
    kind, _, index = device.partition(":")
    if kind not in _PROVIDERS or (index and (kind == "cpu" or not index.isdecimal())):
        raise OptionError(
            f"--device {device!r} is not known to the onnxruntime adapter",
            fix="use cpu, cuda, cuda:N, tensorrt or tensorrt:N",
        )
    wanted = _PROVIDERS[kind]
    if wanted and wanted[0] not in available:
        raise OptionError(
            f"--device {device} needs the {wanted[0]}, which this onnxruntime does not have "
            f"(it has {', '.join(available)})",
            fix="put the package onnxruntime-gpu in the place of onnxruntime, or use --device cpu",
        )
    chosen = [(name, {"device_id": index or "0"}) for name in wanted if name in available]
    return [*chosen, ("CPUExecutionProvider", {})]


def open_session(path: str, *, device: str = "cpu", threads: int | None = None) -> Any:
    """An ``onnxruntime.InferenceSession``.

    Args:
        path: the ``.onnx`` file.
        device: see ``providers``.
        threads: threads within an operator; one a processor by default.

    Raises:
        ModelError: the file is missing, or no ONNX model that this onnxruntime can read.
        OptionError: the device is not there, or there are not so many threads.
    """
    chosen = providers(device, ort.get_available_providers())
    # ONNX Runtime's own format has no paths of other files in it.
    require_model_file(Path(path), others={ORT})
    options = ort.SessionOptions()
    options.intra_op_num_threads = settled_threads(threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    try:
        session = ort.InferenceSession(path, options, providers=chosen)
    except Exception as exc:  # onnxruntime's errors have no base class of their own
        if operators := _lacking(str(exc)):
            raise lacking_operators(
                path, f"ONNX Runtime {ort.__version__}", operators, instead=_UPDATE
            ) from exc
        raise ModelError(f"{path} cannot be opened as an ONNX model: {reason(exc)}", fix=_hint(exc)) from exc
    if session.get_providers()[0] != chosen[0][0]:
        raise OptionError(
            f"--device {device}: the {chosen[0][0]} did not start (onnxruntime fell back to "
            f"{', '.join(session.get_providers())})",
            fix="install the CUDA, cuDNN and TensorRT versions that this onnxruntime-gpu was built for",
        )
    return session


def reason(exc: BaseException) -> str:
    """First line of the message of onnxruntime, without its prefix of codes between colons."""
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return lines[0].rpartition(" : ")[2].strip() or type(exc).__name__


def _lacking(text: str) -> list[str]:
    """Operators that a message of onnxruntime says are not there, behind their domain and a dot."""
    found = re.search(
        r"Fatal error: (\S*?):(\w+)\(-?\d+\) is not a registered|No Op registered for (\w+)", text
    )
    return [f"{found[1]}.{found[2]}" if found[1] else found[2] or found[3]] if found else []


def _hint(exc: BaseException) -> str:
    text = str(exc).lower()
    if "external data" in text:
        return "export the model again with its data in one file beside it"
    if "ir version" in text or "opset" in text:
        return _UPDATE
    return "give --checkpoint a complete .onnx file; download or export it again"


def _tensors(declared: Iterable[Any]) -> tuple[TensorInfo, ...]:
    """Of ONNX Runtime's ``NodeArg``, whose types are written ``tensor(float)``."""
    names = ((t, t.type.removeprefix("tensor(").rstrip(")")) for t in declared)
    return tuple(TensorInfo(t.name, tuple(t.shape), _DTYPES.get(kind, kind)) for t, kind in names)
