"""An ONNX model as something that images go into: inputs, batches, outputs an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.types import Size
from anydet_onnxruntime.errors import ModelError
from anydet_onnxruntime.layouts.candidates import Array, Outputs
from anydet_onnxruntime.layouts.shapes import Shapes, describe
from anydet_onnxruntime.session import open_session, reason

_IMAGE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_MASK_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the file declares it.

    Attributes:
        name: its name in the graph.
        shape: sizes; text or ``None`` where the file leaves them open.
        kind: onnxruntime's type, ``tensor(float)``.
    """

    name: str
    shape: tuple[int | str | None, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {describe(self.shape)}"


class Model:
    """An ONNX model: one image input of (B, 3, H, W), any outputs.

    Args:
        path: the ``.onnx`` file.
        device: see ``session.providers``.
        threads: threads within an operator; the number of processors by default.

    Attributes:
        path: the file.
        image: the image input.
        outputs: all outputs.
        providers: execution providers in use.
        metadata: what the exporter wrote into the file.
        batch: images a run takes; set by ``probe``.

    Raises:
        ModelError: the file is missing, is no ONNX model, or does not take images.
        OptionError: the device is not there.
    """

    def __init__(self, path: str, *, device: str = "cpu", threads: int | None = None) -> None:
        self.path = path
        self._session = open_session(path, device=device, threads=threads)
        self.outputs = _tensors(self._session.get_outputs())
        inputs = _tensors(self._session.get_inputs())
        self.image = _image_input(path, inputs)
        self._masks = _mask_inputs(path, [t for t in inputs if t is not self.image])
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.batch = 1
        self._batched = False

    @property
    def dtype(self) -> Any:
        """Data type of the image input."""
        return _IMAGE_TYPES[self.image.kind]

    @property
    def size_wh(self) -> tuple[int | None, int | None]:
        """(width, height) of the input, ``None`` where it is open."""
        height, width = self.image.shape[2:]
        return (width if isinstance(width, int) else None, height if isinstance(height, int) else None)

    @property
    def fixed_batch(self) -> int | None:
        """Images every run takes, or ``None`` where that is open."""
        first = self.image.shape[0]
        return first if isinstance(first, int) else None

    def probe(self, size_wh: Size, batch: int) -> Shapes:
        """Shapes of one image's outputs, from a run on zeros; settles how many images a run takes.

        Files declare shapes loosely: an open batch axis may be a constant inside, and the outputs may have
        no batch axis at all. Only a run tells.

        Args:
            size_wh: input size in pixels.
            batch: images a run should take.
        """
        outputs = self._settle(size_wh, batch)
        return tuple(tuple(o.shape[1:] if self._batched else o.shape) for o in outputs)

    def run(self, images: NDArray[Any]) -> list[Outputs]:
        """Outputs of each of (B, 3, H, W) images, without batch axis; B is at most ``batch``."""
        count, fixed = len(images), self.fixed_batch or 0
        if count < fixed:
            images = np.concatenate([images, np.zeros((fixed - count, *images.shape[1:]), images.dtype)])
        outputs = self._run(images)
        return [[o[i] for o in outputs] for i in range(count)] if self._batched else [outputs]

    def describe(self) -> str:
        """Inputs and outputs as the file declares them."""
        outputs = "; ".join(map(str, self.outputs))
        return f"{self.path} has input {self.image} and {len(self.outputs)} output(s): {outputs}"

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _settle(self, size_wh: Size, batch: int) -> list[Array]:
        for count in self._tries(batch):
            try:
                outputs = self._run(np.zeros((count, 3, size_wh[1], size_wh[0]), self.dtype))
            except ModelError:
                if self.fixed_batch or count == 1:
                    raise
                continue
            self._batched = all(o.ndim > 0 and len(o) == count for o in outputs)
            if self._batched or count == 1:
                break
        if count > 1 and not self._batched:
            raise ModelError(
                f"{self.path} takes {count} images a run, but not all of its outputs have that batch axis: "
                + ", ".join(describe(o.shape) for o in outputs),
                fix="export it with a batch of 1",
            )
        self.batch = (self.fixed_batch or batch) if count > 1 else 1
        return outputs

    def _tries(self, batch: int) -> list[int]:
        if self.fixed_batch:
            return [self.fixed_batch]
        return [2, 1] if batch > 1 else [1]

    def _run(self, images: NDArray[Any]) -> list[Array]:
        feeds = {self.image.name: images} | {t.name: _full_mask(t, images) for t in self._masks}
        try:
            outputs = self._session.run(None, feeds)
        except Exception as exc:  # onnxruntime's errors have no base class of their own
            raise ModelError(
                f"{self.path} does not run on input {describe(images.shape)}: {reason(exc)}",
                fix="give the input size it was exported for as --option size=WIDTHxHEIGHT",
            ) from exc
        return [o.astype(np.float32) if o.dtype in (np.float16, np.float64) else o for o in outputs]


def _tensors(declared: Sequence[Any]) -> list[Tensor]:
    return [Tensor(t.name, tuple(t.shape), t.type) for t in declared]


def _image_input(path: str, inputs: Sequence[Tensor]) -> Tensor:
    listed = "; ".join(map(str, inputs)) or "none"
    images = [t for t in inputs if len(t.shape) == 4 and t.kind in _IMAGE_TYPES]
    if len(images) != 1:
        raise ModelError(
            f"{path} is no detector that this adapter knows: it needs one float input of (B, 3, H, W), "
            f"and the inputs are: {listed}",
            fix="export the network from normalised images on",
        )
    channels = images[0].shape[1]
    if isinstance(channels, int) and channels != 3:
        raise ModelError(
            f"{path}: the image input {images[0]} is not (B, 3, H, W)",
            fix="export it with channels before height and width, and for colour images",
        )
    return images[0]


def _mask_inputs(path: str, others: Sequence[Tensor]) -> list[Tensor]:
    """Inputs beside the image: only pixel masks (B, H, W), as DETR exports have them."""
    for tensor in others:
        if len(tensor.shape) != 3 or tensor.kind not in _MASK_TYPES:
            raise ModelError(
                f"{path} wants an input {tensor} beside the image, which this adapter has nothing for",
                fix="export the model with the image (and at most a pixel mask) as input",
            )
    return list(others)


def _full_mask(tensor: Tensor, images: NDArray[Any]) -> NDArray[Any]:
    """A mask that says that every pixel is image; no border is ever fed to models that have a mask."""
    height, width = (
        declared if isinstance(declared, int) else actual
        for declared, actual in zip(tensor.shape[1:], images.shape[2:], strict=True)
    )
    return np.ones((len(images), height, width), _MASK_TYPES[tensor.kind])
