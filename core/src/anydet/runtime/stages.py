"""``RuntimeStages``: the stages of a runtime's predictions, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.data.record.record import Record
from anydet.geometry.placement import Placement
from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Decoded, Prepared
from anydet.runtime.decoding import Decoding
from anydet.runtime.layouts import Bound
from anydet.runtime.layouts.candidates import Array, Labeled, Outputs
from anydet.runtime.layouts.classify import ImageClasses
from anydet.runtime.layouts.declared import Pixels
from anydet.runtime.loaded import LoadedModel
from anydet.runtime.model import Model
from anydet.runtime.preprocess import Preprocessor
from anydet.types import ByteImage, FloatArray, ImagePredictions, IntArray, Size


@dataclass(frozen=True, slots=True)
class RuntimeStages:
    """As ``plugins.stages.Stages``, of the parts that a ``RuntimeAdapter`` is made of.

    Attributes:
        preprocess: how images become inputs.
        model: as it is run.
        decoding: how rows become detections.
        preprocessor: does what ``preprocess`` says.
        bind: the decoder of outputs of one image, for an input of a size.
        result: what the adapter makes of the outputs for one image.
        load: opens a file as the model's own is opened.
    """

    preprocess: Preprocess
    model: Model
    decoding: Decoding
    preprocessor: Preprocessor
    bind: Callable[[Outputs, Size], Bound]
    result: Callable[[Record, Outputs, Placement], ImagePredictions]
    load: Callable[[str], LoadedModel]

    @property
    def model_file(self) -> str | None:
        """The file."""
        return self.model.path if self.model.path.endswith(".onnx") else None

    @property
    def opens_files(self) -> bool:
        """It does."""
        return True

    @property
    def output_names(self) -> Sequence[str]:
        """As the file has them."""
        return [tensor.name for tensor in self.model.outputs]

    @property
    def nms_iou(self) -> float | None:
        """Of the decoding."""
        return self.decoding.nms_iou

    @property
    def candidates(self) -> int:
        """Of the decoding."""
        return self.decoding.limit

    def pixels(self, record: Record) -> ByteImage:
        """The record's own."""
        return record.image()

    def prepare(self, image: ByteImage, preprocess: Preprocess | None = None) -> Prepared:
        """The input, prepared in one's own way by default."""
        maker = self.preprocessor
        if preprocess is not None:
            maker = Preprocessor(preprocess, self.model.inputs.dtype)
        tensors, placements = maker.batch([image])
        return Prepared(tensors[0], placements[0])

    def run(self, tensor: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """The outputs."""
        return self.model.run(tensor.astype(self.model.inputs.dtype)[None])[0]

    def feeds(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All inputs, with a batch of one."""
        return self.model.inputs.feeds(tensor.astype(self.model.inputs.dtype)[None])

    def decode(self, outputs: Sequence[NDArray[Any]], placement: Placement) -> Decoded | None:
        """All rows."""
        decoder = self.bind(outputs, placement.input_wh)
        if isinstance(decoder, Pixels | ImageClasses):
            return None
        scores = decoder.scores(outputs)
        rows = np.arange(len(scores))
        labels = decoder.labels(outputs, rows) if isinstance(decoder, Labeled) else None
        return Decoded(scores, decoder.boxes(outputs, rows), labels)

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """As the adapter selects."""
        if decoded.labels is not None:
            return self.decoding.result(record, GivenLabels(decoded), [], placement)
        return self.decoding.result(record, Given(decoded), [], placement)

    def complete(
        self, record: Record, outputs: Sequence[NDArray[Any]], placement: Placement
    ) -> ImagePredictions:
        """As the adapter does."""
        return self.result(record, outputs, placement)


@dataclass(frozen=True, slots=True)
class Given:
    """A decoder of what is decoded already; the outputs do not matter."""

    decoded: Decoded

    @property
    def class_count(self) -> int | None:
        """Columns of the scores."""
        return int(self.decoded.scores.shape[1])

    def scores(self, outputs: Outputs) -> Array:
        """All of them."""
        return self.decoded.scores

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Of those rows."""
        return self.decoded.boxes_xyxy_px[rows]


@dataclass(frozen=True, slots=True)
class GivenLabels(Given):
    """The same, of rows that have one class each."""

    @property
    def class_count(self) -> int | None:
        """Nobody says."""
        return None

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """Of those rows."""
        assert self.decoded.labels is not None
        return self.decoded.labels[rows]
