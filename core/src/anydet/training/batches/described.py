"""Images as inputs of predictions: 8-bit ones resized by Pillow, others as a ``Preprocess`` describes them.

Training resizes by torchvision, which is faster. Its numbers are Pillow's but for a level or two on some
processors, and rounded in another way on others, so that a prediction would depend on the processor and
differ from what runtimes do of the same description.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional

from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Prepared
from anydet.types import ByteImage, Size


def resized(image: ByteImage, size_wh: Size) -> ByteImage:
    """(H, W, 3) uint8 scaled to (width, height), bilinearly with antialiasing."""
    if size_wh == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(Image.fromarray(image).resize(size_wh, Image.Resampling.BILINEAR))


def described_input(image: ByteImage, how: Preprocess) -> Prepared:
    """A (3, H, W) float32 input of (H, W, 3) uint8 RGB, and where the image stands in it."""
    placement = how.placement((image.shape[1], image.shape[0]))
    content = _content(image, placement.content_wh, how)
    content = content.flip(0) if how.channels == "bgr" else content
    mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (how.mean, how.std))
    border = (torch.tensor(how.pad_value, dtype=torch.float32)[:, None, None] / how.divisor - mean) / std
    made = border.expand(3, placement.input_wh[1], placement.input_wh[0]).clone()
    (to_rows, to_columns), (rows, columns) = placement.window, placement.shown
    made[:, to_rows, to_columns] = (content[:, rows, columns] / how.divisor - mean) / std
    return Prepared(made.numpy(), placement)


def _content(image: ByteImage, size_wh: Size, how: Preprocess) -> Tensor:
    """(3, h, w) float32 pixels of 0..255."""
    antialias = how.interpolation == "bilinear-antialias"
    if how.rounded and antialias:
        image = resized(image, size_wh)
    pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
    if size_wh == (image.shape[1], image.shape[0]):
        return pixels.float()
    size_hw = size_wh[::-1]
    if how.rounded:
        whole: Tensor = functional.resize(pixels, list(size_hw), antialias=False)
        return whole.float()
    return interpolate(
        pixels[None].float(), size_hw, mode="bilinear", align_corners=False, antialias=antialias
    )[0]
