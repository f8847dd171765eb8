"""DelftBikes annotations as COCO JSON, with states; what is broken is reported and left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anydet.commands.messages import echo
from anydet.data.record.pixels import ImageFile
from anydet.errors import DatasetError, ImageError
from anydet.outputs import new_file
from anydet.types import Size
from anydet_delftbikes.annotations import Box, Entry, Part, find_flaw, read_entries
from anydet_delftbikes.parts import CLASSES, STATES

OUTSIDE_PX = 1.0
"""Pixels by which a box may leave its image unnoticed: annotation tools round."""
_SHOWN = 20
_CATEGORY_IDS = dict(zip(CLASSES.names, CLASSES.source_ids, strict=True))


@dataclass(frozen=True, slots=True)
class Broken:
    """One entry that is broken.

    Attributes:
        image: its key.
        part: the part, or "" where the whole image is meant.
        kind: "missing image", "image size", "part", "state", "box outside" or "empty box".
        problem: what is wrong, and what was done.
    """

    image: str
    part: str
    kind: str
    problem: str

    def __str__(self) -> str:
        return f"{self.image}{f': {self.part}' * bool(self.part)}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written, and what not.

    Attributes:
        path: the COCO file.
        images: number of images in it.
        annotations: number of annotations in it.
        states: name of a state ("no state" too) -> annotations.
        without_box: parts that have no box and count for presence only.
        broken: every broken entry.
    """

    path: Path
    images: int
    annotations: int
    states: Mapping[str, int]
    without_box: int
    broken: tuple[Broken, ...]

    def summary(self) -> dict[str, Any]:
        """The counts as plain data."""
        return {
            "path": str(self.path),
            "images": self.images,
            "annotations": self.annotations,
            "states": dict(self.states),
            "without_box": self.without_box,
            "broken": dict(Counter(one.kind for one in self.broken)),
        }

    def lines(self) -> Iterator[str]:
        """The counts for people, the first broken entries and how many there are of each kind."""
        counts = ", ".join(f"{count} {state}" for state, count in self.states.items())
        yield f"{self.path}: {self.images} images, {self.annotations} annotations ({counts})"
        if self.without_box:
            yield f"parts without a box, which count for presence only: {self.without_box}"
        yield from (f"broken: {one}" for one in self.broken[:_SHOWN])
        if len(self.broken) > _SHOWN:
            yield f"... and {len(self.broken) - _SHOWN} more"
        if self.broken:
            kinds = Counter(one.kind for one in self.broken)
            yield f"broken entries: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"


def convert_to_coco(
    json_path: Path | str, images_dir: Path | str, save_path: Path | str, *, quiet: bool = False
) -> Conversion:
    """Write a DelftBikes file as COCO JSON and print what was found.

    Categories are the 22 parts in alphabetical order, ids 1..22; ``state_categories`` name the states that
    annotations have. Parts without a box become no annotation; ``part_states`` of their image keeps them.
    Left out are missing images, unknown parts, boxes outside their image and boxes without area; boxes that
    leave it are clipped; parts of unknown state keep their box and lose the state. All of it is reported.

    Args:
        json_path: annotations as published.
        images_dir: folder of the images, from which their true sizes are read.
        save_path: the file to write.
        quiet: print nothing.

    Raises:
        DatasetError: the file is malformed, or not one of its images is there.
    """
    json_path, images_dir, save_path = Path(json_path), Path(images_dir), Path(save_path)
    entries = read_entries(json_path)
    sink = _Coco(images_dir)
    for key, entry in entries.items():
        sink.add(key, entry)
    if entries and not sink.images:
        raise DatasetError(
            f"{images_dir}: none of the {len(entries)} images of {json_path} ({next(iter(entries))}, ...)",
            fix="name the folder that holds them",
        )
    with new_file(save_path) as file:
        file.write(json.dumps(sink.document()).encode())
    done = sink.conversion(save_path)
    for line in () if quiet else done.lines():
        echo(line)
    return done


@dataclass(slots=True)
class _Coco:
    """Collects images and annotations."""

    images_dir: Path
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    without_box: int = 0

    def add(self, key: str, entry: Entry) -> None:
        size = self._size(key, entry)
        if size is None:
            return
        states = {}
        for name, part in entry.parts.items():
            if (kept := self._usable(key, name, part)) is not None:
                states[name] = kept.object_state or None
                self._annotate(key, name, kept, size)
        self.images.append(
            {
                "id": len(self.images) + 1,
                "file_name": key,
                "width": size[0],
                "height": size[1],
                "part_states": states,
            }
        )

    def document(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "annotations": self.annotations,
            "categories": [
                {"id": number, "name": name, "supercategory": "bicycle"}
                for name, number in _CATEGORY_IDS.items()
            ],
            "state_categories": [{"id": number, "name": name} for number, name in enumerate(STATES)],
        }

    def conversion(self, path: Path) -> Conversion:
        found = Counter(annotation.get("state", -1) for annotation in self.annotations)
        names = (*enumerate(STATES), (-1, "no state"))
        states = {name: found[number] for number, name in names if number >= 0 or found[number]}
        counts = len(self.images), len(self.annotations)
        return Conversion(path, *counts, states, self.without_box, tuple(self.broken))

    def _size(self, key: str, entry: Entry) -> Size | None:
        """The true size, that of the file; ``None`` where there is no such image."""
        try:
            size = ImageFile(self.images_dir / key, entry.size_wh).size_wh()
        except ImageError as exc:
            self.broken.append(Broken(key, "", "missing image", f"left out: {exc.problem}"))
            return None
        if entry.size_wh not in {None, size}:
            stated = f"{entry.image.width} x {entry.image.height}"
            problem = f"stated as {stated} pixels, but the file has {size[0]} x {size[1]}, which is written"
            self.broken.append(Broken(key, "", "image size", problem))
        return size

    def _usable(self, key: str, name: str, part: Part) -> Part | None:
        """The part, without its state where nobody knows that; ``None`` where nothing is left."""
        flaw = find_flaw(name, part)
        if flaw is None:
            return part
        stateless = Part(part.part_name, None, part.absolute_bounding_box)
        rescued = find_flaw(name, stateless) is None
        kind, kept = ("state", "kept without its state") if rescued else ("part", "left out")
        self.broken.append(Broken(key, name, kind, f"{kept}: {flaw.problem}"))
        return stateless if rescued else None

    def _annotate(self, key: str, name: str, part: Part, size: Size) -> None:
        box = self._box_xywh(key, name, part, size)
        if box is None:
            return
        annotation = {
            "id": len(self.annotations) + 1,
            "image_id": len(self.images) + 1,
            "category_id": _CATEGORY_IDS[name],
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        self.annotations.append(annotation | ({"state": part.state} if part.state >= 0 else {}))

    def _box_xywh(self, key: str, name: str, part: Part, size: Size) -> list[float] | None:
        """The box inside the image; ``None`` where there is none."""
        box = part.box
        if box is None:
            self.without_box += 1
            if part.absolute_bounding_box is not None and part.object_state != "absent":
                self.broken.append(Broken(key, name, "empty box", "left out: its box has no area"))
            return None
        x1, y1 = max(box.left, 0.0), max(box.top, 0.0)
        x2, y2 = min(box.left + box.width, size[0]), min(box.top + box.height, size[1])
        if x2 <= x1 or y2 <= y1:
            problem = f"left out: {_written(box)} is outside the {size[0]} x {size[1]} image"
            self.broken.append(Broken(key, name, "box outside", problem))
            return None
        over = box.width + box.height - (x2 - x1) - (y2 - y1)
        if over > OUTSIDE_PX:
            problem = f"clipped: {_written(box)} leaves the {size[0]} x {size[1]} image"
            self.broken.append(Broken(key, name, "box outside", problem))
        return [x1, y1, x2 - x1, y2 - y1] if over > 0 else [box.left, box.top, box.width, box.height]


def _written(box: Box) -> str:
    return f"the box at ({box.left:g}, {box.top:g}) of {box.width:g} x {box.height:g} pixels"
