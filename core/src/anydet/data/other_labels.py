"""Labels of one data set in two places: a warning that says which were taken where they disagree."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from anydet.data.dataset.table import ImageTable
from anydet.errors import AnydetWarning, DatasetError
from anydet.inputs import read_json
from anydet.text import counted, listed

_NAMED = 3


def compare_with_label_files(taken: Path, table: ImageTable, labels_dir: Path, root: Path) -> None:
    """Warn where label files that are not read differ from the annotations file that is.

    Args:
        taken: the annotations file.
        table: what is in it.
        labels_dir: folder of the label files.
        root: folder whose ``data.yaml`` or ``classes.txt`` names their classes.
    """
    from anydet.data.yolo.data_yaml import read_names

    try:
        named = read_names(root)
    except DatasetError:
        return  # nobody needs that file here
    classes = named.classes.names if named.classes else None
    differences = list(_in_names(table.classes.names if table.classes else None, classes, named.file.name))
    files = _count(labels_dir)
    # An image without objects may have an empty file or none.
    if not _with_objects(table) <= files <= len(table):
        differences.append(f"{counted(files, 'label file')} for {counted(len(table), 'image')}")
    if differences:
        warnings.warn(
            f"{taken}: taken; {labels_dir} holds label files that disagree with it: "
            f"{'; '.join(differences)}; to use those, name their data.yaml as the data set",
            AnydetWarning,
            stacklevel=2,
        )


def compare_with_annotations(
    taken: Path, names: Sequence[str] | None, images: int, annotations: Path
) -> None:
    """Warn where an annotations file that is not read differs from the label files that are.

    Args:
        taken: the ``data.yaml``.
        names: its classes, if it has any.
        images: how many images the split has.
        annotations: the file.
    """
    import msgspec

    try:
        content = msgspec.json.decode(read_json(annotations))
        others = tuple(category["name"] for category in sorted(content["categories"], key=_id))
        count = len(content["images"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return  # nobody needs that file here
    differences = list(_in_names(others, names, taken.name))
    if count != images:
        differences.append(f"it has {counted(count, 'image')}, the split {images}")
    if differences:
        warnings.warn(
            f"{taken}: taken, with its label files; {annotations} disagrees with it: "
            f"{'; '.join(differences)}; to use that, name it as the data set",
            AnydetWarning,
            stacklevel=2,
        )


def _id(category: dict[str, int]) -> int:
    return category["id"]


def _in_names(first: Sequence[str] | None, second: Sequence[str] | None, name: str) -> Iterator[str]:
    """How the classes of an annotations file and those of label files differ."""
    if first is None or second is None or tuple(first) == tuple(second):
        return
    ours, theirs = sorted(set(first) - set(second)), sorted(set(second) - set(first))
    if not ours and not theirs:
        yield f"{name} has the {len(first)} classes in another order"
        return
    only = [f"{who} alone has {listed(some, _NAMED)}" for who, some in (("it", ours), (name, theirs)) if some]
    yield f"{len(first)} classes against {len(second)} of {name} ({', '.join(only)})"


def _with_objects(table: ImageTable) -> int:
    """Images that have an annotation that is no crowd, which label files lack."""
    image_index = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    return len(np.unique(image_index[~table.labels.iscrowd]))


def _count(folder: Path) -> int:
    names = (name.lower() for _, _, files in os.walk(folder) for name in files)
    return sum(name.endswith(".txt") and name != "classes.txt" for name in names)
