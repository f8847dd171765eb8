"""What records say of whole images, as columns of the ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anydet.data.record.class_mask import ClassMask, ClassMaskColumn
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.types import ImageColumns

_CLASS_KEY = "classification"


@dataclass(slots=True)
class ImageNotes:
    """Collects camera, class mask and class of records as they go by; keeps nothing else of them.

    The class of an image is its ``extra["classification"]["class_id"]``, as the predictions contract has it.
    """

    _cameras: list[tuple[float, ...]] = field(default_factory=list)
    _masks: list[ClassMask | None] = field(default_factory=list)
    _class_ids: list[int] = field(default_factory=list)

    def note(self, record: Record) -> None:
        """The next image; raises ``DatasetError`` where its class is malformed."""
        camera = record.camera
        self._cameras.append((camera.fx, camera.fy, camera.cx, camera.cy) if camera else (np.nan,) * 4)
        self._masks.append(record.class_mask)
        self._class_ids.append(image_class(record))

    def columns(self) -> ImageColumns | None:
        """What was noted; ``None`` where that is nothing."""
        cameras, class_ids = np.array(self._cameras).reshape(-1, 4), np.array(self._class_ids, np.int64)
        found = ImageColumns(
            class_ids=class_ids if (class_ids >= 0).any() else None,
            semantic_masks=ClassMaskColumn(tuple(self._masks)) if any(self._masks) else None,
            cameras=cameras if np.isfinite(cameras).any() else None,
        )
        known = found.class_ids, found.semantic_masks, found.cameras
        return None if all(column is None for column in known) else found


def image_class(record: Record) -> int:
    """What the image as a whole shows, -1 where unknown; raises ``DatasetError`` where it is malformed."""
    given = record.extra.get(_CLASS_KEY)
    if given is None:
        return -1
    class_id = given.get("class_id") if isinstance(given, dict) else None
    if not isinstance(class_id, int) or isinstance(class_id, bool) or class_id < 0:
        raise DatasetError(
            f"image {record.key}: {_CLASS_KEY}: {given!r} is not a class",
            fix=f'write "{_CLASS_KEY}": {{"class_id": 3}} into its sidecar',
        )
    return class_id
