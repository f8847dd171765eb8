"""What our pipeline costs: against a bare loop of the same steps, and against the loop that people write.

- "bare": the same decoding, preprocessing, model and decoding of outputs, one after the other in a plain
  loop: what is left of ours is the pipeline around them (streams, checks, limits, one object an image).
- "usual": the loop that people write: ONNX Runtime, Pillow, numpy, and greedy suppression in numpy class by
  class. It finds the same detections, which is checked.

All take the same images in blocks, in turn, and ratios are of each block: a busy machine slows all alike. CPU
seconds are those of this process, all threads.

    python benchmarks/pipeline_overhead.py --dataset ../shared/data/coco128 --models ../shared/data/models
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from PIL import Image

import anydet
from anydet.data.record.record import Record
from anydet.geometry.placement import Placement
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.runtime.adapter import RuntimeAdapter
from anydet.runtime.layouts.candidates import Decoder
from anydet.runtime.preprocess import place
from anydet.types import ImagePredictions

MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}
LIMITS = Limits(score_threshold=0.001, max_detections=100)
CANDIDATES = 3000
Loop = Callable[[Sequence[Record]], list[ImagePredictions]]


def ours(adapter: RuntimeAdapter) -> Loop:
    """The pipeline as an export runs it, with one thread that decodes ahead."""
    pipeline = Pipeline(adapter, LIMITS, workers=1)
    return lambda records: [one for chunk in pipeline.run(records) for one in chunk]


def bare(adapter: RuntimeAdapter) -> Loop:
    """The same steps without a pipeline."""
    model, decoding, preprocessor = adapter._model, adapter._decoding, adapter._preprocessor

    def run(records: Sequence[Record]) -> list[ImagePredictions]:
        found = []
        for record in records:
            inputs, (placement,) = preprocessor.batch([record.image()])
            (outputs,) = model.run(inputs)
            decoder: Any = adapter._decoder(
                model.signature(tuple(o.shape for o in outputs)), placement.input_wh
            )
            one = decoding.result(record, decoder, outputs, placement, most=LIMITS.max_detections)
            found.append(LIMITS.apply(one))
        return found

    return run


def usual(adapter: RuntimeAdapter, path: Path) -> Loop:
    """What a person writes by hand for one model, with the formulas of its own project for boxes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    how, nms_iou = adapter._preset.preprocess, adapter._decoding.nms_iou
    assert nms_iou is not None
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (how.mean, how.std))
    reading = adapter._model.reading
    assert reading is not None
    decoder: Any = adapter._decoder(reading.signature, how.size_wh)

    def run(records: Sequence[Record]) -> list[ImagePredictions]:
        found = []
        for record in records:
            image = np.array(Image.open(str(record.path)).convert("RGB"))
            placement = place((image.shape[1], image.shape[0]), how)
            canvas = np.full((how.size_wh[1], how.size_wh[0], 3), how.pad_value, np.uint8)
            width, height = placement.content_wh
            (x, y), small = placement.offset_xy, cv2.resize(image, (width, height))
            canvas[y : y + height, x : x + width] = small
            if how.channels == "bgr":
                canvas = canvas[:, :, ::-1]
            tensor = canvas.transpose(2, 0, 1).astype(np.float32)
            tensor = np.ascontiguousarray((tensor / np.float32(how.divisor) - mean) / std)[None]
            outputs = session.run(None, {name: tensor})
            outputs = [output[0] for output in outputs] if reading.batched else outputs
            found.append(selected(record, decoder, outputs, placement, nms_iou))
        return found

    return run


def selected(
    record: Record, decoder: Decoder, outputs: Sequence[Any], placement: Placement, nms_iou: float
) -> ImagePredictions:
    """Threshold, the best candidates, then suppression in each class: a loop over boxes."""
    scores = decoder.scores(outputs)
    rows, classes = np.nonzero(scores >= LIMITS.score_threshold)
    values = scores[rows, classes].astype(np.float64)
    best = np.sort(np.argsort(-values, kind="stable")[:CANDIDATES])
    rows, classes, values = rows[best], classes[best], np.clip(values[best], 0, 1)
    boxes = placement.to_image(decoder.boxes(outputs, rows))
    width, height = placement.image_wh
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    inside = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[0]
    boxes, classes, values = boxes[inside], classes[inside], values[inside]
    kept: list[int] = []
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        kept += members[numpy_nms(boxes[members], values[members], nms_iou)].tolist()
    order = np.array(sorted(kept, key=lambda i: (-values[i], i))[: LIMITS.max_detections], np.int64)
    return ImagePredictions(record.key, placement.image_wh, boxes[order], values[order], classes[order])


def numpy_nms(boxes: Any, scores: Any, iou_threshold: float) -> list[int]:
    """Greedy suppression, the way it is written down everywhere since Fast R-CNN's ``py_cpu_nms``."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while order.size:
        i = order[0]
        keep.append(int(i))
        xx1, yy1 = np.maximum(x1[i], x1[order[1:]]), np.maximum(y1[i], y1[order[1:]])
        xx2, yy2 = np.minimum(x2[i], x2[order[1:]]), np.minimum(y2[i], y2[order[1:]])
        inter = np.maximum(0.0, xx2 - xx1) * np.maximum(0.0, yy2 - yy1)
        iou = inter / (areas[i] + areas[order[1:]] - inter)
        order = order[1:][iou <= iou_threshold]
    return keep


def same(first: Sequence[ImagePredictions], second: Sequence[ImagePredictions]) -> bool:
    """Whether all boxes, scores and classes are equal, to rounding of the last digits."""
    return all(
        len(a) == len(b)
        and np.allclose(a.boxes_xyxy_px, b.boxes_xyxy_px, atol=1e-6)
        and np.allclose(a.scores, b.scores, atol=1e-9)
        and np.array_equal(a.class_ids, b.class_ids)
        for a, b in zip(first, second, strict=True)
    )


def race(loops: dict[str, Loop], records: Sequence[Record], block: int, rounds: int) -> dict[str, Any]:
    """(blocks, 2) seconds of the clock and of the processors of each loop."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    names = list(loops)
    parts = [records[i : i + block] for i in range(0, len(records), block)] * rounds
    for number, part in enumerate(parts):
        for i in range(len(names)):
            name = names[(i + number) % len(names)]
            wall, cpu = time.perf_counter(), time.process_time()
            loops[name](part)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.array(values) for name, values in times.items()}


def ratio(first: Any, second: Any) -> str:
    """Median of the blocks' ratios, with the quartiles."""
    found = np.percentile(first / second, [50, 25, 75])
    return f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the three model files")
    parser.add_argument("--max-images", type=int, default=128)
    parser.add_argument("--block", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    dataset = anydet.open_dataset(arguments.dataset)
    records = [dataset[i] for i in range(min(len(dataset), arguments.max_images))]
    print(f"{len(records)} images, {arguments.rounds} rounds, blocks of {arguments.block}, 1 thread a model")
    print("| model | ours: CPU ms an image | ours / bare: CPU | wall | usual / ours: CPU | wall | same |")
    print("|---|---|---|---|---|---|---|")
    for preset, file in MODELS.items():
        path = arguments.models / file
        adapter: Any = anydet.load_adapter(
            "onnxruntime",
            checkpoint=path,
            options={"preset": preset, "threads": 1},
            score_floor=LIMITS.score_threshold,
        )
        loops = {"ours": ours(adapter), "bare": bare(adapter), "usual": usual(adapter, path)}
        results = {name: loop(records[:16]) for name, loop in loops.items()}
        equal = all(same(results["ours"], other) for other in results.values())
        times = race(loops, records, arguments.block, arguments.rounds)
        base = times["ours"]
        cells = [ratio(base[:, which], times["bare"][:, which]) for which in (1, 0)]
        cells += [ratio(times["usual"][:, which], base[:, which]) for which in (1, 0)]
        milliseconds = 1000 * base[:, 1].sum() / (len(records) * arguments.rounds)
        print(f"| {file} | {milliseconds:.1f} | {' | '.join(cells)} | {'yes' if equal else 'NO'} |")
        adapter.close()


if __name__ == "__main__":
    main()
