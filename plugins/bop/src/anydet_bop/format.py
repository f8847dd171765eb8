"""BOP data sets: ``<split>/000001/rgb/000002.png`` beside ``000001/scene_gt.json``, and ``models/``.

Source: bop_toolkit, ``docs/bop_datasets_format.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from anydet.data.dataset.folder import is_image, subfolders
from anydet.data.dataset.splits import Split, choose_split
from anydet.errors import DatasetError
from anydet.types import ClassTable, ObjectModel
from anydet_bop.dataset import BopDataset, BopImage
from anydet_bop.files import CAMERA_FILE, TRUTH_FILE, SceneImage, read_scene
from anydet_bop.models import find_models, model_names, read_models

_IMAGE_FOLDERS = ("rgb", "gray")


class BopFormat:
    """A folder of splits, or a split, which is a folder of scenes called by their numbers."""

    name = "bop"

    def matches(self, path: Path) -> bool:
        """Whether there is a scene in it, or in one of its folders."""
        return path.is_dir() and bool(_scenes(path) or _splits(path))

    def open(self, path: Path, split: str | None, images: Path | None) -> BopDataset:
        """Open one split.

        Raises:
            DatasetError: that names file, image and object of what is malformed or missing.
        """
        if _scenes(path):
            path = path.absolute()  # which has a name, and a folder above it
            path, chosen = path.parent, choose_split(path, [path.name], split or path.name)
        else:
            chosen = choose_split(path, _splits(path), split)
        return _open_split(path, chosen, images)

    def read_models(self, folder: Path) -> dict[int, ObjectModel]:
        """The models of a folder by object id, in meters; see ``models.read_models``."""
        return read_models(folder)


FORMAT = BopFormat()


def _open_split(root: Path, split: Split, images_dir: Path | None) -> BopDataset:
    split_dir, models_file = root / split.name, find_models(root)
    images_dir = images_dir or split_dir
    images = tuple(
        BopImage(f"{scene}/{name}", stated)
        for scene in _scenes(split_dir)
        for stated, name in _image_names(images_dir / scene, read_scene(split_dir / scene))
    )
    numbers = {one.number for image in images for one in image.stated.objects or ()}
    names = model_names(models_file) if models_file else {n: f"obj_{n:06d}" for n in sorted(numbers)}
    if missing := sorted(numbers - names.keys()):
        raise DatasetError(
            f"{split_dir}: objects {', '.join(map(str, missing))} are not in {models_file}",
            fix="add their models",
        )
    classes = ClassTable(tuple(names.values()), tuple(names))
    return BopDataset(root, split.name, split.note, split_dir, images_dir, images, classes, models_file)


def _image_names(scene: Path, stated: Sequence[SceneImage]) -> Iterator[tuple[SceneImage, str]]:
    """Each image and its name below the scene; one that is not there is called as BOP would."""
    folder = next((name for name in _IMAGE_FOLDERS if (scene / name).is_dir()), _IMAGE_FOLDERS[0])
    files = [file.name for file in (scene / folder).iterdir()] if (scene / folder).is_dir() else []
    there = {
        stem: name for name in sorted(files) if is_image(name) and (stem := name.split(".")[0]).isdecimal()
    }
    found = {int(stem): name for stem, name in there.items()}
    return ((image, f"{folder}/{found.get(image.number, f'{image.number:06d}.png')}") for image in stated)


def _scenes(folder: Path) -> list[str]:
    """Folders called by a number that hold a file of a scene."""
    with os.scandir(folder) as entries:
        numbered = sorted(entry.name for entry in entries if entry.name.isdecimal())
    # A number alone is no evidence: other data sets have numbered folders, too.
    files = (CAMERA_FILE, TRUTH_FILE)
    return [name for name in numbered if any((folder / name / file).is_file() for file in files)]


def _splits(root: Path) -> list[str]:
    return [name for name in subfolders(root) if _scenes(root / name)]
