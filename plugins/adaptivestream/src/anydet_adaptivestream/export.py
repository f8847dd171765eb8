"""``AnySizeStream``: the model as a trace that takes inputs of any size."""

from __future__ import annotations

from torch import Tensor, nn

from anydet_adaptivestream.model import AdaptiveStream, stretched, whole_size


class AnySizeStream(nn.Module):
    """The same outputs, by resizes that a trace keeps.

    The model itself leaves a resize out where sizes are equal, and a trace would leave out what its example
    left out: a file of a 224 x 224 example would take multiples of 32 alone.

    Args:
        model: whose weights are used, not copied.
    """

    def __init__(self, model: AdaptiveStream) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) normalized images to pixel logits (B, C, H, W) and image logits (B, C)."""
        size = images.shape[-2:]
        pixels, image = self.model(stretched(images, whole_size(size)))
        return stretched(pixels, size), image
