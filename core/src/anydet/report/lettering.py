"""Text beside pictures: captions above, legends below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anydet.report.palette import DARK, LIGHT
from anydet.report.tags import LegendLine
from anydet.text import shortened
from anydet.types import ByteImage, Size

_CAPTION = 300
"""Characters of a caption; keys of images come from files."""
SMALLEST_PX = 10
"""Height of type below which nobody can read it."""


@lru_cache
def font_of(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font at a height; scalable, since it has a size."""
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size=size_px))


def strip_font_px(size_wh: Size) -> int:
    """Height of type beside a picture of a size."""
    return max(13, round(8 + 0.02 * float(np.sqrt(size_wh[0] * size_wh[1]))))


def caption_strip(text: str, width: int, font_px: int) -> ByteImage:
    """(H, width, 3) white strip with centered text: in smaller type, then in lines, where it is too long."""
    while font_px > SMALLEST_PX and font_of(font_px).getlength(text) > width:
        font_px -= 1
    font, lines = font_of(font_px), list(_wrapped(text.split(" "), width, font_of(font_px)))
    line_px = round(1.3 * font_px)
    strip = Image.new("RGB", (width, line_px * len(lines) + round(0.4 * font_px)), LIGHT)
    pen = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        pen.text((width / 2, 0.2 * font_px + (number + 0.5) * line_px), line, DARK, font, anchor="mm")
    return np.array(strip)


def legend_strip(title: str, lines: Sequence[LegendLine], width: int, font_px: int) -> ByteImage:
    """(H, width, 3) white strip: the title, and each line behind a swatch of its color, wrapped."""
    font, line_px = font_of(font_px), round(1.5 * font_px)
    spots: list[tuple[int, int]] = []
    x, y = round(font.getlength(title)) + font_px, 0
    for line in lines:
        across = round(1.4 * font_px + font.getlength(line.text))
        if x + across > width and x > 0:
            x, y = 0, y + line_px
        spots.append((x, y))
        x += across + font_px
    strip = Image.new("RGB", (width, y + line_px), LIGHT)
    pen = ImageDraw.Draw(strip)
    pen.text((0, line_px / 2), title, DARK, font, anchor="lm")
    for line, (left, top) in zip(lines, spots, strict=True):
        swatch = (left, top + 0.25 * font_px, left + font_px, top + 1.25 * font_px)
        pen.rectangle(swatch, fill=line.color, outline=DARK)
        pen.text((left + 1.4 * font_px, top + line_px / 2), line.text, DARK, font, anchor="lm")
    return np.array(strip)


def caption(image: ByteImage, text: str) -> ByteImage:
    """The image under a strip of text."""
    height, width = image.shape[:2]
    text = shortened(text, _CAPTION, keep_end=True)
    return np.concatenate([caption_strip(text, width, strip_font_px((width, height))), image])


def _wrapped(words: Sequence[str], width: int, font: ImageFont.FreeTypeFont) -> Iterator[str]:
    line = words[0]
    for word in words[1:]:
        if font.getlength(f"{line} {word}") <= width:
            line = f"{line} {word}"
        else:
            yield line
            line = word
    yield line
