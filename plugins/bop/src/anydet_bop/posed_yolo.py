"""Write pose scenes in YOLO's layout, with sidecars that hold camera, poses and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.record.depth import SCALE_KEY, WRITTEN_SCALE, write_depth
from anydet.data.record.record import Record
from anydet.data.writing.images import Report, check_split, write_images
from anydet.data.writing.yolo import yolo_labels, yolo_lines, yolo_split
from anydet.data.yolo.data_yaml import DataYaml, yaml_text
from anydet.types import FloatArray
from anydet_bop.model_writing import write_models
from anydet_bop.scenes.dataset import PoseScenes
from anydet_bop.scenes.solids import CLASSES, solids


def write_posed_yolo(
    dataset: PoseScenes, root: Path, split: str = "val", *, report: Report | None = None
) -> None:
    """``images/<split>``, ``labels/<split>/*.txt`` and ``.json``, ``depth/<split>``, ``models``.

    Models are as BOP has them: ``anydet eval --models ROOT`` measures with them.

    Args:
        dataset: the scenes.
        root: new or empty folder, or one that was written so and lacks this split.
        split: name of the split.
        report: called with 1 after each image.

    Raises:
        OptionError: ``root`` is a folder of something else, of other classes, or has the split.
    """
    check_split(split)
    with yolo_split(root, split, CLASSES.names, "depth") as folder:
        if not (root / "models").is_dir():
            write_models(folder / "models", dict(zip(CLASSES.source_ids, solids(), strict=True)))
        for index, record in enumerate(write_images(dataset, folder / "images" / split, report, copy=False)):
            label = (folder / "labels" / split / record.key).with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(yolo_lines(record), "utf-8")
            depth = f"depth/{split}/{record.key}"
            write_depth(folder / depth, dataset.scene(index).depth_m())
            content = {**sidecar(record), "depth_path": depth, SCALE_KEY: WRITTEN_SCALE}
            label.with_suffix(".json").write_text(json.dumps(content), "utf-8")
        names = DataYaml(folder / "data.yaml", classes=CLASSES)
        names.file.write_text(yaml_text(split, names, root), "utf-8")


def sidecar(record: Record) -> dict[str, Any]:
    """Size, camera, poses and ``extra`` of a record, as ``load_sidecar`` reads them.

    Poses are those of the label lines, one each.
    """
    width, height = record.size_wh
    content: dict[str, Any] = {"image_hw": [height, width], **record.extra}
    camera = record.camera
    if camera is not None:
        content["intrinsics"] = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    poses = yolo_labels(record).poses
    if poses is not None:
        columns = {"R_gt": poses.rotations, "t_gt": poses.translations_m}
        content |= {
            key: _rows(column) for key, column in columns.items() if column is not None and len(column)
        }
    return content


def _rows(column: FloatArray) -> list[Any]:
    """Rows as lists, ``None`` where one is not known."""
    return [row.tolist() if np.isfinite(row).all() else None for row in column]
