"""An annotations file of DelftBikes as it is published, decoded and checked.

``{file name: {"image": {"channels", "height", "width"}, "parts": {name: {"part_name", "object_state",
"trust", "absolute_bounding_box": {"left", "top", "width", "height"}}}}}``. A part may lack a state or a box.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import msgspec

from anydet.dataclass import dataclass
from anydet.errors import DatasetError, did_you_mean
from anydet.inputs import read_json
from anydet.types import Size
from anydet_delftbikes.parts import PARTS, STATES


class Box(msgspec.Struct, gc=False):
    """Where a part is, or would be, in pixels of the image."""

    left: float
    top: float
    width: float
    height: float


class Part(msgspec.Struct):
    """One part of an image; nothing in it need be there."""

    part_name: str | None = None
    object_state: str | None = None
    absolute_bounding_box: Box | None = None

    @property
    def state(self) -> int:
        """Its place in ``STATES``, -1 where it has none; ``find_flaw`` knows of names that are none."""
        return STATES.index(self.object_state) if self.object_state else -1

    @property
    def box(self) -> Box | None:
        """The box, or ``None`` where there is none or one without area."""
        box = self.absolute_bounding_box
        return box if box is not None and box.width > 0 and box.height > 0 else None


class ImageSize(msgspec.Struct, gc=False):
    """Size of an image in pixels, where the file states it."""

    width: int | None = None
    height: int | None = None


class Entry(msgspec.Struct):
    """One image."""

    parts: dict[str, Part] = {}
    image: ImageSize = msgspec.field(default_factory=ImageSize)

    @property
    def size_wh(self) -> Size | None:
        """(width, height) in pixels, where both are stated."""
        width, height = self.image.width, self.image.height
        return None if width is None or height is None else (width, height)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a part cannot be used, and what would help."""

    problem: str
    fix: str


def read_entries(path: Path) -> dict[str, Entry]:
    """All images by their keys, in the order of the file; types are checked, meanings (``find_flaw``) not.

    Raises:
        DatasetError: that names the file, and the image and part that are malformed.
    """
    try:
        raw = read_json(path)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be read: {exc.strerror}", fix="check the path") from exc
    try:
        entries = msgspec.json.decode(raw, type=dict[str, Entry])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        _explain(path, raw, exc)
    for key, entry in entries.items():
        if not key or ((size := entry.size_wh) is not None and min(size) < 1):
            raise DatasetError(
                f"{path}: image {key!r}: width {entry.image.width}, height {entry.image.height}",
                fix="write the image's name and true size in pixels",
            )
    # Keys are relative paths, which programs on Windows write with backslashes.
    return {key.replace("\\", "/"): entry for key, entry in entries.items()}


def find_flaw(name: str, part: Part) -> Flaw | None:
    """What is wrong with a part: its name, its state or its box."""
    if name not in PARTS:
        return Flaw(f"no part is called that{did_you_mean(name, PARTS)}", f"name one of {', '.join(PARTS)}")
    if part.part_name not in {None, name}:
        return Flaw(f"its part_name is {part.part_name!r}", "correct one of the two names")
    if part.object_state and part.object_state not in STATES:
        return Flaw(
            f"object_state {part.object_state!r} is unknown{did_you_mean(part.object_state, STATES)}",
            f"write one of {', '.join(STATES)}, or leave it out",
        )
    box = part.absolute_bounding_box
    if box is not None and min(box.width, box.height) < 0:
        return Flaw(f"a box of {box.width:g} x {box.height:g} pixels", "write width and height, or no box")
    return None


def _explain(path: Path, raw: bytes, exc: Exception) -> NoReturn:
    """Say what typed decoding refused, naming image and part."""
    # Only after a failure: decoding entry by entry is slow, but can name the image and the part.
    entries = _decoded(raw, dict[str, msgspec.Raw])
    if isinstance(entries, str):
        raise DatasetError(
            f"{path}: not an annotations file of DelftBikes: {entries}", fix="correct or download it again"
        ) from exc
    if {"images", "annotations"} <= entries.keys():
        raise DatasetError(
            f"{path}: COCO JSON, not an annotations file of DelftBikes",
            fix="give an annotations file of DelftBikes, {file name: {image, parts}}",
        ) from exc
    for key, entry in entries.items():
        if not isinstance(problem := _decoded(entry, Entry), str):
            continue
        parts = _decoded(entry, _RawParts)
        for name, part in {}.items() if isinstance(parts, str) else parts.parts.items():
            if isinstance(flaw := _decoded(part, Part), str):
                problem = f"part {name}: {flaw}"
                break
        raise DatasetError(f"{path}: image {key}: {problem}", fix="correct the file") from exc
    raise DatasetError(f"{path}: {exc}", fix="correct the file") from exc


class _RawParts(msgspec.Struct):
    parts: dict[str, msgspec.Raw]


def _decoded(raw: bytes | msgspec.Raw, kind: Any) -> Any:
    """The value, or the text of what is wrong with it."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return str(exc).replace("`", "").replace("$.", "")
