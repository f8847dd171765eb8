"""``Stages``: a prediction taken apart, to run a stage of one adapter on what another one gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.geometry.placement import Placement
from anydet.plugins.preprocess import Preprocess
from anydet.types import ByteImage, FloatArray, ImagePredictions, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image as the model gets it.

    Attributes:
        tensor: (3, H, W).
        placement: where the image stands in it.
    """

    tensor: NDArray[Any]
    placement: Placement


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A model's outputs for one image as scores and boxes, before anything is selected.

    Attributes:
        scores: (N, C) of N anchors, cells or queries; (N, 1) with ``labels``.
        boxes_xyxy_px: (N, 4) float64 corners in pixels of the model's input.
        labels: (N,) as the model numbers its classes, where rows have one class each; else ``None``.
    """

    scores: NDArray[Any]
    boxes_xyxy_px: FloatArray
    labels: IntArray | None = None


class Stages(Protocol):
    """The stages of an adapter's predictions, one image at a time; ``Adapter.stages``.

    What they give one after the other is what ``predict`` gives.
    """

    @property
    def preprocess(self) -> Preprocess:
        """How images become inputs."""

    @property
    def model_file(self) -> str | None:
        """An ONNX file of the model; ``None`` where there is none, and none can be made."""

    @property
    def opens_files(self) -> bool:
        """Whether ``load`` opens ONNX files, as the adapters of runtimes do."""

    @property
    def output_names(self) -> Sequence[str]:
        """Of the model's outputs, in their order."""

    @property
    def nms_iou(self) -> float | None:
        """IoU of non-maximum suppression; ``None`` where there is none."""

    @property
    def candidates(self) -> int:
        """Most candidates before non-maximum suppression."""

    def pixels(self, record: Record) -> ByteImage:
        """(H, W, 3) uint8 RGB."""

    def prepare(self, image: ByteImage, preprocess: Preprocess | None = None) -> Prepared:
        """The model's input, as ``preprocess`` says, or as it is by default."""

    def run(self, tensor: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """The model's outputs for (3, H, W), without batch axis."""

    def feeds(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What the model is fed for (3, H, W), by name."""

    def decode(self, outputs: Sequence[NDArray[Any]], placement: Placement) -> Decoded | None:
        """Outputs as scores and boxes; ``None`` where they are none, as with classes of pixels."""

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """Detections above the score floor, in pixels of the image, without masks and other parts."""

    def complete(
        self, record: Record, outputs: Sequence[NDArray[Any]], placement: Placement
    ) -> ImagePredictions:
        """All that ``predict`` makes of the outputs for one image, masks and other parts too."""

    def load(self, path: str) -> Any:
        """Another ONNX file, as the model's own is opened: ``run(feeds)`` gives its outputs in order."""
