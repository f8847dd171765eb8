"""Decoded pixels of two adapters: orientation, order of channels, or another decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from anydet.crosscheck.locating.finding import Finding
from anydet.types import ByteImage

_CLOSE = 4.0
"""Mean difference, in levels of 256, of two decoders of one JPEG file."""


def compare_pixels(a: Sequence[ByteImage], b: Sequence[ByteImage]) -> Finding | None:
    """What differs in images that should be equal; ``None`` where they are."""
    different = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if not np.array_equal(x, y)]
    if not different:
        return None
    pairs = [(a[i], b[i]) for i in different]
    share = f"{len(different)} of {len(a)} images differ"
    if all(_close(x[..., ::-1], y) for x, y in pairs):
        return Finding("channels", "images are decoded as BGR where A has RGB", share)
    turned = _orientation(pairs)
    if turned is not None:
        return Finding(
            "pixels", f"images are {turned} (is the EXIF orientation used by one side alone?)", share
        )
    if any(x.shape != y.shape for x, y in pairs):
        x, y = next((x, y) for x, y in pairs if x.shape != y.shape)
        sizes = f"{x.shape[1]}x{x.shape[0]} in A, {y.shape[1]}x{y.shape[0]} in B"
        return Finding("pixels", "decoded images have another size", f"{share}; {sizes}", certain=False)
    gaps = [np.abs(x.astype(np.float64) - y) for x, y in pairs]
    mean, most = np.mean([gap.mean() for gap in gaps]), max(gap.max() for gap in gaps)
    evidence = f"{share}, by {mean:.3g} of 256 levels on average, at most {most:g}"
    cause = "images are decoded to other pixels: another decoder, color space, or chroma upsampling"
    return Finding("pixels", cause, evidence)


def _orientation(pairs: Sequence[tuple[ByteImage, ByteImage]]) -> str | None:
    known: Mapping[str, Callable[[ByteImage], ByteImage]] = {
        "mirrored left to right": lambda x: x[:, ::-1],
        "upside down": lambda x: x[::-1, ::-1],
        "mirrored top to bottom": lambda x: x[::-1],
        "turned by 90 degrees": np.rot90,
        "turned by -90 degrees": lambda x: np.rot90(x, -1),
        "transposed": lambda x: x.transpose(1, 0, 2),
    }
    return next((name for name, turn in known.items() if all(_close(turn(x), y) for x, y in pairs)), None)


def _close(x: ByteImage, y: ByteImage) -> bool:
    return x.shape == y.shape and float(np.abs(x.astype(np.float64) - y).mean()) < _CLOSE
