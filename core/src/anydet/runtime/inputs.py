"""What a model wants to be fed: the image in its own order of axes, and what some exports want beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import TensorInfo

_FLOATS = {"float16", "float32", "float64"}
_INTEGERS = {"int32", "int64"}
_MASKS = {*_INTEGERS, "bool"}
_SIZES = {*_INTEGERS, "float32"}
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    """A model's inputs.

    Attributes:
        image: (B, 3, H, W) or, where the last axis is 3 and the channels' is not, (B, H, W, 3); both also
            without batch axis.
        sizes: (B, 2) size of the image, or ``None``.
        mask: (B, H, W) pixel mask, or ``None``.
    """

    image: TensorInfo
    sizes: TensorInfo | None = None
    mask: TensorInfo | None = None

    @classmethod
    def of(cls, path: str, given: Sequence[TensorInfo]) -> Inputs:
        """The inputs by their types and shapes; ``ModelError`` where one has no place here."""
        image = _image(path, given)
        others = [t for t in given if t is not image]
        sizes = next((t for t in others if _is_sizes(t)), None)
        mask = next((t for t in others if len(t.shape) == 3 and t.dtype in _MASKS), None)
        for tensor in others:
            if tensor not in (sizes, mask):
                raise ModelError(
                    f"{path} needs an input {tensor} beside the image, which this adapter cannot provide",
                    fix="export the model with the image (and at most its size or a pixel mask) as input",
                )
        return cls(image, sizes, mask)

    def __str__(self) -> str:
        return "; ".join(str(t) for t in (self.image, self.sizes, self.mask) if t is not None)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the image."""
        return np.dtype(self.image.dtype)

    @property
    def size_wh(self) -> tuple[int | None, int | None]:
        """(width, height) of the image, ``None`` where it is open."""
        height, width = self.image.shape[-3:-1] if self._channels_last else self.image.shape[-2:]
        return (width if isinstance(width, int) else None, height if isinstance(height, int) else None)

    @property
    def fixed_batch(self) -> int | None:
        """Images every run takes, or ``None`` where that is open."""
        first = self.image.shape[0] if len(self.image.shape) == 4 else 1
        return first if isinstance(first, int) else None

    def feeds(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What a run on (B, 3, H, W) images is fed.

        The size that is fed is the input's own, as (width, height), so that boxes come back in its pixels.
        The mask says that every pixel is image: no border is ever fed to models that have a mask.
        """
        count, _, height, width = images.shape
        feeds = {self.image.name: self._arranged(images)}
        if self.sizes is not None:
            feeds[self.sizes.name] = np.tile(np.array([width, height], self.sizes.dtype), (count, 1))
        if self.mask is not None:
            sides = zip(self.mask.shape[1:], (height, width), strict=True)
            hw = [declared if isinstance(declared, int) else actual for declared, actual in sides]
            feeds[self.mask.name] = np.ones((count, *hw), self.mask.dtype)
        return feeds

    @property
    def _channels_last(self) -> bool:
        return _is_channels_last(self.image)

    def _arranged(self, images: NDArray[Any]) -> NDArray[Any]:
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if self._channels_last else images
        return images if len(self.image.shape) == 4 else images[0]


def _image(path: str, given: Sequence[TensorInfo]) -> TensorInfo:
    floats = [t for t in given if t.dtype in _FLOATS]
    images = [t for t in floats if len(t.shape) == 4] or [t for t in floats if len(t.shape) == 3]
    if len(images) != 1:
        raise ModelError(
            f"{path} is not a supported detector: it needs one float input of (B, 3, H, W) or "
            f"(B, H, W, 3), and the inputs are: {'; '.join(map(str, given)) or 'none'}",
            fix="export the network from normalized images on",
        )
    channels = images[0].shape[-1 if _is_channels_last(images[0]) else -3]
    if isinstance(channels, int) and channels != _CHANNELS:
        raise ModelError(
            f"{path}: the image input {images[0]} is neither (B, 3, H, W) nor (B, H, W, 3)",
            fix="export it for color images",
        )
    return images[0]


def _is_channels_last(image: TensorInfo) -> bool:
    return image.shape[-1] == _CHANNELS and image.shape[-3] != _CHANNELS


def _is_sizes(tensor: TensorInfo) -> bool:
    """(B, 2) whole numbers; where the 2 is left open or they are floats the name has to say so."""
    if len(tensor.shape) != 2 or tensor.dtype not in _SIZES:
        return False
    if tensor.shape[1] == 2 and tensor.dtype in _INTEGERS:
        return True
    return not (isinstance(tensor.shape[1], int) and tensor.shape[1] != 2) and "size" in tensor.name.lower()
