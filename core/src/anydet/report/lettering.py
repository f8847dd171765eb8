"""Text beside pictures: captions above, legends below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from anydet.report.badges import draw_badge
from anydet.report.fonts import draw_text, text_px
from anydet.report.palette import DARK, LIGHT
from anydet.report.tags import LegendLine
from anydet.text import shortened
from anydet.types import ByteImage, Size

_CAPTION = 300
"""Characters of a caption; keys of images come from files."""
SMALLEST_PX = 10
"""Height of type below which nobody can read it."""


def strip_font_px(size_wh: Size) -> int:
    """Height of type beside a picture of a size."""
    return max(13, round(8 + 0.02 * float(np.sqrt(size_wh[0] * size_wh[1]))))


def caption_strip(text: str, width: int, font_px: int, smallest_px: int = SMALLEST_PX) -> ByteImage:
    """(H, width, 3) white strip with centered text: in smaller type, then in lines, where it is too long."""
    while font_px > smallest_px and text_px(text, font_px) > width:
        font_px -= 1
    lines = list(_wrapped(text.split(" "), width, font_px))
    line_px = round(1.3 * font_px)
    strip = Image.new("RGB", (width, line_px * len(lines) + round(0.4 * font_px)), LIGHT)
    pen = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw_text(
            pen, (width / 2, 0.2 * font_px + (number + 0.5) * line_px), line, DARK, font_px, anchor="mm"
        )
    return np.array(strip)


def legend_strip(title: str, lines: Sequence[LegendLine], width: int, font_px: int) -> ByteImage:
    """(H, width, 3) white strip: the title, and each line behind its swatch, wrapped, and cut if too wide."""
    line_px, swatch_px = round(1.5 * font_px), round(1.4 * font_px)
    indents = [swatch_px if line.color or line.badge else 0 for line in lines]
    texts = [
        fitted(line.text, max(0, width - indent), font_px)
        for line, indent in zip(lines, indents, strict=True)
    ]
    spots: list[tuple[int, int]] = []
    x, y = text_px(title, font_px) + font_px, 0
    for text, indent in zip(texts, indents, strict=True):
        across = indent + text_px(text, font_px)
        if x + across > width and x > 0:
            x, y = 0, y + line_px
        spots.append((x, y))
        x += across + font_px
    strip = Image.new("RGB", (width, y + line_px), LIGHT)
    pen = ImageDraw.Draw(strip)
    draw_text(pen, (0, line_px / 2), title, DARK, font_px)
    for line, text, indent, (left, top) in zip(lines, texts, indents, spots, strict=True):
        swatch = (left, top + round(0.25 * font_px), left + font_px, top + round(1.25 * font_px))
        if line.badge:
            draw_badge(pen, line.badge, swatch)
        if indent:
            pen.rectangle(swatch, fill=None if line.badge else line.color, outline=DARK)
        draw_text(pen, (left + indent, top + line_px / 2), text, DARK, font_px)
    return np.array(strip)


def fitted(text: str, width: int, font_px: int) -> str:
    """The text, cut at its end where it is wider than so many pixels."""
    if text_px(text, font_px) <= width:
        return text
    while text and text_px(f"{text}…", font_px) > width:
        text = text[:-1].rstrip()
    return f"{text}…" if text else ""


def caption(image: ByteImage, text: str, note: str = "") -> ByteImage:
    """The image under a strip of text, and under that a note in smaller type."""
    height, width = image.shape[:2]
    font_px = strip_font_px((width, height))
    strips = [caption_strip(shortened(text, _CAPTION, keep_end=True), width, font_px)]
    if note:
        small_px = max(SMALLEST_PX, round(0.7 * font_px))
        strips.append(caption_strip(shortened(note, _CAPTION), width, small_px, small_px))
    return np.concatenate([*strips, image])


def _wrapped(words: Sequence[str], width: int, font_px: int) -> Iterator[str]:
    line = words[0]
    for word in words[1:]:
        if text_px(f"{line} {word}", font_px) <= width:
            line = f"{line} {word}"
        else:
            yield line
            line = word
    yield line
