"""The ``tensorrt`` adapter: an engine of TensorRT or TensorRT-RTX on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from anydet.data.record.record import Record
from anydet.runtime.adapter import RuntimeAdapter
from anydet_tensorrt.engine import Engine, require_engine
from anydet_tensorrt.metadata import read_metadata


class TensorRTAdapter(RuntimeAdapter):
    """Any detector of a known family, as an engine that ``anydet tensorrt build`` wrote.

    Args:
        settings: ``checkpoint`` is the engine, with its metadata beside it; ``device`` is ``cuda`` or
            ``cuda:N``; options are those of its schema.

    Raises:
        OptionError: an option, or the lack of one, makes no sense for this model.
        ModelError: the file is no engine that runs here, or not of the family that the preset names.
        LibraryError: what runs it is not installed, or there is no GPU.
    """

    registered_name = "tensorrt"
    model_file = "MODEL.engine"

    def stated_options(self, path: str) -> Mapping[str, Any]:
        """Those that the engine was built with."""
        require_engine(Path(path))
        return read_metadata(Path(path)).options

    def load(self, path: str) -> Engine:
        """The engine, on the GPU of the settings."""
        options = {**self.stated_options(path), **self.settings.options}
        return Engine(
            path,
            device=self.settings.device,
            cuda_graph=options.get("cuda_graph", True),
            runtime_cache=options.get("runtime_cache"),
        )

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterator[NDArray[Any]]:
        """(B, 3, H, W) inputs of the engine's type, as ``predict`` prepares them.

        Args:
            records: images.
            batch_size: images a batch, at most: neighbors whose inputs have one size.
        """
        for _, images in self._batches(records, batch_size):
            yield self._preprocessor.batch(images)[0]
