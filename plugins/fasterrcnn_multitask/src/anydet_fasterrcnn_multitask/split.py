"""A DelftBikes file into train, val and test, with evenly distributed parts and states."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anydet.data.record.containment import contained
from anydet.errors import DatasetError, OptionError
from anydet.inputs import read_json
from anydet.outputs import new_file, new_folder
from anydet.types import BoolArray, IntArray
from anydet_delftbikes.dataset import read_delftbikes
from anydet_delftbikes.parts import PARTS, STATES
from anydet_fasterrcnn_multitask.stratification import stratification_error, stratify

NAMES = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Splits:
    """What was written.

    Attributes:
        files: split -> its annotations.
        images: split -> number of images.
        states: split -> state -> number of parts.
        error: mean distance between the fractions of parts in states and the requested ones.
    """

    files: Mapping[str, Path]
    images: Mapping[str, int]
    states: Mapping[str, Mapping[str, int]]
    error: float

    def summary(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "splits": {
                name: {
                    "path": str(path),
                    "images": self.images[name],
                    "states": dict(self.states[name]),
                }
                for name, path in self.files.items()
            },
            "stratification_error": self.error,
        }


def split_annotations(
    json_path: Path | str,
    out: Path | str,
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 42,
    images_dir: Path | None = None,
) -> Splits:
    """Write ``OUT/<split>_annotations.json`` for train, val and test; entries stay as they are.

    Args:
        json_path: annotations as published.
        out: folder; files of that name must not be there.
        fractions: of train, val and test; a split of fraction 0 is not written.
        seed: decides ties; the same seed gives the same splits.
        images_dir: copy images from here to ``OUT/<split>``; ``None`` copies none.

    Raises:
        OptionError: the fractions do not add up to 1, or a split is there already.
        DatasetError: the annotations are malformed, or an image is missing.
    """
    json_path, out = Path(json_path), Path(out)
    _check_fractions(fractions)
    columns = read_delftbikes(json_path)
    states = columns.part_states
    assert states is not None  # every DelftBikes file states its parts
    folds = stratify(state_labels(states), fractions, seed)
    entries = _raw_entries(json_path)
    names = [name for name, fraction in zip(NAMES, fractions, strict=True) if fraction > 0]
    files = {name: out / f"{name}_annotations.json" for name in names}
    # All are checked before the first is written, so that a refusal leaves nothing behind.
    for path in files.values():
        if path.exists():
            raise OptionError(f"{path}: already there", fix="name another folder")
    for name, path in files.items():
        rows = np.flatnonzero(folds == NAMES.index(name)).tolist()
        keys = [columns.keys[row] for row in rows]
        if images_dir is not None:
            _copy_images(images_dir, keys, out / name)
        with new_file(path) as file:
            file.write(msgspec.json.encode({key: entries[key] for key in keys}))
    return Splits(
        files,
        {name: int((folds == NAMES.index(name)).sum()) for name in names},
        {name: _count(states[folds == NAMES.index(name)]) for name in names},
        stratification_error(state_labels(states), folds, fractions),
    )


def state_labels(states: IntArray) -> BoolArray:
    """(I, 22 x 4) which part is in which state, of (I, 22) states; unknown ones are no label."""
    labels: BoolArray = states[:, :, None] == np.arange(len(STATES))
    return labels.reshape(len(states), len(PARTS) * len(STATES))


def _count(states: IntArray) -> dict[str, int]:
    return {name: int((states == state).sum()) for state, name in enumerate(STATES)}


def _raw_entries(json_path: Path) -> dict[str, msgspec.Raw]:
    """Entries byte for byte, by the keys that reading gives them."""
    # Raw: fields that anydet does not know survive the split unchanged.
    entries = msgspec.json.decode(read_json(json_path), type=dict[str, msgspec.Raw])
    return {key.replace("\\", "/"): entry for key, entry in entries.items()}


def _check_fractions(fractions: tuple[float, ...]) -> None:
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise OptionError(
            f"fractions {', '.join(f'{one:g}' for one in fractions)} are negative or do not sum to 1",
            fix="choose --val and --test with a sum of at most 1",
        )


def _copy_images(source: Path, keys: list[str], target: Path) -> None:
    with new_folder(target) as folder:
        for key in keys:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(contained(source, key), folder / key)
            except OSError as exc:
                raise DatasetError(
                    f"{source / key}: cannot be copied: {exc.strerror}", fix="name the folder with --images"
                ) from exc
