"""Where in a predictions file something stands, in the words of its shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

Shape = Literal["list", "wrapped", "map", "jsonl", "parquet", "coco"]
Path = Sequence[str | int]

SHOWN = 20
"""Findings that a message lists before it counts."""


class Place(NamedTuple):
    """An entry of a file.

    Attributes:
        shape: the file's shape.
        number: position of the entry; in JSON Lines the line's number, from 1.
        key: the image, where the file has it outside the entry (legacy map).
    """

    shape: Shape
    number: int
    key: str | None = None

    def at(self, path: Path = ()) -> str:
        """``predictions[17].detections[3].score`` for a path inside the entry, in the shape's words."""
        if self.shape == "map":
            return path_text((self.key or "", *path[1:]))
        if self.shape in ("jsonl", "parquet"):
            noun = "line" if self.shape == "jsonl" else "image"
            return f"{noun} {self.number}" + (f": {path_text(path)}" if path else "")
        start: Path = ("predictions", self.number) if self.shape == "wrapped" else (self.number,)
        return path_text((*start, *path))


def path_text(path: Path) -> str:
    """``detections[3].bbox.w`` of the keys and positions that lead there."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{show(step)}]" if text else show(step)
    return text


def show(value: Any) -> str:
    """A value as JSON writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def printable(text: str) -> str:
    """The text with control characters and other unprintables escaped, safe for any terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(findings: Sequence[str]) -> Iterable[str]:
    """The first findings, then how many more there are."""
    yield from findings[:SHOWN]
    if len(findings) > SHOWN:
        yield f"... and {len(findings) - SHOWN} more"
