"""COCO semantic JSON: annotations whose masks cover the pixels, one for each class that an image shows.

The layout is that of instances; files called ``stuff_<split>.json`` (COCO-Stuff) or ``semantic_<split>.json``
are read so. Where annotations overlap, the smallest is on top; pixels in none are not labeled. An image's
``category_id``, which the format does not ask for, is the class of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from anydet.data.coco.image_class import class_of_image
from anydet.data.coco.reading import read_coco
from anydet.data.dataset.table import ImageTable
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.inputs import read_json
from anydet.types import IntArray, Labels, Size


class _Image(msgspec.Struct, gc=False):
    file_name: str
    category_id: int | str | None = None


class _File(msgspec.Struct):
    images: list[_Image]


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedMask:
    """Classes of the pixels that annotations cover.

    Attributes:
        labels: annotations of one image.
        size_wh: (width, height) of the image.
    """

    labels: Labels
    size_wh: Size

    def read(self) -> IntArray:
        """(H, W) class of each pixel, -1 where no annotation is."""
        classes = np.full(self.size_wh[::-1], -1, np.int64)
        segmentations = self.labels.segmentations or ()
        # The largest first, so that smaller ones are drawn over it.
        for row in np.argsort(-self.labels.areas, kind="stable").tolist():
            rle = masks.as_rle(segmentations[row], self.size_wh) if len(segmentations) else None
            if rle is not None:
                classes[masks.decode(rle)] = self.labels.class_ids[row]
        return classes


def read_semantic(file: Path) -> ImageTable:
    """The images of a file; raises ``DatasetError`` where it is malformed."""
    table = read_coco(file)
    class_ids = _image_classes(file, table)
    masks = tuple(_mask(file, table, image) for image in range(len(table)))
    return replace(table, class_ids=class_ids, class_masks=masks)


def _mask(file: Path, table: ImageTable, image: int) -> AnnotatedMask:
    size, labels = table.stated_wh(image), table.labels_of(image)
    if size is None or labels is None:
        raise DatasetError(
            f"{file}: image {table.keys[image]} has no width and height",
            fix="write them: masks are drawn in its size",
        )
    return AnnotatedMask(labels, size)


def _image_classes(file: Path, table: ImageTable) -> IntArray:
    """(I,) class of each image, -1 where the file has none."""
    try:
        images = msgspec.json.decode(read_json(file), type=_File).images
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DatasetError(f"{file}: {exc}", fix="give category_id of images as an id of categories") from exc
    class_of = {source: i for i, source in enumerate(table.classes.own_ids if table.classes else ())}
    # By name: images that cannot be read are not in the table.
    found = {
        one.file_name.replace("\\", "/"): class_of_image(file, one.file_name, one.category_id, class_of)
        for one in images
    }
    return np.array([found.get(name, -1) for name in table.files or table.keys], np.int64)
