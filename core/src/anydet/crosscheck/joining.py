"""Two predictions files over one table of images and one of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anydet.adaptation.ensemble.members import Member, Members, lay_over
from anydet.contract.image_columns import image_columns, renumber_classes
from anydet.contract.raw import RawPredictions
from anydet.dataclass import dataclass
from anydet.errors import ContractError
from anydet.text import counted
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file says of the detections that it leaves out.

    Attributes:
        score_threshold: lowest score that was kept, or ``None`` where the file does not say.
        max_detections: most detections an image, or ``None``.
    """

    score_threshold: float | None = None
    max_detections: int | None = None

    @classmethod
    def of(cls, raw: RawPredictions) -> Limits:
        """Those of ``meta.export_settings``."""
        settings: Any = (raw.meta or {}).get("export_settings")
        settings = settings if isinstance(settings, dict) else {}
        threshold, most = (settings.get(name) for name in ("score_threshold", "max_detections"))
        return cls(
            float(threshold) if isinstance(threshold, int | float) else None,
            most if isinstance(most, int) and most > 0 else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Both sides over the same images and classes.

    Attributes:
        a: detections of the first file.
        b: of the second.
        names: what the files are called.
        limits: what each file leaves out.
        lacking: images that a file has no result of, of each file.
    """

    a: DetectionColumns
    b: DetectionColumns
    names: tuple[str, str]
    limits: tuple[Limits, Limits] = (Limits(), Limits())
    lacking: tuple[IntArray, IntArray] = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def join_files(
    raws: Sequence[RawPredictions],
    truth: Callable[[], GroundTruthColumns] | None = None,
    *,
    box_format: str | None = None,
) -> Joined:
    """Lay two files over each other: images by key, classes by name where both state names.

    Args:
        raws: two files.
        truth: gives the data set, for ids of COCO results, and sizes and classes that files do not state.
        box_format: what boxes are in, for files other than COCO results; what each says by default.

    Raises:
        ContractError: the files contradict each other: other classes, other sizes of one image.
    """
    members = lay_over(raws, (1.0, 1.0), truth, box_format)
    a, b = (_columns(members, member) for member in members.files)
    limits = tuple(map(Limits.of, raws))
    lacking = tuple(members.lacking())
    names = raws[0].path, raws[1].path
    return Joined(a, b, names, (limits[0], limits[1]), (lacking[0], lacking[1]))


def require_same_images(joined: Joined) -> None:
    """Raise ``ContractError`` where a file has no result of an image that the other one has."""
    for name, lacking in zip(joined.names, joined.lacking, strict=True):
        if len(lacking):
            raise ContractError(
                f"{name}: no result of {counted(len(lacking), 'image')} that the other file has, such as "
                f"{joined.a.images[int(lacking[0])]}",
                fix="predict the same images with both, or say what such images are: --missing empty "
                "(nothing was found on them) or --missing skip (they are not compared)",
            )


def _columns(members: Members, member: Member) -> DetectionColumns:
    """A file's detections over the common images and classes."""
    raw = member.raw
    there = np.flatnonzero(member.rows >= 0)
    place = np.full(len(raw.images), -1, np.int64)
    place[member.rows[there]] = there
    sizes = np.full((len(raw.images), 2), -1, np.int64)
    sizes[member.rows[there]] = np.where(members.sizes_wh[there] > 0, members.sizes_wh[there], -1)
    columns = raw.columns(member.box_format, sizes)
    about = image_columns(
        {int(place[i]): one for i, one in raw.details.items() if place[i] >= 0}, len(members.images)
    )
    ids = member.class_ids
    return replace(
        columns,
        images=members.images,
        sizes_wh=np.where(members.sizes_wh > 0, members.sizes_wh, -1),
        image_index=place[columns.image_index],
        class_ids=columns.class_ids if ids is None else ids[columns.class_ids],
        classes=members.classes,
        about=about if about is None or ids is None else renumber_classes(about, ids),
    )
