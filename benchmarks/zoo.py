#!/usr/bin/env python3
"""The adapters ``transformers`` beside the library's own pipeline, on the same images, in one run.

    python benchmarks/zoo.py                          # a tiny RT-DETR and one as large as rtdetr_r18vd
    python benchmarks/zoo.py --model yolos --images 8 --rounds 5 --batch 8 --threads 1

Both have the same random weights and give the same scores, which is checked first. The pipeline takes PIL
images with its own ``batch_size``, or one by one where its batches fail (RT-DETR in transformers 5.23: it
cannot take the outputs apart); the adapter takes records of the same pixels. Decoding of files is in neither.
Rounds alternate; the table says the median time of each for one image, and the median ratio of neighbors.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import render_scene
from anydet.types import AdapterSettings, ByteImage
from anydet_transformers.about import About
from anydet_transformers.adapter import Transformers
from anydet_transformers.model import LibraryModel
from anydet_transformers.quiet import quiet
from anydet_transformers.untrained import describe

R18 = {
    "model_type": "rt_detr",
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 64,
        "hidden_sizes": [64, 128, 256, 512],
        "depths": [2, 2, 2, 2],
        "layer_type": "basic",
        "out_indices": [2, 3, 4],
    },
    "encoder_in_channels": [128, 256, 512],
    "hidden_expansion": 0.5,
    "decoder_layers": 3,
    "id2label": {str(row): f"class {row}" for row in range(80)},
}
"""As published: ``PekingU/rtdetr_r18vd``."""
FLOOR = 0.02
Work = Callable[[], object]


def main() -> None:
    """The table, a row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="type, tiny:TYPE or config.json; any number")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    images = [render_scene(6, number, (640, 480)).image for number in range(given.images)]
    print(f"{given.images} images of 640 x 480, batches of {given.batch}, {given.threads} threads")
    print(f"{'model':<22}{'its batch':>10}{'pipeline ms':>13}{'anydet ms':>11}{'ratio':>8}")
    models = {name: describe(name) for name in given.model or ()}
    for name, about in (
        models or {"tiny:rt_detr": describe("tiny:rt_detr"), "rtdetr_r18": describe(R18)}
    ).items():
        with tempfile.TemporaryDirectory() as folder:
            save(about, Path(folder))
            theirs, ours = peers(folder, images, given.batch)
            taken = given.batch
            try:
                theirs()
            except IndexError:  # of the pipeline, where it takes a batch of outputs apart
                taken, (theirs, ours) = 1, peers(folder, images, given.batch, theirs=1)
            require_same(theirs(), ours())
            times = [(timed(theirs), timed(ours)) for _ in range(given.rounds)]
        each = [1000 * statistics.median(column) / len(images) for column in zip(*times, strict=True)]
        ratio = statistics.median(first / second for first, second in times)
        print(f"{name:<22}{taken:>10}{each[0]:>13.2f}{each[1]:>11.2f}{ratio:>7.2f}x", flush=True)


def save(about: About, folder: Path) -> None:
    """A model with random weights, as the library saves it."""
    torch.manual_seed(0)
    with quiet():
        LibraryModel(about).detector.save_pretrained(folder)
        about.image_processor().save_pretrained(folder)


def peers(folder: str, images: list[ByteImage], batch: int, *, theirs: int = 0) -> tuple[Work, Work]:
    """The library's pipeline and the adapter, each as a function of nothing that gives all results."""
    with quiet():
        processor = AutoImageProcessor.from_pretrained(folder)
        pipe = pipeline(
            "object-detection", model=folder, image_processor=processor, batch_size=theirs or batch
        )
    pictures = [Image.fromarray(image) for image in images]
    adapter = Transformers(AdapterSettings(checkpoint=folder, batch_size=batch, score_floor=FLOOR))
    records = [Record(f"{number}.png", ImageArray(image)) for number, image in enumerate(images)]
    return lambda: pipe(pictures, threshold=FLOOR), lambda: list(adapter.predict(records))


def require_same(theirs: object, ours: object) -> None:
    """Both find as many things with the same scores; the pipeline's boxes are whole pixels."""
    for said, found in zip(theirs, ours, strict=True):  # type: ignore[call-overload] # lists, both
        scores = sorted(one["score"] for one in said)
        assert np.allclose(scores, np.sort(found.scores), atol=1e-4), "the pipeline finds something else"


def timed(work: Work) -> float:
    """Seconds of a run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
