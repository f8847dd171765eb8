"""Files of YOLO data sets: labels that no image has or that two images have, and hidden images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from anydet.data.dataset.folder import find_hidden_images
from anydet.data.dataset.protocols import Dataset
from anydet.data.inspection.finding import DatasetFinding, some
from anydet.data.yolo.dataset import YoloDataset


def inspect_label_files(dataset: Dataset) -> Iterator[DatasetFinding]:
    """What the names of label files show; nothing of a data set that has none."""
    if not isinstance(dataset, YoloDataset):
        return
    images: dict[Path, list[str]] = defaultdict(list)
    for key in dataset.keys:
        images[dataset.label_file(key)].append(key)
    several = [
        f"{label}: {' and '.join(keys)}"
        for label, keys in images.items()
        if len(keys) > 1 and label.is_file()
    ]
    if several:
        yield DatasetFinding(
            "broken",
            "shared label files",
            len(several),
            "label files of several images, which differ in the suffix alone: each gets all of its labels",
            some(several),
            "rename the images, and give each its own labels",
        )
    hidden = sorted(find_hidden_images(dataset.images_dir))
    if hidden:
        yield DatasetFinding(
            "warning",
            "hidden images",
            len(hidden),
            "image files whose name begins with a dot, as that of hidden files: left out, with their labels",
            some(hidden),
            "rename them, and their label files, or remove both",
        )
    stems = {PurePosixPath(name).stem for name in hidden}
    lost = [file for file in dataset.lost_label_files() if file.stem not in stems]
    if lost:
        yield DatasetFinding(
            "broken" if not any(label.is_file() for label in images) else "warning",
            "labels without image",
            len(lost),
            "label files whose image is not in the split: they are not read",
            some(lost),
            "add the images, or remove the label files",
        )
