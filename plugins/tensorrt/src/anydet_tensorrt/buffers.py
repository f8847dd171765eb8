"""Memory of an engine's inputs and outputs, on the GPU and the host, reserved once for the largest shapes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anydet.runtime.errors import ModelError
from anydet_tensorrt.cuda import Cuda, host_array
from anydet_tensorrt.library import Library

if TYPE_CHECKING:
    import tensorrt as trt

_ALIGNMENT = 256
"""What CUDA aligns to, and TensorRT wants."""


class Buffer:
    """One tensor's place: on the GPU, and on the host in pages that stay.

    Args:
        cuda: that has it.
        size: bytes of the largest shape.
        dtype: of its numbers.

    Attributes:
        device: address on the GPU.
        host: address on the host.
    """

    def __init__(self, cuda: Cuda, size: int, dtype: np.dtype[Any]) -> None:
        self._cuda, self._dtype = cuda, dtype
        self._size = max(-(-size // _ALIGNMENT), 1) * _ALIGNMENT
        self.device = cuda.allocate(self._size)
        self.host = cuda.allocate_pinned(self._size)
        self._bytes = host_array(self.host, self._size)

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The host's memory as an array of a shape."""
        size = prod(shape) * self._dtype.itemsize
        if size > self._size:
            raise ModelError(
                f"{shape} does not fit in {self._size} bytes, which the engine's largest shape needs"
            )
        return self._bytes[:size].view(self._dtype).reshape(shape)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a shape."""
        return prod(shape) * self._dtype.itemsize

    def upload(self, shape: tuple[int, ...], stream: int) -> None:
        """Copy the host's numbers to the GPU."""
        self._cuda.to_gpu(self.device, self.host, self.nbytes(shape), stream)

    def download(self, shape: tuple[int, ...], stream: int) -> None:
        """Copy the GPU's numbers to the host."""
        self._cuda.to_host(self.host, self.device, self.nbytes(shape), stream)

    def close(self) -> None:
        """Free both."""
        self._cuda.free(self.device)
        self._cuda.free_pinned(self.host)


def output_allocator(library: Library, buffer: Buffer, size: int, found: dict[str, tuple[int, ...]]) -> Any:
    """Places an output whose size depends on the image in its buffer, and notes its shape in ``found``.

    Args:
        library: whose interface it has.
        buffer: of the output.
        size: bytes of it.
        found: output -> shape of the last run.
    """
    if TYPE_CHECKING:
        base = trt.IOutputAllocator
    else:
        base = library.module.IOutputAllocator

    class Allocator(base):  # type: ignore[misc, valid-type]
        """Called while a run is enqueued."""

        def __init__(self) -> None:
            base.__init__(self)

        def reallocate_output_async(
            self, tensor_name: str, memory: int, needed: int, alignment: int, stream: int
        ) -> int:
            """The buffer, or 0 where the output does not fit, which ends the run."""
            return buffer.device if needed <= size else 0

        def reallocate_output(self, tensor_name: str, memory: int, needed: int, alignment: int) -> int:
            """As above, for versions that do not name the stream."""
            return buffer.device if needed <= size else 0

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            """Its shape, before the run is complete."""
            found[tensor_name] = tuple(shape)

    return Allocator()


def sizes(dims: trt.Dims) -> tuple[int, ...]:
    """A shape of TensorRT as a tuple."""
    return tuple(dims[axis] for axis in range(len(dims)))


def shapes_of(feeds: Mapping[str, NDArray[Any]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Inputs and their shapes, as a key."""
    return tuple((name, array.shape) for name, array in feeds.items())
