"""CUDA's runtime by cuda-bindings: the GPU, its memory, streams and graphs; errors as exceptions."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.errors import OptionError
from anydet.runtime.errors import ModelError
from anydet_tensorrt.errors import LibraryError


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, as far as engines depend on it.

    Attributes:
        name: as CUDA has it.
        compute_capability: ``8.9``.
        driver: highest version of CUDA that its driver has.
    """

    name: str
    compute_capability: str
    driver: str

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability})"


def device_index(device: str) -> int:
    """The number in ``cuda`` or ``cuda:N``; raises ``OptionError`` for any other device."""
    kind, colon, index = device.partition(":")
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise OptionError(
            f"--device {device!r} is none of the tensorrt adapter, which runs on NVIDIA GPUs",
            fix="use --device cuda or cuda:N; the adapter onnxruntime runs the ONNX file on the CPU",
        )
    return int(index or 0)


class Cuda:
    """The runtime on one GPU.

    Args:
        index: of the GPU.

    Attributes:
        gpu: what it is.

    Raises:
        LibraryError: cuda-bindings is not installed, or there is no GPU that it finds.
        OptionError: there are fewer GPUs.
    """

    def __init__(self, index: int = 0) -> None:
        self._rt = _bindings()
        error, count = self._rt.cudaGetDeviceCount()
        if int(error) or not count:
            raise LibraryError(
                f"CUDA finds no GPU: {self._described(error) if int(error) else 'there is none'}",
                fix="run it on a machine with an NVIDIA GPU and its driver",
            )
        if index >= count:
            raise OptionError(
                f"--device cuda:{index} is not there: there are {count} GPU(s)",
                fix=f"use --device cuda:{count - 1}",
            )
        self.index = index
        self.use()
        self.gpu = self._gpu()

    def use(self) -> None:
        """Make it the GPU of this thread."""
        self._call(self._rt.cudaSetDevice(self.index))

    def allocate(self, size: int) -> int:
        """Address of ``size`` bytes on the GPU."""
        return int(self._call(self._rt.cudaMalloc(size)))

    def free(self, address: int) -> None:
        """Give back what ``allocate`` gave."""
        self._call(self._rt.cudaFree(address))

    def allocate_pinned(self, size: int) -> int:
        """Address of ``size`` bytes of the host that stay in place: copies run beside other work."""
        return int(self._call(self._rt.cudaHostAlloc(size, self._rt.cudaHostAllocDefault)))

    def free_pinned(self, address: int) -> None:
        """Give back what ``allocate_pinned`` gave."""
        self._call(self._rt.cudaFreeHost(address))

    def new_stream(self) -> int:
        """Handle of a stream that does not wait for the default one."""
        return int(self._call(self._rt.cudaStreamCreateWithFlags(self._rt.cudaStreamNonBlocking)))

    def end_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._call(self._rt.cudaStreamDestroy(stream))

    def to_gpu(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy bytes of the host to the GPU, in the stream's order."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._rt.cudaMemcpyAsync(target, source, size, kind, stream))

    def to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy bytes of the GPU to the host, in the stream's order."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._rt.cudaMemcpyAsync(target, source, size, kind, stream))

    def wait(self, stream: int) -> None:
        """Until the stream has done all that it was given."""
        self._call(self._rt.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: int) -> None:
        """Record what the stream is given from here on, instead of doing it."""
        # Other threads may go on: what they do is not recorded, and does not end the capture.
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._rt.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> Any:
        """What was recorded, as a graph that can be launched."""
        graph = self._call(self._rt.cudaStreamEndCapture(stream))
        try:
            return self._call(self._rt.cudaGraphInstantiate(graph, 0))
        finally:
            self._call(self._rt.cudaGraphDestroy(graph))

    def launch(self, graph: Any, stream: int) -> None:
        """Do what was recorded."""
        self._call(self._rt.cudaGraphLaunch(graph, stream))

    def end_graph(self, graph: Any) -> None:
        """Destroy a graph."""
        self._call(self._rt.cudaGraphExecDestroy(graph))

    def _gpu(self) -> Gpu:
        found = self._call(self._rt.cudaGetDeviceProperties(self.index))
        driver = int(self._call(self._rt.cudaDriverGetVersion()))
        name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
        return Gpu(
            name.strip("\0 "), f"{found.major}.{found.minor}", f"{driver // 1000}.{driver % 1000 // 10}"
        )

    def _call(self, result: tuple[Any, ...]) -> Any:
        """The value of a call; raises ``ModelError`` with CUDA's text for an error."""
        error, *values = result
        if int(error):
            raise ModelError(f"CUDA: {self._described(error)}")
        return values[0] if values else None

    def _described(self, error: Any) -> str:
        _, text = self._rt.cudaGetErrorString(error)
        return text.decode() if isinstance(text, bytes) else str(text)


def find_gpu(index: int = 0) -> Gpu | None:
    """A GPU of this machine; ``None`` where CUDA finds none, or cuda-bindings is not installed."""
    try:
        return Cuda(index).gpu
    except LibraryError:
        return None


def host_array(address: int, size: int) -> NDArray[np.uint8]:
    """Bytes of the host as an array of numpy, which neither copies nor owns them."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _bindings() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as exc:
        raise LibraryError(
            "cuda-bindings is not installed, which memory of the GPU is reserved with",
            fix="pip install cuda-bindings",
        ) from exc
    return runtime
