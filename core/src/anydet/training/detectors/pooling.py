"""``pin_scales``: regions are pooled from the same places whatever image comes first."""

from __future__ import annotations

from collections.abc import Sequence

from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper


def pin_scales(pool: MultiScaleRoIAlign, strides: Sequence[int]) -> None:
    """Tell a pooling of regions the strides of its levels, powers of two, the finest first.

    torchvision estimates the scales from the first images that it gets, and keeps them: after very small
    ones, whose levels are rounded up, boxes of all later images would be pooled from wrong places.
    """
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = initLevelMapper(
        strides[0].bit_length() - 1,
        strides[-1].bit_length() - 1,
        canonical_scale=pool.canonical_scale,
        canonical_level=pool.canonical_level,
    )
