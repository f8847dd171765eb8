"""ONNX files as networks of OpenCV's DNN module, and errors that name the operator that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo, TensorInfo
from anydet.runtime.model_file import lacking_operators, require_model_file
from anydet.runtime.threads import settled_threads

_INSTEAD = "use --adapter onnxruntime or --adapter openvino"


class Network:
    """An ONNX model as a network of OpenCV.

    OpenCV keeps of a file what it computes. Inputs, outputs and metadata are read from the file itself.

    Args:
        path: the ``.onnx`` file.
        threads: of OpenCV; one a processor by default.

    Attributes:
        inputs: what it is fed; weights that a graph lists as inputs are not among them.
        outputs: what it gives, as the file declares it; numbers of half precision come in single.
        metadata: what the exporter wrote into the file.
        runtime: version, threads and engine.

    Raises:
        ModelError: the file is missing, or no ONNX model that this OpenCV can read.
        OptionError: there are not so many threads.
    """

    def __init__(self, path: str, *, threads: int | None = None) -> None:
        require_model_file(Path(path))
        self._threads = settled_threads(threads)
        model = _declared(path)
        weights = {weight.name for weight in model.graph.initializer}
        self.inputs = tuple(_tensor(value) for value in model.graph.input if value.name not in weights)
        self.outputs = tuple(_tensor(value) for value in model.graph.output)
        self.metadata: Mapping[str, str] = {entry.key: entry.value for entry in model.metadata_props}
        self._path = path
        self._net: Any
        self._net, engine = _opened(path)
        self.runtime = RuntimeInfo(
            "opencv_dnn", cv2.__version__, "CPU", _precision(self._net), self._threads, {"engine": engine}
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """All outputs for inputs by name; ``ModelError`` with the reason where it does not run."""
        # The number is the process's; another adapter may have set it since.
        if cv2.getNumThreads() != self._threads:
            cv2.setNumThreads(self._threads)
        self._require_declared(feeds)
        try:
            return self._forward(feeds)
        except cv2.error:
            # OpenCV 5.0 keeps the bias of a Gemm in as many rows as it had in the run before, and refuses
            # another number, which proposals of a second image have. A new network has no run before.
            self._net, _ = _opened(self._path)
        try:
            return self._forward(feeds)
        except cv2.error as exc:
            raise ModelError(reason(exc)) from exc

    def close(self) -> None:
        """Free the network."""
        self._net = None

    def _forward(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with _silent():
            for name, array in feeds.items():
                self._net.setInput(array, name)
            outputs = self._net.forward([tensor.name for tensor in self.outputs])
        # The next run may write into the arrays of this one.
        return [np.array(output) for output in outputs]

    def _require_declared(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """OpenCV itself takes inputs of any size, and gives something."""
        for tensor in self.inputs:
            shape = feeds[tensor.name].shape
            pairs = zip(tensor.shape, shape, strict=False)
            if len(shape) != len(tensor.shape) or any(isinstance(d, int) and d != s for d, s in pairs):
                raise ModelError(f"the input is {tensor}, not {shape}")


def reason(exc: BaseException) -> str:
    """What a message of OpenCV says, without the place in its source."""
    text = " ".join(re.sub(r"in function '[^']*'", "", str(exc)).split())
    inner = re.split(r"error: \(-\d+:[\w\s]+\)", text)[-1]
    return inner.strip(" >") or type(exc).__name__


def _declared(path: str) -> Any:
    """The file without data that lies beside it."""
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as exc:  # of protobuf, which is not imported here
        raise ModelError(
            f"{path} cannot be opened as an ONNX model: it is damaged, cut short or of another kind",
            fix="give --checkpoint a complete .onnx file; download or export it again",
        ) from exc


def _opened(path: str) -> tuple[Any, str]:
    """A network, and which of OpenCV's two engines it is of.

    Of what the newer engine lacks it says nothing but in its log, and gives an empty network. The older one,
    which has some operators more, names the first that it lacks.
    """
    runtime = f"OpenCV {cv2.__version__}"
    try:
        with _silent():
            net = cv2.dnn.readNetFromONNX(path, engine=cv2.dnn.ENGINE_NEW)
            if not net.empty():
                return net, "new"
            return cv2.dnn.readNetFromONNX(path, engine=cv2.dnn.ENGINE_CLASSIC), "classic"
    except cv2.error as exc:
        if operators := _lacking(str(exc)):
            raise lacking_operators(path, runtime, operators, instead=_INSTEAD) from exc
        raise ModelError(f"{path} cannot be opened by {runtime}: {reason(exc)}", fix=_INSTEAD) from exc


def _precision(net: Any) -> str:
    """What it computes in: layers of quantized files are of types of their own."""
    return "int8, float32" if any("Int8" in kind for kind in net.getLayerTypes()) else "float32"


def _lacking(text: str) -> list[str]:
    """The operator that a message says is not there, behind its domain and a dot unless it is ONNX's own."""
    found = re.search(r"Node \[(\w+)@([\w.]+)\].*Can't create layer", text, re.DOTALL)
    if found is None:
        return []
    return [found[1] if found[2] == "ai.onnx" else f"{found[2]}.{found[1]}"]


def _tensor(value: Any) -> TensorInfo:
    declared = value.type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in declared.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(declared.elem_type)
    return TensorInfo(value.name, tuple(sizes), kind.name)


@contextmanager
def _silent() -> Iterator[None]:
    """Without OpenCV's log on stderr; what it says there is in its exceptions too."""
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
