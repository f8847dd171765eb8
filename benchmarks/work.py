"""Evaluation work of any size: COCO ground truth and results with boxes, masks or keypoints.

Half of the detections are near an annotation of their image, of its class more often than not. Files are
written as text, a block at a time, so that fifty million detections need no more memory than one block.

    python benchmarks/work.py FOLDER 5000 36000 500000 bbox 1
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

CLASSES = 80
WIDTH, HEIGHT = 640, 480
_BLOCK = 200_000
_CORNERS = 14
_BODY = np.random.default_rng(17).random((17, 2))
"""Positions of a person's keypoints in its box, in normalized coordinates."""


@dataclass(frozen=True)
class Work:
    """The files of one problem; ``results`` are several where they are sharded."""

    truth: Path
    results: tuple[Path, ...]


@dataclass(frozen=True)
class Objects:
    """Boxes of objects: (N,) image and class, (N, 4) x, y, width, height in pixels."""

    image: Any
    classes: Any
    boxes: Any


def make_work(
    folder: Path, images: int, annotations: int, detections: int, *, iou_type: str = "bbox", shards: int = 1
) -> Work:
    """Write ground truth and results into a folder.

    Args:
        folder: is made where it is not there.
        images: how many.
        annotations: how many, over all images.
        detections: how many, the same number on each image.
        iou_type: what objects have: "bbox", "segm" (polygons and RLEs) or "keypoints" (one class).
        shards: files of results, each with whole images.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    classes = 1 if iou_type == "keypoints" else CLASSES
    image = np.sort(rng.integers(0, images, annotations))
    kinds = (classes * rng.random(annotations) ** 2).astype(np.int64)
    truth = Objects(image, kinds, np.round(_boxes(rng, annotations), 2))
    truth_path = folder / "instances_val.json"
    _write_truth(truth_path, truth, images, classes, iou_type, rng)
    starts = np.searchsorted(image, np.arange(images + 1))
    paths = [folder / ("results.json" if shards == 1 else f"results_{n:03}.json") for n in range(shards)]
    for n, path in enumerate(paths):
        which = np.arange(images * n // shards, images * (n + 1) // shards)
        with path.open("wb") as file:
            _write_list(file, _results(truth, starts, which, detections // images, classes, iou_type, rng))
    return Work(truth_path, tuple(paths))


def _boxes(rng: np.random.Generator, count: int) -> Any:
    """(N, 4) x, y, width, height; sizes log-uniform from 8 to 400 pixels."""
    size = np.exp(rng.uniform(np.log(8), np.log(400), (count, 2)))
    return np.concatenate([rng.random((count, 2)) * np.maximum([WIDTH, HEIGHT] - size, 1), size], axis=1)


def _detect(
    truth: Objects, starts: Any, image: Any, classes: int, rng: np.random.Generator
) -> tuple[Objects, Any]:
    """Detections on the images given, and their scores."""
    counts = np.diff(starts)[image]
    near = (rng.random(len(image)) < 0.5) & (counts > 0)
    target = np.minimum(starts[image] + (rng.random(len(image)) * counts).astype(np.int64), starts[-1] - 1)
    around = truth.boxes[target]
    jitter = around + rng.normal(0, 0.12, around.shape) * np.tile(around[:, 2:], 2)
    boxes = np.where(near[:, None], jitter, _boxes(rng, len(image)))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
    same = near & (rng.random(len(image)) < 0.8)
    kinds = np.where(same, truth.classes[target], rng.integers(0, classes, len(image)))
    scores = np.where(same, rng.beta(2, 2, len(image)), rng.beta(1, 6, len(image)))
    return Objects(image, kinds, np.round(boxes, 2)), np.round(scores, 4)


def _results(  # noqa: PLR0917
    truth: Objects,
    starts: Any,
    images: Any,
    each: int,
    classes: int,
    iou_type: str,
    rng: np.random.Generator,
) -> Iterator[bytes]:
    step = max(1, _BLOCK // max(1, each))
    for first in range(0, len(images), step):
        image = np.repeat(images[first : first + step], each)
        found, scores = _detect(truth, starts, image, classes, rng)
        shapes = _shapes(found, iou_type, rng, truth=False)
        rows = zip(
            (found.image + 1).tolist(),
            (found.classes + 1).tolist(),
            found.boxes.tolist(),
            scores,
            shapes,
            strict=True,
        )
        for m, c, b, s, shape in rows:
            yield b'{"image_id":%d,"category_id":%d,"bbox":[%.2f,%.2f,%.2f,%.2f],"score":%.4f%b}' % (
                m, c, *b, s, shape,
            )  # fmt: skip


def _shapes(objects: Objects, iou_type: str, rng: np.random.Generator, *, truth: bool) -> Iterator[bytes]:
    """What an object has beside its box, as JSON."""
    count = len(objects.image)
    if iou_type == "bbox":
        yield from [b""] * count
    elif iou_type == "segm":
        angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
        for x, y, w, h in objects.boxes.tolist():
            radius = rng.uniform(0.3, 0.5, _CORNERS)
            ring = np.stack(
                [x + w / 2 + w * radius * np.cos(angle), y + h / 2 + h * radius * np.sin(angle)], 1
            )
            ring = np.round(np.clip(ring, 0, [WIDTH, HEIGHT]), 2).ravel().tolist()
            yield b',"segmentation":' + (_polygon(ring) if truth else _rle(ring))
    else:
        for x, y, w, h in objects.boxes.tolist():
            points = np.round((_BODY + rng.normal(0, 0.02, _BODY.shape)) * [w, h] + [x, y], 2).tolist()
            visible = rng.integers(0, 3, 17).tolist() if truth else [2] * 17
            flat = b",".join(b"%.2f,%.2f,%d" % (*p, v) for p, v in zip(points, visible, strict=True))
            counted = b',"num_keypoints":%d' % sum(v > 0 for v in visible) if truth else b""
            yield b',"keypoints":[' + flat + b"]" + counted


def _polygon(ring: list[float]) -> bytes:
    return b"[[" + b",".join(b"%.2f" % value for value in ring) + b"]]"


def _rle(ring: list[float]) -> bytes:
    counts = coco_mask.merge(coco_mask.frPyObjects([ring], HEIGHT, WIDTH))["counts"]
    return b'{"size":[%d,%d],"counts":"%b"}' % (HEIGHT, WIDTH, counts.replace(b"\\", b"\\\\"))


def _write_truth(  # noqa: PLR0917
    path: Path, truth: Objects, images: int, classes: int, iou_type: str, rng: np.random.Generator
) -> None:
    areas = truth.boxes[:, 2] * truth.boxes[:, 3] * rng.uniform(0.4, 1, len(truth.boxes))
    crowd = (rng.random(len(truth.boxes)) < 0.01) * (iou_type == "bbox")
    with path.open("wb") as file:
        file.write(b'{"images":')
        _write_list(
            file,
            (
                b'{"id":%d,"file_name":"%012d.jpg","width":%d,"height":%d}' % (i + 1, i, WIDTH, HEIGHT)
                for i in range(images)
            ),
        )
        file.write(b',"categories":')
        _write_list(file, (b'{"id":%d,"name":"class %d"}' % (i + 1, i) for i in range(classes)))
        file.write(b',"annotations":')
        rows = zip(
            truth.image.tolist(), truth.classes.tolist(), truth.boxes.tolist(), areas.tolist(),
            crowd.tolist(), _shapes(truth, iou_type, rng, truth=True), strict=True,
        )  # fmt: skip
        _write_list(
            file,
            (
                b'{"id":%d,"image_id":%d,"category_id":%d,"bbox":[%.2f,%.2f,%.2f,%.2f],"area":%.2f,"iscrowd":%d%b}'
                % (i, m + 1, c + 1, *b, a, k, shape)
                for i, (m, c, b, a, k, shape) in enumerate(rows, start=1)
            ),
        )
        file.write(b"}")


def _write_list(file: Any, items: Iterator[bytes]) -> None:
    file.write(b"[")
    block: list[bytes] = []
    comma = b""
    for item in items:
        block.append(item)
        if len(block) == _BLOCK:
            file.write(comma + b",".join(block))
            block, comma = [], b","
    file.write((comma + b",".join(block)) if block else b"")
    file.write(b"]")


def main() -> None:
    """``work.py FOLDER IMAGES ANNOTATIONS DETECTIONS IOU_TYPE SHARDS``."""
    folder, images, annotations, detections, iou_type, shards = sys.argv[1:]
    make_work(
        Path(folder), int(images), int(annotations), int(detections), iou_type=iou_type, shards=int(shards)
    )


if __name__ == "__main__":
    main()
