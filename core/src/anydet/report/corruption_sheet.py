"""A picture of corruptions: one image under each of them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from anydet.data.corruptions.corruption import Corruption
from anydet.report.lettering import caption
from anydet.report.sheet import contact_sheet
from anydet.types import ByteImage

_COLUMNS = 4


def draw_corruptions(
    image: ByteImage, key: str, corruptions: Sequence[Corruption], longest_px: int = 320
) -> ByteImage:
    """The image as it is, and under each corruption, with captions.

    Several severities make a row for each corruption; one makes rows of four.

    Args:
        image: (H, W, 3) uint8 RGB; corrupted at its own size, drawn smaller.
        key: of its record.
        corruptions: grouped by name, severities ascending.
        longest_px: longer side of an image in the picture.
    """
    severities = {one.severity for one in corruptions}
    several = len(severities) > 1
    panels = [] if several else [_panel(image, "clean", longest_px)]
    last = ""
    for one in corruptions:
        if several and one.name != last:
            panels.append(_panel(image, "clean", longest_px))
            last = one.name
        panels.append(_panel(one.apply(image, key), f"{one.name} {one.severity}", longest_px))
    return contact_sheet(panels, len(severities) + 1 if several else _COLUMNS)


def encode_picture(picture: ByteImage, suffix: str) -> bytes:
    """The picture as PNG, or as JPEG where the suffix is ``.jpg``: noise makes large PNG files."""
    stream = BytesIO()
    if suffix.lower() == ".png":
        Image.fromarray(picture).save(stream, "PNG")
    else:
        Image.fromarray(picture).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _panel(image: ByteImage, text: str, longest_px: int) -> ByteImage:
    scale = min(1.0, longest_px / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return caption(np.array(small), text)
