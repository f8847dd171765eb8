"""Decoders: features at stride 32 to class logits of every pixel, doubling the resolution five times."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

WIDTHS = (256, 128, 64, 32, 16)
"""Channels before each doubling; the first is what the encoder's deepest features are brought to."""


def doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A transposed convolution (kernel 4, stride 2, padding 1) that doubles height and width exactly."""
    # The kernel is a multiple of the stride: each output pixel sums equally many inputs, without the
    # checkerboard that kernel 3 leaves.
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


class PlainDecoder(nn.Sequential):
    """7 x 7 → 14 → 28 → 56 → 112 → 224 by transposed convolutions alone, with BatchNorm and ReLU between."""

    def __init__(self, num_classes: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(WIDTHS):
            layers += [doubling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        super().__init__(*layers, doubling(WIDTHS[-1], num_classes))

    def decode(self, features: Mapping[int, Tensor], deepest: Tensor) -> Tensor:
        """(B, 256, H / 32, W / 32) to logits (B, C, H, W); uses no other features."""
        logits: Tensor = self(deepest)
        return logits


class SkipDecoder(nn.Module):
    """The same chain; after each doubling the encoder's features of that stride are added and mixed in.

    Details that a 7 x 7 bottleneck loses come back. Sources: Ronneberger et al. 2015, "U-Net" (features of
    equal resolution are joined); Lin et al. 2017, "Feature Pyramid Networks" (by a 1 x 1 convolution and a
    sum, then a 3 x 3 convolution).
    """

    def __init__(self, num_classes: int, channels: Mapping[int, int]) -> None:
        super().__init__()
        strides = (16, 8, 4, 2)
        self.doublings = nn.ModuleList(map(doubling, WIDTHS[:-1], WIDTHS[1:]))
        self.laterals = nn.ModuleDict(
            {
                str(stride): nn.Conv2d(channels[stride], width, 1)
                for stride, width in zip(strides, WIDTHS[1:], strict=True)
                # Not every backbone has all strides: ConvNeXt begins at 4.
                if stride in channels
            }
        )
        self.mixers = nn.ModuleList(map(_mixer, WIDTHS[1:]))
        self.last = doubling(WIDTHS[-1], num_classes)
        self._strides = strides

    def decode(self, features: Mapping[int, Tensor], deepest: Tensor) -> Tensor:
        """Features by stride, and (B, 256, H / 32, W / 32), to logits (B, C, H, W)."""
        found = deepest
        for stride, up, mix in zip(self._strides, self.doublings, self.mixers, strict=True):
            found = up(found)
            if str(stride) in self.laterals:
                found = found + self.laterals[str(stride)](features[stride])
            found = mix(found)
        logits: Tensor = self.last(found)
        return logits


def _mixer(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        # No bias: the norm behind it subtracts one.
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
