"""Values of JSON exports, of which none need be what it should be."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.locating import locate_images
from anydet.data.dataset.objects import LabeledImage, table_of
from anydet.data.dataset.splits import Split
from anydet.data.dataset.table import TableDataset
from anydet.errors import DatasetError
from anydet.inputs import SAVE_AS_UTF8, read_json, text_problem
from anydet.text import counted
from anydet.types import Polygons, Size


def read_value(path: Path) -> Any:
    """What a JSON file holds; raises ``DatasetError`` where it cannot be read."""
    try:
        raw = read_json(path)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be read: {exc.strerror}", fix="check the path") from exc
    try:
        return json.loads(raw)
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{path}: {text_problem(raw)}", fix=SAVE_AS_UTF8) from exc
    except (ValueError, RecursionError) as exc:
        raise DatasetError(f"{path}: not valid JSON: {exc}", fix="export it again") from exc


def as_dict(value: object) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """The value where it is text, else ""."""
    return value if isinstance(value, str) else ""


def as_number(value: object) -> float | None:
    """The value where it is a finite number, else ``None``."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if number and math.isfinite(value) else None  # type: ignore[arg-type]


def as_numbers(values: Sequence[object]) -> tuple[float, ...] | None:
    """All values as finite numbers; ``None`` where one is none."""
    numbers = [as_number(value) for value in values]
    return None if any(n is None for n in numbers) else tuple(n for n in numbers if n is not None)


def as_size(width: object, height: object) -> Size | None:
    """(width, height), ``None`` where they are no size."""
    numbers = as_numbers([width, height])
    return None if numbers is None or min(numbers) < 1 else (int(numbers[0]), int(numbers[1]))


def as_ring(points: object, scale: tuple[float, float] = (1.0, 1.0)) -> tuple[float, ...] | None:
    """x1, y1, x2, y2, ... of a list of at least three points, each times ``scale``."""
    flat: list[float] = []
    for point in as_list(points):
        pair = as_numbers(as_list(point)[:2])
        if pair is None or len(pair) != 2:
            return None
        flat += [pair[0] * scale[0], pair[1] * scale[1]]
    return tuple(flat) if len(flat) >= 6 else None


def has_area(polygons: Polygons) -> bool:
    """Whether there is a polygon."""
    return any(len(ring) >= 6 for ring in polygons)


def as_dataset(
    opened: Path,
    file: Path,
    split: Split,
    images: Sequence[LabeledImage],
    names: Sequence[str],
    *,
    folder: Path,
    named: bool,
    left_out: LeftOut,
    files: Sequence[Path] = (),
) -> TableDataset:
    """A data set of what was read of an export, once what was left out is said.

    Args:
        opened: what the user named.
        file: the export.
        split: that was chosen.
        images: of the split.
        names: of the classes in their order; names that occur beside them follow, sorted.
        folder: of the images.
        named: whether the user named ``folder``.
        left_out: what was not taken.
        files: annotation files of the split, where it is not ``file`` alone.
    """
    left_out.warn(opened)
    keys = [image.key for image in images]
    if not images:
        raise DatasetError(f"{file}: no images", fix="export a project that has some")
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise DatasetError(
            f"{file}: image {twice} occurs twice", fix="take one of the two out of the project"
        )
    found = sorted({one.name for image in images for one in image.objects})
    classes = (*names, *(name for name in found if name not in names))
    table = replace(table_of(images, classes), oddities=left_out.faults)
    base = opened if opened.is_dir() else opened.parent
    source = file.relative_to(base).as_posix() if file.is_relative_to(base) else str(file)
    if len(files) > 1:
        source = f"{source} and {counted(len(files), 'file')}"
    return TableDataset(
        opened,
        split.name,
        split.note,
        source,
        folder,
        locate_images(table, folder, named=named),
        annotation_files=(file, *(one for one in files if one != file)),
    )
