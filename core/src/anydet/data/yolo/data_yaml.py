"""Ultralytics' ``data.yaml`` and other files that name the classes of YOLO labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anydet.data.yolo.label_file import LabelGrammar
from anydet.errors import DatasetError, OptionError
from anydet.inputs import read_text, require_text, there_is, unique_keys
from anydet.types import ClassTable

NAMES = ("data.yaml", "dataset.yaml")
SPLIT_KEYS = ("train", "val", "valid", "validation", "test")
_NOTHING = frozenset({"", "null", "Null", "NULL", "~", "None"})


@dataclass(frozen=True, slots=True)
class DataYaml:
    """Content of a ``data.yaml``, checked.

    Attributes:
        file: the file.
        path: root of the data set as written, or ``None``.
        splits: split -> folders or list files as written.
        classes: class table, or ``None`` without ``names``.
        keypoint_shape: ``kpt_shape``, (K, 2) or (K, 3), or ``None``.
        flip_indices: ``flip_idx``: which keypoint each one is in the mirror, or () without.
    """

    file: Path
    path: str | None = None
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: ClassTable | None = None
    keypoint_shape: tuple[int, int] | None = None
    flip_indices: tuple[int, ...] = ()

    @property
    def grammar(self) -> LabelGrammar:
        """What lines of label files may look like."""
        return LabelGrammar(len(self.classes) if self.classes else None, self.keypoint_shape)


def read_data_yaml(file: Path) -> DataYaml:
    """Read a ``data.yaml``; raises ``DatasetError`` with file and key or line where it is malformed."""
    import yaml

    require_text(file)
    try:
        data = yaml.load(read_text(file), Loader=unique_keys(yaml.BaseLoader))  # all scalars stay text
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as exc:
        where = getattr(exc, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        raise DatasetError(
            f"{file}{line}: cannot be read as YAML: {getattr(exc, 'problem', None) or exc}", fix="correct it"
        ) from exc
    if not isinstance(data, dict):
        raise DatasetError(
            f"{file}: expected keys such as train, val and names", fix="write key: value lines"
        )
    shape = _keypoint_shape(file, data)
    return DataYaml(
        file,
        path=_text(file, data, "path"),
        splits={key: places for key in SPLIT_KEYS if (places := _places(file, data, key))},
        classes=_classes(file, data),
        keypoint_shape=shape,
        flip_indices=_flip_indices(file, data, shape),
    )


def yaml_text(split: str, names: DataYaml, beside: Path | None = None) -> str:
    """A ``data.yaml`` with ``images/<split>``, classes and what is said of keypoints.

    Args:
        split: name of the split.
        names: classes and keypoints.
        beside: folder whose ``data.yaml``, if it has one, gets the split as one more line.

    Raises:
        OptionError: labels beside have other keypoints.
    """
    import yaml

    if beside is not None and there_is(beside / NAMES[0]):
        there = read_data_yaml(beside / NAMES[0])
        if there.keypoint_shape != names.keypoint_shape:
            raise OptionError(
                f"{there.file}: its kpt_shape is {there.keypoint_shape}, not {names.keypoint_shape}",
                fix="write into a folder of its own",
            )
        others = yaml.safe_load(read_text(there.file))
        return yaml.safe_dump({split: f"images/{split}", **others}, sort_keys=False)
    layout: dict[str, Any] = {split: f"images/{split}"}
    if names.classes is not None:
        layout["names"] = dict(enumerate(names.classes.names))
    if names.keypoint_shape is not None:
        layout["kpt_shape"] = list(names.keypoint_shape)
    if names.flip_indices:
        layout["flip_idx"] = list(names.flip_indices)
    return yaml.safe_dump(layout, sort_keys=False)


def read_names(root: Path) -> DataYaml:
    """Classes and keypoint shape of a folder: from its ``data.yaml``, ``dataset.yaml`` or ``classes.txt``."""
    for name in NAMES:
        if there_is(root / name):
            return read_data_yaml(root / name)
    file = root / "classes.txt"
    return read_name_list(file) if there_is(file) else DataYaml(file)


def read_name_list(file: Path) -> DataYaml:
    """Classes of a file with one name a line; raises ``DatasetError`` with the line that has none."""
    require_text(file)
    try:
        lines = read_text(file).split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{file}: cannot be read: {exc}", fix="write one class name a line") from exc
    names = tuple(line.strip() for line in lines)
    while names and not names[-1]:
        names = names[:-1]
    if "" in names:
        raise DatasetError(f"{file}:{names.index('') + 1}: no class name", fix="write one class name a line")
    return DataYaml(file, classes=ClassTable(names) if names else None)


def table_of_names(file: Path, names: Any) -> ClassTable | None:
    """A class table from a list of names or a mapping of 0..N-1 to names; ``None`` where it is empty."""
    if isinstance(names, dict):
        try:
            by_id = {int(key): name for key, name in names.items()}
        except ValueError:
            by_id = {}
        if sorted(by_id) != list(range(len(names))):
            keys = ", ".join(map(str, list(names)[:10]))
            raise DatasetError(
                f"{file}: names: keys are not 0..{len(names) - 1}: {keys}", fix="number from 0"
            )
        names = [by_id[i] for i in range(len(names))]
    if not names or (isinstance(names, str) and names in _NOTHING):
        return None
    if not isinstance(names, list) or not all(isinstance(name, (str, int, float)) for name in names):
        raise DatasetError(
            f"{file}: names: expected a list of names or id: name", fix="write one name a class"
        )
    return ClassTable(tuple(str(name) for name in names))


def _classes(file: Path, data: Mapping[str, Any]) -> ClassTable | None:
    table = table_of_names(file, data.get("names"))
    count = _text(file, data, "nc")
    if count is None:
        return table
    if not count.isdecimal():
        raise DatasetError(f"{file}: nc: expected a number of classes, got {count!r}", fix="correct nc")
    if table is not None and int(count) != len(table):
        raise DatasetError(f"{file}: nc is {count}, but names has {len(table)}", fix="correct nc or names")
    return table


def _keypoint_shape(file: Path, data: Mapping[str, Any]) -> tuple[int, int] | None:
    value = data.get("kpt_shape")
    if value is None or (isinstance(value, str) and value in _NOTHING):
        return None
    numbers = (
        [int(v) for v in value if isinstance(v, str) and v.isdecimal()] if isinstance(value, list) else []
    )
    if len(numbers) != 2 or len(value) != 2 or numbers[0] < 1 or numbers[1] not in {2, 3}:
        raise DatasetError(f"{file}: kpt_shape: expected [K, 2] or [K, 3], got {value}", fix="correct it")
    return numbers[0], numbers[1]


def _flip_indices(file: Path, data: Mapping[str, Any], shape: tuple[int, int] | None) -> tuple[int, ...]:
    value = data.get("flip_idx")
    if value is None or value == [] or (isinstance(value, str) and value in _NOTHING):
        return ()
    given = value if isinstance(value, list) else []
    order = [int(one) for one in given if isinstance(one, str) and one.isascii() and one.isdecimal()]
    points = len(given) if shape is None else shape[0]
    # The mirror of the mirror is the image, so that names swap in pairs.
    if sorted(order) != list(range(points)) or any(order[order[at]] != at for at in order):
        raise DatasetError(
            f"{file}: flip_idx: expected each of 0..{points - 1} once, in pairs that swap, got {value}",
            fix="correct it: the position in the mirror of each keypoint of kpt_shape",
        )
    return tuple(order)


def _places(file: Path, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    listed = value if isinstance(value, list) else [] if value is None or value == {} else [value]
    if not all(isinstance(place, str) for place in listed):
        raise DatasetError(
            f"{file}: {key}: expected a folder, a .txt list, or a list of those", fix="correct it"
        )
    return tuple(place for place in listed if place not in _NOTHING)


def _text(file: Path, data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise DatasetError(f"{file}: {key}: expected text, got {type(value).__name__}", fix="correct it")
    return None if value is None or value in _NOTHING else value
