"""``ChangedDataset``: a data set whose images are changed when they are read, and its labels with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from anydet.columns import concatenate
from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.record.pixels import Pixels
from anydet.data.record.record import Record
from anydet.scenarios.changes import Change
from anydet.scenarios.warp import Warp
from anydet.types import (
    ByteImage,
    FloatArray,
    GroundTruthColumns,
    ImageColumns,
    IntArray,
    Intrinsics,
    Labels,
    Size,
)

LEAST_VISIBLE = 0.3
"""Fraction of an object that must be left in a changed image for it to count."""


@dataclass(frozen=True, slots=True, eq=False)
class ChangedPixels:
    """Pixels of a record, changed.

    Attributes:
        pixels: the source's.
        change: what is done to them.
        key: of the record.
        labels: of the source.
        camera: of the source, or ``None``.
    """

    pixels: Pixels
    change: Change
    key: str
    labels: Labels
    camera: Intrinsics | None

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB; raises ``ImageError`` as the source does."""
        return self.change.image(self.pixels.read(), self.key, self.labels, self.camera)

    def size_wh(self) -> Size:
        """(width, height) of the source, which it is here too."""
        return self.pixels.size_wh()


@dataclass(frozen=True, eq=False)
class ChangedDataset(DatasetView):
    """Another data set with changed images; keys and sizes stay, and labels follow what moves.

    Attributes:
        change: what is done to the images.
        least_visible: fraction of an object that must be left in its image for it to count.
    """

    change: Change
    least_visible: float = LEAST_VISIBLE

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, {self.change!r}"

    def record(self, position: int) -> Record:
        """The record with changed pixels and labels, and no file that holds them."""
        record, labels = self.dataset[position], self._source_labels(position)
        warp = self._warp(position)
        pixels = ChangedPixels(record.pixels, self.change, record.key, labels, self._camera(position))
        changed = replace(record, pixels=pixels, path=None, labels=labels)
        if warp is None:
            return changed
        moved = warp.labels(labels, self.least_visible)
        return replace(changed, labels=moved, camera=warp.camera, class_mask=None, depth_path=None)

    def fingerprint(self) -> str:
        """``sha256:...`` of the other data set and the change."""
        found = Fingerprint()
        found.add(self.dataset.fingerprint())
        found.add(repr(self.change))
        found.add(repr(self.least_visible))
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` changed images."""
        if not self.change.moves:
            return self.dataset.ground_truth(max_images)
        truth = self._source if max_images is None else self.dataset.ground_truth(max_images)
        warps = [self._warp(position) for position in range(len(truth.images))]
        each = [
            self._source_labels(position)
            if warp is None
            else warp.labels(self._source_labels(position), self.least_visible)
            for position, warp in enumerate(warps)
        ]
        return replace(
            truth,
            sizes_wh=np.array([self._size_wh(i) for i in range(len(each))], np.int64).reshape(-1, 2),
            image_index=np.repeat(np.arange(len(each)), [len(one) for one in each]),
            labels=concatenate(each) if each else truth.labels,
            about=None if truth.about is None else _moved(truth.about, warps),
        )

    @cached_property
    def _source(self) -> GroundTruthColumns:
        return self.dataset.ground_truth()

    @cached_property
    def _rows(self) -> list[IntArray]:
        """Rows of each image's annotations."""
        index = self._source.image_index
        order = np.argsort(index, kind="stable")
        ends = np.searchsorted(index[order], np.arange(1, len(self._source.images)))
        return np.split(order, ends)

    def _source_labels(self, position: int) -> Labels:
        return self._source.labels.take(self._rows[position])

    def _size_wh(self, position: int) -> Size:
        width, height = self._source.sizes_wh[position].tolist()
        return (width, height) if width > 0 else self.dataset[position].size_wh

    def _camera(self, position: int) -> Intrinsics | None:
        about = self._source.about
        row = None if about is None or about.cameras is None else about.cameras[position]
        return None if row is None or not np.isfinite(row).all() else Intrinsics(*row.tolist())

    def _warp(self, position: int) -> Warp | None:
        if not self.change.moves:
            return None
        key = self.dataset.keys[position]
        return self.change.warp(key, self._size_wh(position), self._camera(position))


def _moved(about: ImageColumns, warps: list[Warp | None]) -> ImageColumns:
    """What is known of the images as wholes, where they were moved."""
    semantic = about.semantic_masks
    return replace(
        about,
        semantic_masks=None
        if semantic is None
        else tuple(
            found if warp is None or found is None else warp.semantic(found)
            for found, warp in zip(semantic, warps, strict=True)
        ),
        cameras=None if about.cameras is None else _cameras(about.cameras, warps),
    )


def _cameras(cameras: FloatArray, warps: list[Warp | None]) -> FloatArray:
    moved: FloatArray = cameras.copy()
    for row, warp in enumerate(warps):
        if warp is not None and warp.camera is not None:
            moved[row] = warp.camera.fx, warp.camera.fy, warp.camera.cx, warp.camera.cy
    return moved
