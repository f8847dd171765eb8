"""States in a COCO annotations file, beside those of its annotations: their names, and those of parts.

``"state_categories": [{"id": 0, "name": "intact"}, ...]``, and in the entry of an image
``"part_states": {"door": "absent", "handle": null}``, which knows of parts that have no box.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from anydet.data.dataset.part_states import UNLISTED
from anydet.data.dataset.table import ImageTable
from anydet.errors import DatasetError, did_you_mean
from anydet.inputs import read_json


class _State(msgspec.Struct):
    id: int
    name: str


class _Image(msgspec.Struct):
    file_name: str
    part_states: dict[str, str | None] | None = None


class _File(msgspec.Struct):
    images: list[_Image]
    state_categories: list[_State] = []


def with_states(path: Path, table: ImageTable) -> ImageTable:
    """A table with the states that its file has; the file is read once more, for these alone.

    Args:
        path: the file, known to be COCO annotations.
        table: the rest of it.

    Raises:
        DatasetError: states are malformed, their ids are not 0, 1, ..., or an image names a part or a state
            that the file does not have.
    """
    # A second reading costs only files that have states; scanners know nothing of their names.
    try:
        if table.oddities or table.image_names:
            from anydet.data.coco.mending import load, mend

            file = msgspec.convert(mend(load(path) or {}).document, type=_File)
        else:
            file = msgspec.json.decode(read_json(path), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        what, _, where = str(exc).replace("`", "").partition(" - at $.")
        raise DatasetError(f"{path}: {where or 'states'}: {what}", fix="correct the file") from exc
    names = _names(path, file.state_categories)
    if all(image.part_states is None for image in file.images):
        return replace(table, state_names=names)
    parts = table.classes.names if table.classes else ()
    rows = [_row(path, image, parts, names) for image in file.images]
    states = np.array(rows, np.int64).reshape(-1, len(parts))
    return replace(table, state_names=names, part_states=states)


def _names(path: Path, states: list[_State]) -> tuple[str, ...]:
    names = {state.id: state.name for state in states}
    if sorted(names) != list(range(len(states))):
        raise DatasetError(
            f"{path}: state_categories: ids {', '.join(str(state.id) for state in states)}",
            fix=f'number the {len(states)} states from 0, as the annotations\' "state" does',
        )
    return tuple(names[i] for i in range(len(states)))


def _row(path: Path, image: _Image, parts: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    """State of each part on one image."""
    given = image.part_states or {}
    for part, state in given.items():
        for what, one, known in (("categories", part, parts), ("state_categories", state, names)):
            if one is not None and one not in known:
                raise DatasetError(
                    f"{path}: image {image.file_name}: part_states: {part}: {one!r} is not among the {what}"
                    f"{did_you_mean(one, known)}",
                    fix=f"name one of {', '.join(known)}" if known else f"list it in {what}",
                )
    states: dict[str | None, int] = {None: -1}
    states.update({name: i for i, name in enumerate(names)})
    return [states[given[part]] if part in given else UNLISTED for part in parts]
