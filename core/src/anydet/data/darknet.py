"""Darknet's and labelImg's YOLO: label files beside their images, and ``obj.data``.

- ``a.jpg`` with ``a.txt`` and ``classes.txt`` in one folder (labelImg), or in ``train/``, ``valid/``,
  ``test/``;
- ``obj.data`` with ``train``, ``valid`` and ``names``: lists of images, and a file with a class a line
  (Darknet, CVAT's YOLO export).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.errors import DatasetError
from anydet.inputs import first_files, there_is

if TYPE_CHECKING:
    from anydet.data.yolo.data_yaml import DataYaml
    from anydet.data.yolo.dataset import YoloDataset

_DATA = ("obj.data", "darknet.data")
_NAMES = ("classes.txt", "obj.names", "_darknet.labels", "classes.names", "darknet.labels")
_SPLIT_KEYS = ("train", "valid", "val", "test")
_FEW = 200
"""Images of a folder whose label files are looked for: some images may show nothing."""


class DarknetFormat:
    """A folder of images with label files beside them, its list of classes, or ``obj.data``."""

    name = "darknet"

    def matches(self, path: Path) -> bool:
        """Whether it is such a folder or file; a text file is one where it names the classes."""
        if path.is_file():
            named = path.name in _NAMES and _has_labels(path.parent)
            return (path.suffix.lower() == ".data" and _data_of(path) is not None) or named
        return path.is_dir() and (_data_in(path) is not None or bool(_folders(path)))

    def open(self, path: Path, split: str | None, images: Path | None) -> YoloDataset:
        """Open one split; ``images`` is the folder whose images have label files beside them."""
        from anydet.data.yolo.data_yaml import DataYaml

        file = _data_in(path) if path.is_dir() else path if path.suffix.lower() == ".data" else None
        if file is not None:
            return _open_data(path, file, split, images)
        root = path if path.is_dir() else path.parent
        folders = {"": images} if images is not None else _folders(root)
        chosen = UNSPLIT if set(folders) == {""} and split is None else choose_split(path, folders, split)
        folder = folders[chosen.name]
        names = next((one for base in (folder, root) if (one := _names_in(base)) is not None), None)
        return _beside(path, chosen, folder, names or DataYaml(folder / _NAMES[0]))

    def naming(self, path: Path) -> Path:
        """What to name in place of a folder that has other layouts, too: the list of classes."""
        folders = (path, *_folders(path).values())
        files = [folder / name for folder in folders for name in (*_DATA, *_NAMES)]
        return next((file for file in files if there_is(file)), path)


FORMAT = DarknetFormat()


def _folders(root: Path) -> dict[str, Path]:
    """Split -> folder of images with label files beside them; "" for the folder itself."""
    if _has_labels(root):
        return {"": root}
    inner = {name: root / name for name in (*SPLITS, "test") if _has_labels(root / name)}
    single = root / "images"
    return inner or ({"": single} if _has_labels(single) else {})


def _has_labels(folder: Path) -> bool:
    """Whether one of the first images of a folder has a label file beside it."""
    from anydet.data.record.pixels import SUFFIXES

    images = first_files(folder, SUFFIXES, _FEW)
    return any(_is_label_file(image.with_suffix(suffix)) for image in images for suffix in (".txt", ".TXT"))


def _is_label_file(file: Path) -> bool:
    """Whether a text file begins with a line ``class cx cy w h``, or of more numbers."""
    from anydet.inputs import read_text

    try:
        words = read_text(file).split("\n", 1)[0].split() if file.is_file() else []
        numbers = [float(word) for word in words]
    except (OSError, ValueError):
        return False
    return len(numbers) >= 5 and numbers[0] == int(numbers[0]) >= 0


def _beside(opened: Path, split: Split, folder: Path, names: DataYaml) -> YoloDataset:
    from anydet.data.dataset.folder import list_keys
    from anydet.data.yolo.dataset import YoloDataset

    return YoloDataset(
        opened,
        split.name,
        split.note,
        folder,
        folder,
        limit=folder,
        home=folder,
        keys=list_keys(folder),
        names=names,
        source=f"label files beside the images{f' of {split.name}' if split.name else ''}",
    )


def _names_in(folder: Path) -> DataYaml | None:
    """Classes of a folder: of its ``data.yaml``, or one a line of a file of names."""
    from anydet.data.yolo.data_yaml import read_name_list, read_names

    for name in _NAMES:
        if there_is(folder / name):
            return read_name_list(folder / name)
    found = read_names(folder)
    return found if found.classes else None


def _data_in(folder: Path) -> Path | None:
    return next((file for name in _DATA if there_is(file := folder / name) and _data_of(file)), None)


def _data_of(file: Path) -> dict[str, str] | None:
    """``key = value`` of a Darknet file that names a split; ``None`` for other files."""
    from anydet.inputs import read_text

    try:
        lines = [line.partition("=") for line in read_text(file).splitlines()]
    except (OSError, UnicodeDecodeError):
        return None
    found = {key.strip(): value.strip().replace("\\", "/") for key, sign, value in lines if sign}
    return found if any(found.get(key) for key in _SPLIT_KEYS) else None


def _open_data(opened: Path, file: Path, wanted: str | None, images: Path | None) -> YoloDataset:
    """A split that ``obj.data`` names: a list of images, label files beside them or below ``labels``."""
    from anydet.data.descriptor import read_list
    from anydet.data.yolo.data_yaml import DataYaml, read_name_list
    from anydet.data.yolo.dataset import YoloDataset

    if images is not None:
        raise DatasetError(f"{file}: its lists name the images", fix="leave out --images")
    data, root = _data_of(file) or {}, file.parent.absolute()
    splits = {key: data[key] for key in _SPLIT_KEYS if data.get(key)}
    chosen = choose_split(file, splits, wanted)
    names = DataYaml(file)
    if data.get("names"):
        names = read_name_list(_found(file, root, data["names"], "names"))
    listed = read_list(_found(file, root, splits[chosen.name], chosen.name))
    paths = sorted({_image(root, path) for path in listed})
    base = Path(os.path.commonpath([path.parent for path in paths]))
    return YoloDataset(
        opened,
        chosen.name,
        chosen.note,
        base,
        None,
        limit=base if base.is_relative_to(root) else root,
        home=root,
        keys=tuple(path.relative_to(base).as_posix() for path in paths),
        names=replace(names, file=file),
        source=f"label files of {file.name} ({chosen.name}: {splits[chosen.name]})",
    )


def _found(file: Path, root: Path, place: str, key: str) -> Path:
    """A file that ``obj.data`` names from the folder of Darknet: ``data/train.txt`` may lie beside it."""
    path = _at_root(root, Path(place))
    if path is None:
        raise DatasetError(
            f"{file}: {key}: no file {place!r} below {root}", fix="put the file there, or correct the path"
        )
    return path


def _image(root: Path, path: Path) -> Path:
    """An image of a list, whose paths start where Darknet runs and not at the list."""
    if path.is_file():
        return path
    return _at_root(root, path) or path


def _at_root(root: Path, place: Path) -> Path | None:
    """The file with the longest end of a path that is below ``root``."""
    parts = place.parts[1:] if place.is_absolute() else place.parts
    tried = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in tried if path.is_file()), None)
