"""``BopDataset``: images of objects in known poses.

Boxes are those of what is seen (``bbox_visib`` of ``scene_gt_info.json``), as masks and detectors have them;
where a scene lacks that file, those around the projected vertices, cut off at the image's edges. BOP does not
evaluate an object of which less than ``MIN_VISIBLE`` is seen, so that it counts as COCO's crowds do: to find
it is neither right nor wrong. One of which nothing is seen is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path

import numpy as np

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.columns import columns_of_records
from anydet.data.dataset.oddities import Oddity
from anydet.data.object_models import join_models
from anydet.data.record.containment import ContainedImage
from anydet.data.record.depth import SCALE_KEY
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.geometry.boxes import clip_xyxy, xyxy_to_xywh
from anydet.geometry.pose_errors import move, pose, project
from anydet.inputs import read_file
from anydet.types import (
    ClassTable,
    FloatArray,
    GroundTruthColumns,
    Intrinsics,
    Labels,
    ObjectModel,
    Poses,
    Size,
)
from anydet_bop.files import SceneImage, SceneObject
from anydet_bop.layout import CAMERA_FILE, INFO_FILE, TRUTH_FILE
from anydet_bop.mask_files import MaskFileColumn
from anydet_bop.models import read_models

MIN_VISIBLE = 0.1
"""Visible fraction of a silhouette below which BOP does not evaluate an object."""
_MASKS, _DEPTH = "mask_visib", "depth"


@dataclass(frozen=True, slots=True, eq=False)
class BopImage:
    """One image: its key below the split, its entries in the scene's files, and the size that they state."""

    key: str
    stated: SceneImage
    size_wh: Size | None = None

    @property
    def scene(self) -> str:
        """Folder of its scene below the split."""
        return self.key.split("/")[0]


@dataclass(frozen=True, slots=True, eq=False)
class BopDataset(BaseDataset):
    """Images with poses; the other attributes are those of ``Dataset``.

    ``Record.extra`` holds ``scene_id``, ``im_id``, ``depth_scale`` (millimeters of one unit of the depth map,
    for ``depth.depth_map_m``) and ``visibility`` (visible fraction of each object).

    Attributes:
        split_dir: folder of the scenes.
        images_dir: folder that the keys are relative to: ``split_dir``, unless the user named another.
        images: by scene and number.
        classes: the objects by number, and their names where ``models_info.json`` gives any.
        models_file: ``models_info.json``, or ``None`` where there is none.
        oddities: rotations that were not orthonormal.
    """

    root: Path
    split: str
    note: str
    split_dir: Path
    images_dir: Path
    images: tuple[BopImage, ...]
    classes: ClassTable
    models_file: Path | None
    oddities: tuple[Oddity, ...] = ()
    _models: dict[int, ObjectModel] = field(default_factory=dict, init=False, repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """``000001/rgb/000002.png``, ..."""
        return tuple(image.key for image in self.images)

    @property
    def source(self) -> str:
        """Where poses come from."""
        return f"BOP {self.split_dir.name}/*/{TRUTH_FILE}" if self._labeled() else "none"

    def record(self, position: int) -> Record:
        """An image with what its scene states of it."""
        return self._record(self.images[position])

    def annotations_of_all(self) -> Iterator[bytes | None]:
        """The files of each scene."""
        for scene in dict.fromkeys(image.scene for image in self.images):
            for name in (CAMERA_FILE, TRUTH_FILE, INFO_FILE):
                file = self.split_dir / scene / name
                yield read_file(file) if file.is_file() else None

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations, cameras and models of the first ``max_images`` images.

        Sizes come from the images' headers; of images that are not there, from ``scene_gt_coco.json`` or
        ``camera.json``.

        Raises:
            DatasetError: no scene has annotations, or a model is malformed.
        """
        if not self._labeled():
            raise DatasetError(
                f"{self.root}: {self.note}: no scene has a {TRUTH_FILE}",
                fix="choose another split with --split",
            )
        records = map(self._record, self.images[:max_images])
        sized = ((record, record.size_wh) for record in records)
        columns = columns_of_records(sized, self.classes, self.source)
        objects = join_models(self.models(), self.classes) if self.models_file else None
        return replace(columns, objects=objects)

    def models(self) -> dict[int, ObjectModel]:
        """The models by number, read on first use; none where there is no ``models_info.json``."""
        if self.models_file is not None and not self._models:
            self._models.update(read_models(self.models_file.parent))
        return self._models

    def _labeled(self) -> bool:
        return any(image.stated.objects is not None for image in self.images)

    def _record(self, image: BopImage) -> Record:
        stated, scene = image.stated, self.split_dir / image.scene
        pixels = ContainedImage(self.images_dir, image.key)
        depth = next((file for file in _named(scene / _DEPTH, stated.number) if file.is_file()), None)
        path = self.images_dir / image.key
        record = Record(
            image.key,
            pixels,
            path=path,
            # Of a file that is there its own size counts: one camera.json may stand for several sensors.
            stated_wh=None if path.is_file() else image.size_wh,
            camera=stated.camera,
            depth_path=depth,
            extra={"scene_id": int(image.scene), "im_id": stated.number, SCALE_KEY: stated.depth_scale},
        )
        if stated.objects is None:
            return record
        boxes = np.array([self._box(record, one) for one in stated.objects], np.float64).reshape(-1, 4)
        shown = np.flatnonzero((boxes[:, 2:] > 0).all(axis=1)).tolist()
        objects = [stated.objects[row] for row in shown]
        files = tuple(_mask_file(scene, stated.number, row) for row in shown)
        extra = {**record.extra, "visibility": [one.visibility for one in objects]}
        return replace(record, labels=self._labels(objects, boxes[shown], files), extra=extra)

    def _box(self, record: Record, one: SceneObject) -> FloatArray | tuple[float, ...]:
        """(4,) x, y, width, height of what is seen of an object, without size where nothing is."""
        if one.visible_xywh_px is not None:
            return one.visible_xywh_px
        model = self.models().get(one.number)
        if model is None or record.camera is None:
            raise DatasetError(
                f"{self.split_dir / record.key}: object {one.number}: it has no box, as there is neither "
                f"{INFO_FILE} nor {CAMERA_FILE} with a model",
                fix=f"add {INFO_FILE} to the scene, or models/ to {self.root}",
            )
        return _projected_box(model, one, record.camera, record.size_wh)

    def _labels(
        self, objects: Sequence[SceneObject], boxes: FloatArray, files: tuple[Path | None, ...]
    ) -> Labels:
        ids = {number: class_id for class_id, number in enumerate(self.classes.source_ids)}
        sides = boxes[:, 2:].prod(axis=1).tolist()
        areas = [
            side if one.visible_px is None else one.visible_px
            for one, side in zip(objects, sides, strict=True)
        ]
        return Labels(
            class_ids=np.array([ids[one.number] for one in objects], np.int64),
            boxes_xywh_px=boxes,
            areas=np.array(areas, np.float64),
            iscrowd=np.array([one.visibility < MIN_VISIBLE for one in objects], np.bool_),
            segmentations=MaskFileColumn(files) if any(files) else None,
            poses=Poses(
                rotations=np.array([one.rotation for one in objects]).reshape(-1, 3, 3),
                translations_m=np.array([one.translation_m for one in objects]).reshape(-1, 3),
            ),
        )


def _projected_box(model: ObjectModel, one: SceneObject, camera: Intrinsics, size_wh: Size) -> FloatArray:
    """(4,) x, y, width, height around the projected vertices, cut off at the image's edges."""
    points = move(pose(one.rotation, one.translation_m), model.points_m)
    # A vertex behind the camera would be projected to the mirrored side of the image.
    if points[:, 2].min() <= 0:  # it surrounds the camera, or is behind it
        return np.zeros(4)
    spots = project(points, camera)
    corners = np.concatenate([spots.min(axis=0), spots.max(axis=0)])[None]
    box: FloatArray = xyxy_to_xywh(clip_xyxy(corners, size_wh))[0]
    return box


def _mask_file(scene: Path, number: int, row: int) -> Path | None:
    file = scene / _MASKS / f"{number:06d}_{row:06d}.png"
    return file if file.is_file() else None


def _named(folder: Path, number: int) -> Iterator[Path]:
    return (folder / f"{number:06d}{suffix}" for suffix in (".png", ".tif"))
