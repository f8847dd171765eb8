"""Pictures of images on which two sets of predictions differ: A at the left, B at the right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anydet.contract.join import KeyIndex
from anydet.crosscheck.parity import Parity, images_row
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.report.files import picture_paths, save_png
from anydet.report.lettering import caption
from anydet.report.marks import DASHED, SOLID, Mark, pictured_name
from anydet.report.overlay import draw_scaled, shown_size
from anydet.report.palette import PALETTE, Color
from anydet.report.sheet import Panel, put_beside
from anydet.types import ByteImage, ClassTable, DetectionColumns, IntArray

_ALONE, _CHANGED, _SAME = PALETTE[5], PALETTE[3], (150, 150, 150)
"""Colors of detections without partner, beyond a tolerance, and within all."""


def draw_worst(parity: Parity, dataset: Dataset, folder: Path, most: int) -> list[Path]:
    """Draw the images with most failures, one PNG each; those that the data set does not have are left out.

    Detections without partner are vermilion, those beyond a tolerance yellow, the others dashed gray;
    those that were not compared are not drawn.

    Args:
        parity: both sides.
        dataset: has the images.
        folder: where the pictures go.
        most: images to draw.

    Raises:
        ImageError: an image cannot be read.
    """
    index, images = KeyIndex(dataset.keys), parity.joined.a.images
    worst = [(image, index.find(images[image])) for image in parity.worst_images(most).tolist()]
    there = [(image, found[0]) for image, found in worst if len(found) == 1]
    records = [dataset[at] for _, at in there]
    paths = picture_paths(folder, [images[image] for image, _ in there], (r.path for r in records))
    for (image, _), record, path in zip(there, records, paths, strict=True):
        save_png(draw_difference(parity, image, record), path)
    return list(paths)


def draw_difference(parity: Parity, image: int, record: Record) -> ByteImage:
    """(H, W, 3) uint8 picture of one image: A, and B beside it.

    Args:
        parity: both sides.
        image: position among their images.
        record: has its pixels.

    Raises:
        ImageError: it cannot be read.
    """
    pixels = record.image()
    size_wh = shown_size((pixels.shape[1], pixels.shape[0]))
    a, b, changed = parity.joined.a, parity.joined.b, parity.changed
    counts = images_row(parity, image)
    panels = []
    for side, same, alone, beyond, name, count in (
        (
            a,
            [parity.pairs.a, parity.excused_a],
            parity.only_a,
            parity.pairs.a[changed],
            parity.joined.names[0],
            counts[1],
        ),
        (
            b,
            [parity.pairs.b, parity.excused_b],
            parity.only_b,
            parity.pairs.b[changed],
            parity.joined.names[1],
            counts[2],
        ),
    ):
        marks = _marks(side, image, np.concatenate([*same, alone]), alone, beyond)
        text = f"{Path(name).name}: {count} alone, {counts[3]} beyond tolerance"
        panels.append(Panel(draw_scaled(pixels, marks, size_wh), text))
    return caption(put_beside(panels), a.images[image])


def _marks(
    side: DetectionColumns, image: int, compared: IntArray, alone: IntArray, beyond: IntArray
) -> list[Mark]:
    """The compared detections of an image; those with a failure on top, and they alone have tags."""
    colors: dict[int, Color] = dict.fromkeys(beyond[side.image_index[beyond] == image].tolist(), _CHANGED)
    colors |= dict.fromkeys(alone[side.image_index[alone] == image].tolist(), _ALONE)
    classes = None if side.classes is None else ClassTable(side.classes)
    rows = compared[side.image_index[compared] == image]
    marks = []
    for row in sorted(rows.tolist(), key=lambda r: (r in colors, side.scores[r])):
        name = pictured_name(int(side.class_ids[row]), classes)
        marks.append(
            Mark(
                box_xyxy_px=xywh_to_xyxy(side.boxes_xywh_px[row : row + 1])[0],
                color=colors.get(row, _SAME),
                text=f"{name} {side.scores[row]:.3f}" if row in colors else "",
                name=name,
                mask=None if side.masks is None or row not in colors else side.masks[row],
                keypoints=None,
                line=SOLID if row in colors else DASHED,
            )
        )
    return marks
