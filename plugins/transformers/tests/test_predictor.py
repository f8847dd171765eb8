"""Every architecture that can be had tiny predicts what the library's own processor and model say."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import render_scene
from anydet.geometry.boxes import area_xyxy, clip_xyxy
from anydet.geometry.masks import decode
from anydet.testing.comparison import Tolerance, first_difference
from anydet.types import AdapterSettings, ImagePredictions
from anydet_transformers.adapter import Transformers
from anydet_transformers.catalog import LEFT_OUT, model_class, model_types
from anydet_transformers.untrained import describe, tiny_values

FLOOR = 0.01
SIZES_WH = ((96, 64), (96, 64), (97, 80), (64, 96))
"""Two share a batch."""
TYPES = sorted(tiny_values())
SEGMENTING = [name for name in TYPES if describe(f"tiny:{name}").kind == "segment"]
DETECTING = [name for name in TYPES if name not in SEGMENTING]
TOLERANCE = Tolerance(box_px=1e-4, score=1e-4)


def images():
    return [render_scene(3, number, size).image for number, size in enumerate(SIZES_WH)]


def records():
    return [Record(f"{number}.png", ImageArray(image)) for number, image in enumerate(images())]


def library_outputs(folder, image):
    """The library's image processor, and its model's outputs for one image alone."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = model_class(config, source=str(folder))[1].from_pretrained(folder).eval()
    inputs = processor(images=Image.fromarray(image), return_tensors="pt")
    taken = inspect.signature(model.forward).parameters
    with torch.no_grad():
        return processor, model(**{name: value for name, value in inputs.items() if name in taken})


def library_boxes(folder, key, image):
    processor, outputs = library_outputs(folder, image)
    height, width = image.shape[:2]
    (found,) = processor.post_process_object_detection(
        outputs, threshold=FLOOR, target_sizes=[(height, width)]
    )
    boxes = clip_xyxy(found["boxes"].double().numpy(), (width, height))
    keep = area_xyxy(boxes) > 0
    return ImagePredictions(
        key,
        (width, height),
        boxes[keep],
        found["scores"].double().numpy()[keep],
        found["labels"].numpy().astype(np.int64)[keep],
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTING)
def test_a_detector_predicts_what_the_library_says_of_each_image(name, saved_folder):
    folder = saved_folder(name)
    settings = AdapterSettings(checkpoint=str(folder), batch_size=3, score_floor=FLOOR)
    found = list(Transformers(settings).predict(records()))
    said = [library_boxes(folder, one.image, image) for one, image in zip(found, images(), strict=True)]
    assert all(len(one) for one in said)
    assert not first_difference(said, found, TOLERANCE, floor=FLOOR)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEGMENTING)
@pytest.mark.parametrize("segments", ["instance", "panoptic"])
def test_masks_are_those_of_the_library(name, segments, saved_folder):
    folder = saved_folder(name)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    if not hasattr(processor, f"post_process_{segments}_segmentation"):
        pytest.skip(f"the library's {type(processor).__name__} gives no {segments} segments")
    options = {"segments": segments, "segment_threshold": 0.3}
    settings = AdapterSettings(checkpoint=str(folder), batch_size=3, score_floor=FLOOR, options=options)
    for result, image in zip(Transformers(settings).predict(records()), images(), strict=True):
        process = getattr(processor, f"post_process_{segments}_segmentation")
        binary = "return_binary_maps" in inspect.signature(process).parameters
        (said,) = process(
            library_outputs(folder, image)[1],
            target_sizes=[image.shape[:2]],
            **({"return_binary_maps": True, "threshold": FLOOR} if binary else {"threshold": 0.3}),
        )
        maps = said["segmentation"].numpy()
        expected = [
            (info["label_id"], info["score"], maps[row] > 0 if binary else maps == info["id"])
            for row, info in enumerate(said["segments_info"])
        ]
        expected = [one for one in expected if one[2].any()]
        assert len(result) == len(expected)
        for row, (label, score, mask) in enumerate(expected):
            assert result.class_ids[row] == label
            assert result.scores[row] == pytest.approx(score, abs=1e-4)
            assert np.array_equal(decode(result.masks[row]), mask)
            rows, columns = np.nonzero(mask)
            around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert result.boxes_xyxy_px[row].tolist() == around


def test_each_type_of_the_library_is_tried_or_left_out_with_a_reason():
    promptable = {"grounding-dino", "mm-grounding-dino", "omdet-turbo", "owlv2", "owlvit"}  # test_prompts
    assert (
        set(model_types()) == {describe(f"tiny:{name}").config["model_type"] for name in TYPES} | promptable
    ), "add new types of the library to tiny.json, or to LEFT_OUT with the reason"
    assert not set(LEFT_OUT) & set(model_types())
