"""Opening one split of a BOP data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from anydet.data.dataset.folder import is_image
from anydet.data.dataset.oddities import Found, warn_of
from anydet.data.dataset.splits import Split
from anydet.errors import DatasetError
from anydet.types import ClassTable
from anydet_bop.dataset import BopDataset, BopImage
from anydet_bop.files import SceneImage, camera_size, read_scene, read_sizes
from anydet_bop.layout import IMAGE_FOLDERS, find_scenes
from anydet_bop.models import find_models, model_names


def open_split(root: Path, split: Split, images_dir: Path | None) -> BopDataset:
    """The images of a split's scenes; raises ``DatasetError`` as ``BopFormat.open``."""
    split_dir, models_file = root / split.name, find_models(root)
    images_dir = images_dir or split_dir
    found, common = Found(), camera_size(root)
    images = tuple(
        BopImage(f"{scene}/{name}", stated, sizes.get(stated.number, common))
        for scene in find_scenes(split_dir)
        for sizes in (read_sizes(split_dir / scene),)
        for stated, name in _image_names(images_dir / scene, read_scene(split_dir / scene, found))
    )
    warn_of(found.listed(), split_dir)
    numbers = {one.number for image in images for one in image.stated.objects or ()}
    names = model_names(models_file) if models_file else {n: f"obj_{n:06d}" for n in sorted(numbers)}
    if missing := sorted(numbers - names.keys()):
        raise DatasetError(
            f"{split_dir}: objects {', '.join(map(str, missing))} are not in {models_file}",
            fix="add their models",
        )
    classes = ClassTable(tuple(names.values()), tuple(names))
    return BopDataset(
        root, split.name, split.note, split_dir, images_dir, images, classes, models_file, found.listed()
    )


def _image_names(scene: Path, stated: Sequence[SceneImage]) -> Iterator[tuple[SceneImage, str]]:
    """Each image and its name below the scene; one that is not there is called as BOP would."""
    folder = next((name for name in IMAGE_FOLDERS if (scene / name).is_dir()), IMAGE_FOLDERS[0])
    files = [file.name for file in (scene / folder).iterdir()] if (scene / folder).is_dir() else []
    there = {
        stem: name for name in sorted(files) if is_image(name) and (stem := name.split(".")[0]).isdecimal()
    }
    found = {int(stem): name for stem, name in there.items()}
    return ((image, f"{folder}/{found.get(image.number, f'{image.number:06d}.png')}") for image in stated)
