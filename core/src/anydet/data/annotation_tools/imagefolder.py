"""Hugging Face's ImageFolder for object detection: ``metadata.jsonl`` beside the images it names.

Each line has ``file_name``, and ``objects`` with the columns ``bbox`` (x, y, width, height in pixels, as the
library's documentation has it) and ``categories``; some data sets call that ``category`` or write a list of
objects. Numbers of classes are named by ``classes.txt``, ``data.yaml``, or the ``class_label`` of the data
set's card (``README.md``). Splits are the folders that have such a file, else the first folders of the names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anydet.data.annotation_tools.values import as_dataset, as_dict, as_list, as_numbers, as_size, as_text
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import LabeledImage, LabeledObject
from anydet.data.dataset.splits import SPLITS, UNSPLIT, choose_split
from anydet.data.dataset.table import TableDataset
from anydet.data.yolo.data_yaml import read_names
from anydet.errors import DatasetError
from anydet.inputs import SAVE_AS_UTF8, read_text, read_text_bytes, text_problem

_CLASS_KEYS = ("categories", "category", "category_id", "labels", "label", "classes", "class")
_CROWD_KEYS = ("iscrowd", "is_crowd")
_READ = {"bbox", "id", "area", *_CLASS_KEYS, *_CROWD_KEYS}
"""Columns of objects; areas are width x height."""
_ONLY_CLASS = "object"


def open_imagefolder(
    opened: Path, files: Mapping[str, Path], wanted: str | None, images: Path | None
) -> TableDataset:
    """Open one split.

    Args:
        opened: what the user named.
        files: split -> file; "" for one of no split.
        wanted: the split wanted.
        images: image folder that the user named.

    Raises:
        DatasetError: the file is no text, or names no images.
    """
    split = UNSPLIT if set(files) == {""} else choose_split(opened, files, wanted)
    file, left_out = files[split.name], LeftOut()
    rows = list(_rows(file, left_out))
    within = {name.partition("/")[0] for name, _ in rows if "/" in name}
    if not split.name and (wanted is not None or (within and within <= {*SPLITS, "test"})):
        split = choose_split(opened, within & {*SPLITS, "test"}, wanted)
        rows = [row for row in rows if row[0].startswith(f"{split.name}/")]
    root = opened if opened.is_dir() else file.parent
    names = _class_names((root, file.parent, file.parent.parent))
    return as_dataset(
        opened,
        file,
        split,
        [_image(name, row, names, left_out) for name, row in rows],
        names,
        folder=images or file.parent,
        named=images is not None,
        left_out=left_out,
    )


def _rows(file: Path, left_out: LeftOut) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each line."""
    try:
        text = read_text(file)
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read: {exc.strerror}", fix="check the path") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{file}: {text_problem(read_text_bytes(file))}", fix=SAVE_AS_UTF8) from exc
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = as_dict(json.loads(line))
        except (ValueError, RecursionError):
            row = {}
        name = as_text(row.get("file_name")).replace("\\", "/")
        if name:
            yield name, row
        else:
            left_out.add("images", "without a file_name, or of a line that is no JSON", f"{file}:{number}")


def _image(name: str, row: Mapping[str, Any], names: Sequence[str], left_out: LeftOut) -> LabeledImage:
    size = as_size(row.get("width"), row.get("height"))
    return LabeledImage(name, size, list(_objects(name, row.get("objects"), names, left_out)))


def _objects(name: str, given: object, names: Sequence[str], left_out: LeftOut) -> Iterator[LabeledObject]:
    """Objects of an image, of columns or of a list of objects."""
    for number, one in enumerate(_each(name, given, left_out), 1):
        where = f"{name}: object {number}"
        numbers = as_numbers(as_list(one.get("bbox")))
        key = next((key for key in _CLASS_KEYS if one.get(key) is not None), "")
        label = _label(one[key], names) if key else _ONLY_CLASS
        if numbers is None or len(numbers) != 4 or min(numbers[2:]) < 0:
            left_out.add("objects", "without a bbox of x, y, width and height", where)
        elif not label:
            left_out.add("objects", "of a category that has no name", f"{where}: {one[key]!r}")
        else:
            if not key:
                effect = f"read as objects of the class {_ONLY_CLASS!r}"
                left_out.add("objects", "without a category", where, fault=False, effect=effect)
            for other in one.keys() - _READ:
                left_out.add("values", f"in objects.{other}, which are not read", where, fault=False)
            crowd = any(one.get(key) for key in _CROWD_KEYS)
            yield LabeledObject(label, (numbers[0], numbers[1], numbers[2], numbers[3]), crowd=crowd)


def _each(name: str, given: object, left_out: LeftOut) -> list[dict[str, Any]]:
    if isinstance(given, list):
        return [as_dict(one) for one in given]
    columns = {key: value for key, value in as_dict(given).items() if isinstance(value, list)}
    count = len(columns.get("bbox", ()))
    for key in [key for key, values in columns.items() if len(values) != count]:
        left_out.add("columns", "of another length than bbox", f"{name}: objects.{key}")
        del columns[key]
    return [{key: values[i] for key, values in columns.items()} for i in range(count)]


def _label(value: object, names: Sequence[str]) -> str:
    """The name of a class; "" for what is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return as_text(value)
    return str(value) if not names else names[value] if 0 <= value < len(names) else ""


def _class_names(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of the numbers, of the first folder that has some."""
    for folder in dict.fromkeys(folders):
        classes = read_names(folder).classes or _card_names(folder / "README.md")
        if classes:
            return tuple(classes) if isinstance(classes, list) else classes.names
    return ()


def _card_names(card: Path) -> list[str]:
    """The first ``class_label`` in the front matter of a data set's card."""
    import yaml

    try:
        _, mark, rest = read_text(card).partition("---\n")
        known = yaml.safe_load(rest.partition("\n---")[0]) if mark else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    waiting: list[Any] = [known]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, dict):
            names = as_dict(value.get("class_label")).get("names")
            if names:
                return [str(one) for one in (names.values() if isinstance(names, dict) else as_list(names))]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return []
