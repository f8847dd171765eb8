#!/usr/bin/env python3
"""Sliced inference beside that of the package sahi: same model, images, slices and NMS, AP and time of a run.

    python benchmarks/slicing.py --dataset coco128 --checkpoint nanodet_m_320_coco80.onnx --preset nanodet
    python benchmarks/slicing.py ... --size 320 --overlap 0.2 --max-images 32

sahi runs the model through a ``DetectionModel`` around the very adapter that ours runs, so that session,
preprocessing and decoding are the same; both look at the whole image, too, read it themselves, and predict
batches of the same size. Slices are as many and as large in both; where they stand differs: sahi's are a
fixed step apart but for the last, ours at equal distances. "same NMS" is IoU 0.5 in both, "own default" is
what each recommends: sahi's GREEDYNMM by overlap with the smaller box, our wbf. Seconds are of the CPU,
without start-up, image by image in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction

import anydet
from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import read_tta
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.recipe import Recipe
from anydet.types import ImagePredictions

LIMITS = Limits(0.001, 100)


class Sliced(DetectionModel):
    """An open adapter as sahi's model; batches as the adapter has them."""

    def __init__(self, adapter: Adapter) -> None:
        self.calls = 0
        super().__init__(model=adapter, confidence_threshold=LIMITS.score_threshold)

    def set_model(self, model: Any, **_kwargs: Any) -> None:
        """Take the adapter."""
        self.model = model

    def perform_inference(self, image: np.ndarray) -> None:
        """Predict one image."""
        self.perform_batch_inference([image])

    def perform_batch_inference(self, images: list[np.ndarray]) -> None:
        """Predict several at once."""
        self.calls += len(images)
        records = [Record(str(i), ImageArray(np.ascontiguousarray(image))) for i, image in enumerate(images)]
        self._original_predictions = list(self.model.predict(records))

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        found = self._original_predictions
        shifts = _each(shift_amount_list, len(found)) or [[0, 0]] * len(found)
        shapes = _each(full_shape_list, len(found)) or [None] * len(found)
        self._object_prediction_list_per_image = [
            list(self._objects(one, shift, shape))
            for one, shift, shape in zip(found, shifts, shapes, strict=True)
        ]

    def _objects(self, found: ImagePredictions, shift: Any, shape: Any) -> Iterator[ObjectPrediction]:
        width, height = found.size_wh
        boxes = np.clip(found.boxes_xyxy_px, 0, [width, height, width, height])
        for box, score, class_id in zip(
            boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True
        ):
            if score >= self.confidence_threshold and box[2] > box[0] and box[3] > box[1]:
                yield ObjectPrediction(
                    bbox=box,
                    score=score,
                    category_id=class_id,
                    category_name=str(class_id),
                    shift_amount=shift,
                    full_shape=shape,
                )


def _each(given: Any, count: int) -> Any:
    """One value an image: sahi gives a single image's without the list."""
    return [given] if given is not None and count == 1 and not isinstance(given[0], list) else given


def theirs(model: Sliced, record: Record, size: int, overlap: float, **settings: Any) -> ImagePredictions:
    """What sahi finds on an image."""
    found = get_sliced_prediction(
        str(record.path),
        model,
        slice_height=size,
        slice_width=size,
        overlap_height_ratio=overlap,
        overlap_width_ratio=overlap,
        verbose=0,
        batch_size=model.model.settings.batch_size,
        **settings,
    ).object_prediction_list
    boxes = np.array([one.bbox.to_xyxy() for one in found], np.float64).reshape(-1, 4)
    scores = np.array([one.score.value for one in found], np.float64)
    class_ids = np.array([one.category.id for one in found], np.int64)
    return LIMITS.apply(ImagePredictions(record.key, record.size_wh, boxes, scores, class_ids))


def ours(pipeline: Pipeline, record: Record) -> ImagePredictions:
    """What our pipeline finds on an image."""
    ((found,),) = pipeline.run([record])
    return found


def measure(
    runs: dict[str, Callable[[Record], ImagePredictions]], records: Iterable[Callable[[], Record]]
) -> dict[str, tuple[float, list[ImagePredictions]]]:
    """CPU seconds and results of each, image by image in turn."""
    seconds = dict.fromkeys(runs, 0.0)
    results: dict[str, list[ImagePredictions]] = {name: [] for name in runs}
    for fresh in records:
        for name, run in runs.items():
            record = fresh()
            start = time.process_time()
            results[name].append(run(record))
            seconds[name] += time.process_time() - start
    return {name: (seconds[name], results[name]) for name in runs}


def main() -> None:
    """Run all four on all images, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--size", type=int, default=320, help="side of a slice in pixels")
    parser.add_argument("--overlap", type=float, default=0.2)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-images", type=int)
    arguments = parser.parse_args()
    plugins = Plugins.from_env()
    dataset = anydet.open_dataset(arguments.dataset)
    count = min(len(dataset), arguments.max_images or len(dataset))
    shared: dict[str, Any] = {"checkpoint": arguments.checkpoint, "batch_size": arguments.batch_size}
    options = {"preset": arguments.preset, "threads": 1}
    views = f"original,slice:{arguments.size}:{arguments.overlap}"
    adapter = anydet.load_adapter("onnxruntime", options=options, **shared)
    model = Sliced(adapter)
    sahi = partial(theirs, model, size=arguments.size, overlap=arguments.overlap)
    recipe = anydet.make_recipe("onnxruntime", options=options, limits=LIMITS, **shared)

    def pipeline(fusion: str, **fusing: float) -> Pipeline:
        tta = read_tta(views, plugins, fusion=fusion, options={fusion: fusing})
        return Recipe(recipe.adapter, recipe.settings, LIMITS, tta, workers=1).open(plugins)

    same, default = pipeline("nms", iou_threshold=0.5), pipeline("wbf")
    greedy = {"postprocess_type": "GREEDYNMM", "postprocess_match_metric": "IOS"}
    runs: dict[str, Callable[[Record], ImagePredictions]] = {
        "sahi, same NMS": partial(sahi, postprocess_type="NMS", postprocess_match_metric="IOU"),
        "anydet, same NMS": partial(ours, same),
        "sahi, own default": partial(sahi, **greedy, force_postprocess_type=True),
        "anydet, own default": partial(ours, default),
    }
    found = measure(runs, [partial(dataset.__getitem__, i) for i in range(count)])
    print(
        f"{count} images, slices of {arguments.size} px, overlap {arguments.overlap}, "
        f"{arguments.checkpoint.name}"
    )
    print("| run | AP | AP50 | APs | APm | APl | CPU s |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for name, (seconds, results) in found.items():
            path = Path(temporary) / "p.json"
            write_predictions(map(encode_entry, results), path)
            metrics = anydet.evaluate(dataset, path, max_images=arguments.max_images).metrics
            numbers = " | ".join(
                "" if metrics[key] is None else f"{metrics[key]:.4f}"
                for key in ("AP", "AP50", "APs", "APm", "APl")
            )
            print(f"| {name} | {numbers} | {seconds:.1f} |")
    for kind in ("same NMS", "own default"):
        ratio = found[f"anydet, {kind}"][0] / found[f"sahi, {kind}"][0]
        print(f"{kind}: anydet takes {ratio:.2f} of sahi's time")
    for one in (same, default):
        one.close()
    adapter.close()


if __name__ == "__main__":
    main()
