"""Ranges of activations for int8, measured by TensorRT 10 on images of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anydet.errors import OptionError
from anydet.runtime.inputs import Inputs
from anydet.runtime.metadata import described, stated_size
from anydet.runtime.options import missing_options, settle_preset
from anydet.runtime.preprocess import Preprocessor
from anydet.runtime.presets import described_preset
from anydet_tensorrt.cuda import Cuda
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.library import Library
from anydet_tensorrt.shapes import Profile

if TYPE_CHECKING:
    import tensorrt as trt

    from anydet.data.dataset.protocols import Dataset

Feeds = Mapping[str, NDArray[Any]]


def calibration_feeds(
    graph: Graph, profiles: Mapping[str, Profile], dataset: Dataset, count: int, options: Mapping[str, Any]
) -> Iterator[Feeds]:
    """What the model is fed for the first images, one image or the model's fixed batch at a time.

    Raises ``OptionError`` where neither the file nor the options say how images are prepared.
    """
    path = str(graph.path)
    inputs = Inputs.of(path, graph.inputs)
    description = described(path, graph.metadata, [tensor.name for tensor in graph.outputs])
    profile = profiles.get(inputs.image.name)
    if profile is not None and "size" not in options:
        height, width = profile.usual[-2:]
        options = {**options, "size": f"{width}x{height}"}
    if description is None and missing_options(options, inputs.size_wh):
        raise OptionError(
            f"{path} does not say how images are prepared for it", fix="add --option preset=NAME to calibrate"
        )
    preset = settle_preset(
        options,
        inputs.size_wh,
        described=None if description is None else described_preset(description),
        stated_wh=stated_size(graph.metadata),
    )
    preprocessor = Preprocessor(preset.preprocess, inputs.dtype)
    batch = inputs.fixed_batch or 1
    return (
        inputs.feeds(_stacked(preprocessor, dataset, range(start, start + batch)))
        for start in range(0, count - batch + 1, batch)
    )


def _stacked(preprocessor: Preprocessor, dataset: Dataset, places: range) -> NDArray[Any]:
    images, _ = preprocessor.batch([dataset[place].image() for place in places])
    return images


def calibrator(library: Library, cuda: Cuda, feeds: Iterator[Feeds]) -> trt.IInt8Calibrator:
    """What the builder asks for batches."""
    if TYPE_CHECKING:
        base = trt.IInt8EntropyCalibrator2
    else:
        base = library.module.IInt8EntropyCalibrator2

    class Calibrator(base):  # type: ignore[misc, valid-type]
        """Copies one batch after the other into memory of the GPU, which is reserved at the first."""

        def __init__(self) -> None:
            base.__init__(self)
            self._addresses: dict[str, int] = {}

        def get_batch_size(self) -> int:
            """Networks have their batch in their shapes."""
            return 1

        def get_batch(self, names: list[str]) -> list[int] | None:
            """Addresses of the inputs, or ``None`` after the last batch."""
            batch = next(feeds, None)
            if batch is None:
                for address in self._addresses.values():
                    cuda.free(address)
                return None
            return [self._filled(name, np.ascontiguousarray(batch[name])) for name in names]

        def read_calibration_cache(self) -> None:
            """None is kept: ranges of another data set or model would be taken without a word."""

        def write_calibration_cache(self, cache: Any) -> None:
            """None is kept."""

        def _filled(self, name: str, array: NDArray[Any]) -> int:
            if name not in self._addresses:
                self._addresses[name] = cuda.allocate(array.nbytes)
            # Of pageable memory the copy is complete when the call returns, and 0 is the default stream.
            cuda.to_gpu(self._addresses[name], array.ctypes.data, array.nbytes, 0)
            cuda.wait(0)
            return self._addresses[name]

    return Calibrator()
