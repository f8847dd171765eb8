"""Type: Pillow's own font, and for what it lacks the fonts that are installed."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import ImageFont

from anydet.text import escaped

if TYPE_CHECKING:
    from PIL import ImageDraw

    from anydet.report.palette import Color

INSTALLED = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
    "Arial Unicode.ttf",
)
"""Files that Pillow looks for in the folders of fonts of Linux, Windows and macOS."""
_MISSING = "\U0010fffe"
"""No character, so that fonts draw it as one that they do not have."""
_PROBE_PX = 16


@lru_cache
def font_of(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font at a height; scalable, since it has a size."""
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size=size_px))


def undrawable(text: str) -> str:
    """The characters of a text that no font has, each once."""
    return "".join(dict.fromkeys(c for c in text if not c.isascii() and _font_number(c) is None))


@lru_cache(maxsize=4096)
def text_px(text: str, size_px: int) -> int:
    """Width of a text."""
    return round(sum(font.getlength(part) for part, font in _runs(text, size_px)))


def draw_text(
    pen: ImageDraw.ImageDraw,
    xy: tuple[float, float],
    text: str,
    ink: Color,
    size_px: int,
    *,
    anchor: str = "lm",
) -> None:
    """Draw one line of text; characters that no font has are escape sequences of Python, such as ``\\u732b``.

    Args:
        pen: of the picture.
        xy: where.
        text: one line.
        ink: its color.
        size_px: height of type.
        anchor: "lm" if ``xy`` is the middle of its left edge, "mm" if it is its middle.
    """
    x, y = xy
    if anchor == "mm":
        x -= text_px(text, size_px) / 2
    for part, font in _runs(text, size_px):
        # Baselines of different fonts are level where their middles are.
        pen.text((x, y), part, ink, font, anchor="lm")
        x += font.getlength(part)


@lru_cache(maxsize=4096)
def _runs(text: str, size_px: int) -> tuple[tuple[str, ImageFont.FreeTypeFont], ...]:
    """Pieces of a text that one font draws."""
    if text.isascii():
        return ((text, font_of(size_px)),)
    drawn = "".join(c if not undrawable(c) else _escape(c) for c in text)
    runs = groupby(drawn, lambda c: _font_number(c) or 0)
    return tuple(("".join(part), _fonts(size_px)[number]) for number, part in runs)


def _escape(character: str) -> str:
    shown = escaped(character)
    return shown if shown.isascii() else character.encode("unicode_escape").decode()


@lru_cache(maxsize=4096)
def _font_number(character: str) -> int | None:
    """The first font that has a character; ``None`` where none has."""
    if character.isascii():
        return 0
    fonts = _fonts(_PROBE_PX)
    return next((i for i, font in enumerate(fonts) if _has(font, character)), None)


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether a character looks different from one that no font has."""
    shape, missing = font.getmask(character), font.getmask(_MISSING)
    return bytes(shape) != bytes(missing) or shape.size != missing.size


@lru_cache
def _fonts(size_px: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    """Pillow's own font, that which matplotlib brings, and the installed ones."""
    return font_of(size_px), *(ImageFont.truetype(path, size_px) for path in _installed())


@lru_cache
def _installed() -> tuple[str, ...]:
    matplotlib = find_spec("matplotlib")
    names = list(INSTALLED)
    if matplotlib is not None and matplotlib.origin is not None:
        names.insert(0, str(Path(matplotlib.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"))
    paths = []
    for name in names:
        try:
            paths.append(str(ImageFont.truetype(name, _PROBE_PX).path))
        except OSError:
            continue
    return tuple(dict.fromkeys(paths))
