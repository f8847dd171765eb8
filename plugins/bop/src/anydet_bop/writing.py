"""Write pose scenes as BOP lays them out: scenes of 1000 images, masks, depth, and models in millimeters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anydet.data.record.depth import WRITTEN_SCALE, write_depth
from anydet.data.writing.images import Report, check_split
from anydet.errors import OptionError
from anydet.geometry import masks
from anydet.outputs import new_folder
from anydet.types import BoolArray, Intrinsics
from anydet_bop.files import HALF_PIXEL, METERS
from anydet_bop.layout import CAMERA_FILE, INFO_FILE, TRUTH_FILE
from anydet_bop.model_writing import write_models
from anydet_bop.models import INFO, model_names
from anydet_bop.scenes.dataset import PoseScenes
from anydet_bop.scenes.scene import PoseScene
from anydet_bop.scenes.solids import CLASSES, solids

SCENE_IMAGES = 1000
"""Images in one scene's folder, as in BOP's own rendered sets."""


def write_bop(dataset: PoseScenes, root: Path, split: str = "train", *, report: Report | None = None) -> None:
    """Write one split, and ``models/``; ``root`` may hold other splits of such scenes already.

    Args:
        dataset: the scenes.
        root: folder of the data set.
        split: name of the split.
        report: called with 1 after each image.

    Raises:
        OptionError: the split is there already, or models of other objects.
    """
    check_split(split)
    if (root / split).exists():
        raise OptionError(f"{root / split}: already there", fix="name another split, or another folder")
    _write_models(root / "models")
    with new_folder(root / split) as folder:
        for first in range(0, len(dataset), SCENE_IMAGES):
            indices = range(first, min(first + SCENE_IMAGES, len(dataset)))
            _write_scene(dataset, indices, folder / f"{first // SCENE_IMAGES:06d}", report)


def _write_models(folder: Path) -> None:
    """The models, unless another split has brought them."""
    names = dict(zip(CLASSES.source_ids, CLASSES.names, strict=True))
    if not folder.exists():
        with new_folder(folder) as empty:
            write_models(empty, dict(zip(CLASSES.source_ids, solids(), strict=True)))
    elif not (folder / INFO).is_file() or model_names(folder / INFO) != names:
        raise OptionError(f"{folder}: models of other objects are there", fix="name another folder")


def _write_scene(dataset: PoseScenes, indices: range, folder: Path, report: Report | None) -> None:
    files: dict[str, dict[str, Any]] = {CAMERA_FILE: {}, TRUTH_FILE: {}, INFO_FILE: {}}
    for number, index in enumerate(indices):
        scene = dataset.scene(index)
        _write_image(dataset[index].image(), folder / "rgb" / f"{number:06d}.png")
        write_depth(folder / "depth" / f"{number:06d}.png", scene.depth_m())
        for position, one in enumerate(scene.objects):
            name = f"{number:06d}_{position:06d}.png"
            _write_image(_gray(one.surface.mask(scene.image_wh)), folder / "mask" / name)
            _write_image(_gray(scene.mask(position)), folder / "mask_visib" / name)
        files[CAMERA_FILE][str(number)] = {"cam_K": _matrix(scene.camera), "depth_scale": WRITTEN_SCALE}
        files[TRUTH_FILE][str(number)] = _truths(scene)
        files[INFO_FILE][str(number)] = _infos(scene)
        if report is not None:
            report(1)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")


def _truths(scene: PoseScene) -> list[dict[str, Any]]:
    return [
        {
            "obj_id": CLASSES.source_ids[one.class_id],
            "cam_R_m2c": one.rotation.ravel().tolist(),
            # BOP has millimeters, anydet meters.
            "cam_t_m2c": (one.translation_m / METERS).tolist(),
        }
        for one in scene.objects
    ]


def _infos(scene: PoseScene) -> list[dict[str, Any]]:
    """BOP's counts; ``px_count_valid`` is of pixels of the silhouette whose depth is known."""
    infos = []
    for position, (one, visibility) in enumerate(
        zip(scene.objects, scene.visibility().tolist(), strict=True)
    ):
        mask = scene.mask(position)
        depth_known = one.surface.mask(scene.image_wh) & (scene.view.owners >= 0)
        infos.append(
            {
                "bbox_obj": one.surface.bounds_xywh.astype(int).tolist(),
                "bbox_visib": masks.bounds_xywh(masks.encode(mask)).astype(int).tolist(),
                "px_count_all": one.surface.pixels,
                "px_count_valid": int(np.count_nonzero(depth_known)),
                "px_count_visib": int(np.count_nonzero(mask)),
                "visib_fract": visibility,
            }
        )
    return infos


def _matrix(camera: Intrinsics) -> list[float]:
    """``cam_K`` row by row; in BOP, whole pixel coordinates are the centers of pixels."""
    return [camera.fx, 0.0, camera.cx - HALF_PIXEL, 0.0, camera.fy, camera.cy - HALF_PIXEL, 0.0, 0.0, 1.0]


def _gray(mask: BoolArray) -> Any:
    return mask.astype(np.uint8) * 255


def _write_image(pixels: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)
