"""``TorchStages``: what a torch adapter's ``predict`` does, stage by stage."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NoReturn, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import TrainingError
from anydet.geometry.placement import Placement
from anydet.plugins.export import ExportSpec
from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Decoded, Prepared
from anydet.training.batches.described import described_input
from anydet.training.onnx_file import write_onnx
from anydet.types import ByteImage, ImagePredictions

Named: TypeAlias = Mapping[str, Tensor]
"""Meaning of an output -> its values for one image, without batch axis; see ``plugins.export.SHAPES``."""


@runtime_checkable
class Staged(Protocol):
    """A ``BatchPredictor`` whose results can be made of the outputs that ``export_spec`` describes."""

    @property
    def most(self) -> int:
        """Rows of an image that become detections, at most."""

    def prepare(self, record: Record, image: ByteImage) -> Any:
        """As ``BatchPredictor.prepare``."""

    def placed(self, image: Any) -> Prepared:
        """The input of what ``prepare`` gave, as the exported module takes it, and where the image stands."""

    def decode(self, outputs: Named, placement: Placement) -> Decoded | None:
        """Scores and boxes of all rows; ``None`` where outputs are classes of pixels."""

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """Detections above the score floor, without masks and other parts."""

    def complete(self, record: Record, outputs: Named, placement: Placement) -> ImagePredictions:
        """The whole result."""


class TorchStages:
    """As ``plugins.stages.Stages``; the model is the module that ``export_spec`` gives.

    Args:
        predictor: of the adapter.
        spec: of the adapter's model.
    """

    def __init__(self, predictor: Staged, spec: ExportSpec) -> None:
        self._predictor, self._spec = predictor, spec

    @property
    def preprocess(self) -> Preprocess:
        """As the adapter describes it."""
        return self._spec.description.preprocess

    @cached_property
    def model_file(self) -> str | None:
        """The model as ``anydet export-onnx`` writes it, in a folder that lasts as long as this object.

        ``None`` where it cannot be written.
        """
        folder = mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "model.onnx"
        try:
            with torch.random.fork_rng([]):
                write_onnx(self._spec, path)
        except TrainingError:
            return None
        return str(path)

    @property
    def opens_files(self) -> bool:
        """It does not: torch runs no ONNX file."""
        return False

    @property
    def output_names(self) -> Sequence[str]:
        """As a file of the model has them."""
        return [output.name for output in self._spec.description.outputs]

    @property
    def nms_iou(self) -> float | None:
        """Suppression, where there is any, is part of the model."""
        return None

    @property
    def candidates(self) -> int:
        """Rows that become detections, at most."""
        return self._predictor.most

    def pixels(self, record: Record) -> ByteImage:
        """The record's own."""
        return record.image()

    def prepare(self, image: ByteImage, preprocess: Preprocess | None = None) -> Prepared:
        """The input as ``predict`` prepares it, or by torch as another description says."""
        if preprocess is not None:
            return described_input(image, preprocess)
        return self._predictor.placed(self._predictor.prepare(Record("", ImageArray(image)), image))

    def run(self, tensor: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """The outputs of the module."""
        ((_, example),) = self._spec.inputs.items()
        with torch.no_grad():
            batch = torch.from_numpy(np.ascontiguousarray(tensor)).to(example)[None]
            return [values[0].cpu().numpy() for values in self._spec.module(batch)]

    def feeds(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The images alone."""
        ((name, _),) = self._spec.inputs.items()
        return {name: np.ascontiguousarray(tensor, np.float32)[None]}

    def decode(self, outputs: Sequence[NDArray[Any]], placement: Placement) -> Decoded | None:
        """All rows."""
        return self._predictor.decode(self._named(outputs), placement)

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """As the adapter selects."""
        return self._predictor.select(record, decoded, placement)

    def complete(
        self, record: Record, outputs: Sequence[NDArray[Any]], placement: Placement
    ) -> ImagePredictions:
        """As the adapter does."""
        return self._predictor.complete(record, self._named(outputs), placement)

    def load(self, path: str) -> NoReturn:
        """Raises ``TrainingError``; see ``opens_files``."""
        raise TrainingError(f"{path}: torch runs no ONNX file", fix="give it to an adapter of a runtime")

    def _named(self, outputs: Sequence[NDArray[Any]]) -> Named:
        meanings = [output.meaning for output in self._spec.description.outputs]
        return {name: torch.from_numpy(values) for name, values in zip(meanings, outputs, strict=True)}
