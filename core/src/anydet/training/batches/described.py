"""Inputs as a ``Preprocess`` describes them, by torch, which resizes as the torch adapters do."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional

from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Prepared
from anydet.types import ByteImage


def described_input(image: ByteImage, how: Preprocess) -> Prepared:
    """A (3, H, W) float32 input of (H, W, 3) uint8 RGB, and where the image stands in it."""
    height, width = image.shape[:2]
    placement = how.placement((width, height))
    pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
    size_hw = placement.content_wh[::-1]
    antialias = how.interpolation == "bilinear-antialias"
    if size_hw == (height, width):
        resized = pixels.float()
    elif how.rounded:
        # torchvision's own way with 8 bits, which training and prediction take.
        resized = functional.resize(pixels, list(size_hw), antialias=antialias).float()
    else:
        whole = pixels[None].float()
        resized = interpolate(whole, size_hw, mode="bilinear", align_corners=False, antialias=antialias)[0]
    resized = resized.flip(0) if how.channels == "bgr" else resized
    mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (how.mean, how.std))
    border = (torch.tensor(how.pad_value, dtype=torch.float32)[:, None, None] / how.divisor - mean) / std
    made = border.expand(3, placement.input_wh[1], placement.input_wh[0]).clone()
    (x, y), (across, down) = placement.offset_xy, placement.content_wh
    made[:, y : y + down, x : x + across] = (resized / how.divisor - mean) / std
    return Prepared(made.numpy(), placement)
