#!/usr/bin/env python3
"""Predictions of Ultralytics' exports, by its own code and by ours, on the same images.

    python benchmarks/ultralytics_exports.py --images data/coco128/images/train2017 --count 5

Weights are random, drawn so that scores and boxes spread; the models are of one class, exported at 160x160 by
Ultralytics, and predicted with its defaults (score 0.25, IoU 0.7). Compared are scores, boxes, keypoints and
corners of oriented boxes, of all detections with a part inside the image.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import ultralytics
import yaml
from PIL import Image
from ultralytics import YOLO

from anydet.data.record.pixels import ImageFile
from anydet.data.record.record import Record
from anydet.plugins.manager import Plugins
from anydet.types import ImagePredictions

MODELS = {
    "pose": ("yolo11-pose", "n", False),
    "pose, NMS inside": ("yolo11-pose", "n", True),
    "pose, YOLO26": ("yolo26-pose", "n", False),
    "oriented boxes": ("yolo11-obb", "n", False),
    "oriented boxes, NMS inside": ("yolo11-obb", "n", True),
    "YOLOv3-tiny": ("yolov3-tiny", None, False),
}
"""Name -> configuration, scale, and whether NMS is in the file."""
_SIDE = 160


def spread(model: YOLO, layer: torch.nn.Conv2d, picture: torch.Tensor, bias: float, std: float) -> None:
    """Draw the weights of a last layer so that its numbers have this mean and deviation on a picture."""
    found: list[float] = []
    torch.nn.init.normal_(layer.weight)
    layer.bias.data[:] = 0
    hook = layer.register_forward_hook(lambda _layer, _inputs, output: found.append(float(output.std())))
    with torch.no_grad():
        model.model.eval()(picture)
    hook.remove()
    layer.weight.data *= std / found[0] if found and found[0] > 0 else 1
    layer.bias.data[:] = bias


def export(name: str, scale: str | None, picture: torch.Tensor, folder: Path, *, nms: bool) -> Path:
    """A file of random weights, as Ultralytics writes it."""
    source = next(Path(ultralytics.__file__).parent.rglob(f"{name}.yaml"))
    config = {**yaml.safe_load(source.read_text("utf-8")), "nc": 1, **({"scale": scale} if scale else {})}
    path = folder / f"{name}{'-nms' if nms else ''}.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    torch.manual_seed(0)
    model = YOLO(path)
    head = model.model.model[-1]
    for branch, bias, std in (
        ("cv3", -1.2, 1.6),
        ("one2one_cv3", -1.2, 1.6),
        ("cv4", 0, 1),
        ("one2one_cv4", 0, 1),
    ):
        for layers in getattr(head, branch, None) or ():
            if isinstance(layers[-1], torch.nn.Conv2d):
                spread(model, layers[-1], picture, bias, std)
    return Path(model.export(format="onnx", imgsz=_SIDE, simplify=False, opset=17, nms=nms, conf=0.1))


def gaps(theirs: object, ours: ImagePredictions) -> tuple[int, float]:
    """Detections that have no counterpart, and the largest distance in pixels of those that have."""
    oriented = theirs.obb is not None  # type: ignore[attr-defined]
    found = theirs.obb if oriented else theirs.boxes  # type: ignore[attr-defined]
    boxes = found.xyxy.numpy().astype(np.float64)
    rows = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    lacking, furthest = abs(len(rows) - len(ours)), 0.0
    for row in rows:
        alike = np.flatnonzero(np.abs(ours.scores - float(found.conf[row])) < 1e-4)
        if not len(alike):
            lacking += 1
            continue
        if oriented:
            corners = ours.keypoints[alike, :, :2]  # type: ignore[index]
            turned = [np.roll(corners[:, ::way], shift, axis=1) for shift in range(4) for way in (1, -1)]
            gap = np.abs(np.array(turned) - found.xyxyxyxy[row].numpy()).max(axis=(2, 3)).min()
        else:
            each = np.abs(ours.boxes_xyxy_px[alike] - boxes[row]).max(axis=1)
            gap = each.min()
            if theirs.keypoints is not None:  # type: ignore[attr-defined]
                points = ours.keypoints[alike[each.argmin()]]  # type: ignore[index]
                wanted = theirs.keypoints.data[row].numpy()  # type: ignore[attr-defined]
                # Ultralytics sets unlikely points to 0, and moves those beyond the image to its border.
                shown = (points[:, 2] >= 0.5) & (points[:, :2] > 0).all(axis=1)
                shown &= (points[:, :2] < np.array(ours.size_wh)).all(axis=1)
                gap = max(gap, np.abs(points - wanted)[shown].max(initial=0))
        furthest = max(furthest, float(gap))
    return lacking, furthest


def main() -> None:
    """Print a line a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    paths = sorted(given.images.resolve().glob("*.jpg"))[: given.count]
    pixels = np.asarray(Image.open(paths[0]).convert("RGB").resize((_SIDE, _SIDE)))
    picture = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
    plugins = Plugins(only=["onnxruntime"])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # Ultralytics writes its exports to where it is run
        for title, (name, scale, nms) in MODELS.items():
            with contextlib.redirect_stdout(io.StringIO()):
                file = export(name, scale, picture, Path(folder), nms=nms)
                peer = YOLO(file, task="pose" if "pose" in name else "obb" if "obb" in name else "detect")
            settings = plugins.settings("onnxruntime", checkpoint=str(file), score_floor=0.25)
            count, lacking, furthest = 0, 0, 0.0
            with plugins.adapter("onnxruntime", settings) as adapter:
                preset = adapter.notes.details["preset"]
                for path in paths:
                    theirs = peer.predict(path, imgsz=_SIDE, rect=False, verbose=False)[0]
                    (ours,) = adapter.predict([Record(path.name, ImageFile(path))])
                    more, far = gaps(theirs, ours)
                    count, lacking, furthest = count + len(ours), lacking + more, max(furthest, far)
            print(f"{title:28} {preset:26} {count:5} found  {lacking} without counterpart  {furthest:.2g} px")


if __name__ == "__main__":
    main()
