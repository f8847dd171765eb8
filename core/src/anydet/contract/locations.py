"""Where in a predictions file something stands, in the words of its shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from anydet.text import NAME, shortened

Shape = Literal["list", "wrapped", "map", "jsonl", "parquet", "coco", "other"]
Path = Sequence[str | int]
MEMORY = "predictions in memory"
"""What messages call predictions that are in no file."""


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
        if self.shape in ("jsonl", "parquet", "other"):
            noun = "line" if self.shape == "jsonl" else "image"
            return f"{noun} {self.number}" + (f": {path_text(path)}" if path else "")
        start: Path = ("predictions", self.number) if self.shape == "wrapped" else (self.number,)
        return path_text((*start, *path))


def repair_command(path: object, dataset: str = "") -> str:
    """What to type for predictions of which some are wrong: of a file, the command that leaves these out."""
    if str(path) == MEMORY:
        return "correct what made them"
    return f"leave out what is wrong with 'anydet validate-predictions {path}{dataset} --repair OUT.json'"


def path_text(path: Path) -> str:
    """``detections[3].bbox.w`` of the keys and positions that lead there."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif len(step) <= NAME and step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{show(step)}]" if text else show(step)
    return text


def show(value: Any) -> str:
    """A value as JSON writes it, shortened."""
    if isinstance(value, str) and len(value) > NAME:
        return f'"{shortened(value)}"'
    text = ""
    # Piece by piece, because a value may be most of the file.
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > NAME:
            return f"{text[: NAME - 3]}..."
    return text
