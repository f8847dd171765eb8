"""Files that describe a data set stored elsewhere: Ultralytics' ``data.yaml`` and ``dataset.json``."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from anydet.data.coco.dataset import open_file as open_coco
from anydet.data.dataset.folder import find_images, image_splits, is_image, list_keys, open_folder, subfolders
from anydet.data.dataset.locating import find_by_end
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.splits import Split, choose_split
from anydet.data.yolo.data_yaml import NAMES, DataYaml, read_data_yaml, read_names, table_of_names
from anydet.data.yolo.dataset import YoloDataset, label_beside, open_folders
from anydet.errors import AnydetWarning, DatasetError
from anydet.inputs import read_json, read_text, require_text, there_is

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class UltralyticsFormat:
    """``data.yaml`` with ``path``, ``train``, ``val``, ``test`` and ``names``."""

    name = "ultralytics"

    def matches(self, path: Path) -> bool:
        """Whether it is such a file, or a folder with one that names splits and no ``images/<split>``."""
        if path.suffix.lower() in {".yaml", ".yml"}:
            return there_is(path)
        file = _yaml_in(path)
        if file is None or ((path / "images").is_dir() and image_splits(path / "images")):
            return False
        try:
            return bool(read_data_yaml(file).splits)
        except DatasetError:
            return True  # opening it reports what is wrong

    def open(self, path: Path, split: str | None, images: Path | None) -> Dataset:
        """Open one split, which is a folder, a list file, or several of those."""
        file = path if path.is_file() else _yaml_in(path)
        if file is None:
            raise DatasetError(f"{path}: no {' or '.join(NAMES)}", fix="give the file itself")
        data = read_data_yaml(file)
        if images is not None:
            raise DatasetError(f"{file}: names its own image folders", fix="leave out --images")
        if not data.splits:
            raise DatasetError(f"{file}: no train, val or test", fix="add 'val: <folder of images>'")
        chosen = choose_split(file, data.splits, split)
        root = _root(data)
        places = [_place(data, root, chosen.name, place) for place in data.splits[chosen.name]]
        if len(places) == 1 and places[0].is_dir():
            return _open_one(path, root, chosen, places[0], data)
        return _open_listed(path, root, chosen, places, data)


ULTRALYTICS = UltralyticsFormat()


def _yaml_in(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if there_is(folder / name)), None)


def _root(data: DataYaml) -> Path:
    """``path`` as it is, beside the file, or in the working folder; the file's folder without ``path``."""
    folder = data.file.parent.absolute()
    if data.path is None:
        return folder
    tried = [folder / data.path, folder.parent / data.path, Path(data.path).absolute()]
    for root in tried:
        if root.is_dir():
            return Path(os.path.normpath(root))
    if (Path(data.path).is_absolute() or _DRIVE.match(data.path)) and _has_a_split(data, folder):
        warnings.warn(
            f"{data.file}: path: no folder {data.path!r}; its own folder is taken, where a split is",
            AnydetWarning,
            stacklevel=3,
        )
        return folder
    raise DatasetError(
        f"{data.file}: path: no folder {data.path!r} (tried {', '.join(dict.fromkeys(map(str, tried)))})",
        fix="correct 'path' in it, or remove it if the images are beside the file",
    )


def _has_a_split(data: DataYaml, root: Path) -> bool:
    """Whether all places of a split are in a folder."""
    splits = data.splits.values()
    return any(
        all(not Path(one).is_absolute() and (root / one).exists() for one in places) for places in splits
    )


def _place(data: DataYaml, root: Path, split: str, place: str) -> Path:
    """A folder or list file of a split; ``../x`` is also looked for as ``x``, as Roboflow writes it."""
    tried = [root / place, *([root / place[3:]] if place.startswith("../") else [])]
    for path in tried:
        if path.is_dir() or (path.is_file() and path.suffix == ".txt"):
            return Path(os.path.normpath(path))
    raise DatasetError(
        f"{data.file}: {split}: no folder or .txt list {place!r} (tried {', '.join(map(str, tried))})",
        fix="correct it, or 'path'",
    )


def _open_one(opened: Path, root: Path, split: Split, folder: Path, data: DataYaml) -> Dataset:
    """A split that is one folder of images."""
    dataset = _dataset(opened, root, split, data, images_dir=folder, keys=list_keys(folder), limit=folder)
    # What is named decides: label files made from COCO lack crowds, areas and masks, but an annotations file
    # may as well be that of other classes, left there by another project.
    annotations = root / "annotations" / f"instances_{folder.name}.json"
    if there_is(annotations):
        from anydet.data.other_labels import compare_with_annotations

        classes = data.classes.names if data.classes else None
        compare_with_annotations(data.file, classes, len(dataset), annotations)
        unused = annotations.relative_to(root).as_posix()
        return replace(dataset, source=f"{dataset.source} ({unused} not used)")
    return dataset


def _open_listed(opened: Path, root: Path, split: Split, places: list[Path], data: DataYaml) -> YoloDataset:
    """A split of several folders and list files; keys are relative to the folder that holds them all."""
    images: dict[Path, None] = {}
    for place in places:
        found = [place / key for key in list_keys(place)] if place.is_dir() else _listed(place, root)
        images.update(dict.fromkeys(found))
    base = Path(os.path.commonpath([image.parent for image in images]))
    keys = tuple(sorted(image.relative_to(base).as_posix() for image in images))
    trusted = base.is_relative_to(root) or all(place.is_dir() for place in places)
    limit = base if trusted else root  # a list file may name anything, so its images must be in the root
    return _dataset(opened, root, split, data, images_dir=base, keys=keys, limit=limit)


def _listed(file: Path, root: Path) -> list[Path]:
    """The images of a list file; those of another machine are the images in ``root`` that end likewise."""
    paths = read_list(file)
    folder = file.parent.absolute()
    foreign = [path for path in paths if _is_foreign(path, root, folder) and not path.is_file()]
    found = find_by_end(foreign, root) if foreign else {}
    return [found.get(path, path) for path in paths]


def _is_foreign(path: Path, root: Path, folder: Path) -> bool:
    """Whether a path leads out of the data set, or begins with a drive."""
    if not path.is_relative_to(root):
        return True
    return path.is_relative_to(folder) and bool(_DRIVE.match(path.relative_to(folder).as_posix()))


def _dataset(
    opened: Path,
    root: Path,
    split: Split,
    data: DataYaml,
    *,
    images_dir: Path,
    keys: tuple[str, ...],
    limit: Path,
) -> YoloDataset:
    places = ", ".join(data.splits[split.name])
    beside = Path(os.path.commonpath([images_dir, label_beside(images_dir)]))
    return YoloDataset(
        opened,
        split.name,
        split.note,
        images_dir,
        None,
        limit=limit,
        home=root if images_dir.is_relative_to(root) else beside,
        keys=keys,
        names=data,
        source=f"label files of {data.file.name} ({split.name}: {places})",
    )


def read_list(file: Path) -> list[Path]:
    """The images of a list file, one a line; relative ones start at the file's folder.

    Raises ``DatasetError`` with file and line where a line is no image, or nothing is listed.
    """
    images = []
    require_text(file)
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{file}: cannot be read: {exc}", fix="write one image path a line") from exc
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        if not is_image(name.rpartition("/")[2]):
            raise DatasetError(
                f"{file}:{number}: {name!r} is not the path of an image", fix="remove the line"
            )
        images.append(Path(os.path.normpath(file.parent.absolute() / name)))
    if not images:
        raise DatasetError(f"{file}: lists no images", fix="write one image path a line")
    return images


def open_described(path: Path, split: str | None, images: Path | None) -> Dataset:
    """Open the split that a ``dataset.json`` describes, or another that is beside it."""
    file = path / "dataset.json" if path.is_dir() else path
    described = _read_descriptor(file)
    chosen, described = _choose(file, described, split)
    if images is not None:
        described = replace(described, images_dir=images)
    if described.annotations is not None:
        unused = f"{described.labels_dir} not used" if described.labels_dir else ""
        return open_coco(
            described.annotations, root=path, split=chosen, images_dir=described.images_dir, unused=unused
        )
    if described.labels_dir is None:
        return open_folder(path, chosen, described.images_dir)
    return open_folders(path, chosen, described.images_dir, described.labels_dir, names=described.names)


@dataclass(frozen=True, slots=True)
class _Described:
    """Content of a ``dataset.json``, paths resolved."""

    images_dir: Path
    labels_dir: Path | None
    annotations: Path | None
    split: str
    names: DataYaml


def _read_descriptor(file: Path) -> _Described:
    require_text(file)
    try:
        data = msgspec.json.decode(read_json(file))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DatasetError(f"{file}: cannot be read as JSON: {exc}", fix="correct it") from exc
    if not isinstance(data, dict):
        raise DatasetError(f"{file}: expected an object, got {type(data).__name__}", fix="write {...}")
    images_dir = _path(file, data, "images_dir")
    if images_dir is None:
        raise DatasetError(f"{file}: images_dir: missing", fix="add the path of the image folder")
    split = data.get("split") or images_dir.name
    if not isinstance(split, str):
        raise DatasetError(f"{file}: split: expected text, got {split!r}", fix="correct it")
    classes = table_of_names(file, data.get("names") or data.get("classes"))
    labels_dir = _path(file, data, "labels_dir")
    return _Described(
        _below(images_dir, split),
        _below(labels_dir, split) if labels_dir else None,
        _path(file, data, "annotations") or _path(file, data, "instances_json"),
        split,
        DataYaml(file, classes=classes) if classes else read_names(file.parent),
    )


def _path(file: Path, data: dict[str, Any], key: str) -> Path | None:
    value = data.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DatasetError(f"{file}: {key}: expected a path, got {value!r}", fix="correct it")
    return file.parent / value


def _below(folder: Path, split: str) -> Path:
    """``folder/split`` where that is a folder, as some writers name the folder of all splits."""
    return folder / split if folder.name != split and (folder / split).is_dir() else folder


def _choose(file: Path, described: _Described, wanted: str | None) -> tuple[Split, _Described]:
    """The split described, or a sibling of that name."""
    parent = described.images_dir.parent
    siblings = subfolders(parent) if described.images_dir.name == described.split else []
    available = {described.split, *(name for name in siblings if any(find_images(parent / name)))}
    if wanted in {None, described.split}:
        return choose_split(file, available, described.split), described
    chosen = choose_split(file, available, wanted)
    labels, annotations = described.labels_dir, described.annotations
    if annotations is not None:
        sibling = annotations.with_name(annotations.name.replace(described.split, chosen.name))
        annotations = sibling if sibling != annotations and there_is(sibling) else None
    return chosen, replace(
        described,
        images_dir=described.images_dir.with_name(chosen.name),
        labels_dir=labels.with_name(chosen.name) if labels else None,
        annotations=annotations,
        split=chosen.name,
    )
