"""A wrong guess is an error that says what is there and what would fit, never silent nonsense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import AnydetError, OptionError
from anydet.plugins.preprocess import Preprocess
from anydet.runtime.errors import ModelError
from anydet.runtime.presets import PRESETS

CELLS = 84  # of a 64x64 input at strides 8, 16, 32
RECORD = Record("street/a.png", ImageArray(np.zeros((64, 64, 3), np.uint8)))

SHAPES = {
    "yolox": [(1, CELLS, 8)],
    "yolov5": [(1, 3 * CELLS, 8)],
    "ultralytics": [(1, 7, CELLS)],
    "nanodet": [(64, 3), (16, 3), (4, 3), (64, 32), (16, 32), (4, 32)],
    "fastestdet": [(1, 8, 4, 4)],
    "detr": [(1, 9, 6), (1, 9, 4)],
    "ultralytics-end2end": [(1, 9, 6)],
    "ultralytics-segment": [(1, 9, CELLS), (1, 2, 16, 16)],
    "scrfd": [(1, 128, 1), (1, 32, 1), (1, 8, 1), (1, 128, 4), (1, 32, 4), (1, 8, 4)],
    "yunet": [(1, count, width) for width in (1, 1, 4, 10) for count in (64, 16, 4)],
}


@pytest.mark.parametrize("family", SHAPES)
@pytest.mark.parametrize("preset", SHAPES)
def test_a_preset_fits_its_own_family_and_no_other(family, preset, build, load):
    path = build([np.zeros(shape) for shape in SHAPES[family]])
    if family == preset:
        assert load(path, preset=preset).notes.details["preset"] == preset
        return
    with pytest.raises(ModelError) as error:
        load(path, preset=preset)
    text = str(error.value)
    assert f"preset={preset} does not fit" in text
    fitting = text.split("Presets that fit: ")[1].splitlines()[0].split(", ")
    assert "--option preset=" in error.value.fix
    assert family in fitting
    assert preset not in fitting
    for shape in SHAPES[family]:
        assert str(tuple(shape)) in text


def test_without_a_preset_the_error_says_which_would_fit(build, load):
    path = build([np.zeros((1, CELLS, 8))])
    with pytest.raises(OptionError) as error:
        load(path)
    assert "pixels float32 (1, 3, 64, 64)" in error.value.problem
    assert "700 float32 (1, 84, 8)" in error.value.problem
    assert error.value.problem.endswith("Presets that fit: yolox")
    assert "preset=yolox" in error.value.fix


def test_a_model_of_no_known_family_names_the_families(build, load):
    with pytest.raises(OptionError) as error:
        load(build([np.zeros((1, 1000))]))
    assert "700 float32 (1, 1000)" in error.value.problem
    assert error.value.problem.endswith("None of the presets fits; they expect")
    rows = error.value.details
    assert rows[0].startswith("  not ultralytics-classify: scores of the image's classes add up to 0")
    named = [name for row in rows[1:-2] for name in row.split(":")[0].strip().split(", ")]
    assert sorted([*named, *rows[-2].removeprefix("  and others: ").split(", ")]) == sorted(PRESETS)
    assert "  rfdetr, lwdetr: two outputs (B, Q, 4) and (B, Q, C) and, with masks, (B, Q, h, w)" in rows
    assert rows[-1] == "  and this model has: 700 float32 (1, 1000)"
    assert rows[1] == "  yolox: one output (B, cells of strides 8, 16, 32; 5 + C)"
    assert "--option layout=FILE.yaml" in error.value.fix


def test_a_map_of_pixels_is_named_with_what_to_write_for_it(build, load):
    with pytest.raises(OptionError, match="a map of the input's pixels with 1 value each") as error:
        load(build([np.zeros((1, 1, 16, 16))]))
    assert error.value.fix.startswith("write an adapter that finds the regions")


def test_one_class_of_yolox_is_not_taken_for_rows_of_nms_inside(build, load):
    """Both are (N, 6); the sixth column is a probability of the one and a class of the other."""
    cells = np.random.default_rng(0).random((1, CELLS, 6))
    with pytest.raises(ModelError, match="Presets that fit: yolox") as error:
        load(build([cells]), preset="ultralytics-end2end")
    assert error.value.details[0].startswith("  not ultralytics-end2end: labels such as 0.")
    (result,) = load(build([cells]), preset="yolox", names="text").predict([RECORD])
    best = float((cells[0, :, 4] * cells[0, :, 5]).max())
    assert result.scores.max() == pytest.approx(best)
    assert set(result.class_ids.tolist()) == {0}
    rows = np.zeros((1, CELLS, 6))
    rows[0, :3] = [[4, 4, 20, 20, 0.9, 0], [30, 30, 50, 60, 0.8, 2], [8, 8, 9, 9, 0.7, 1]]
    with pytest.raises(OptionError, match=r"Presets that fit: ultralytics-end2end\n  not yolox: scores run"):
        load(build([rows]))


def test_presets_that_the_shapes_do_not_tell_apart_are_all_described(build, load):
    with pytest.raises(OptionError) as error:
        load(build([np.zeros((1, 9, 6)), np.zeros((1, 9, 4))]))
    assert error.value.details == (
        "  detr: two outputs (B, Q, C + 1) and (B, Q, 4); images shortest, RGB normalized",
        "  rtdetr: two outputs (B, Q, C) and (B, Q, 4); images stretch, RGB 0..1",
        *(
            f"  {name}: two outputs (B, Q, 4) and (B, Q, C) and, with masks, (B, Q, h, w); images stretch, "
            "RGB normalized"
            for name in ("rfdetr", "lwdetr")
        ),
    )
    with pytest.raises(OptionError) as error:
        load(build([np.zeros((1, 9, 4)), np.zeros((1, 9)), np.zeros((1, 9), np.int64)]))
    _, torchvision, _ = error.value.details
    assert error.value.problem.endswith("Presets that fit: rtdetr-deploy, torchvision, yolo-nms")
    assert torchvision.endswith("images shortest, RGB 0..1; labels from 1")


def test_all_parts_together_replace_a_preset(build, load):
    path = build([np.zeros((1, CELLS, 8))])
    parts = {"layout": "yolox", "resize": "stretch", "channels": "rgb", "mean": "1,2,3", "std": 4}
    with pytest.raises(OptionError, match="nms_iou"):
        load(path, **parts)
    notes = load(path, **parts, nms_iou=0.5).notes
    assert notes.nms_iou == 0.5
    assert notes.image_size == (64, 64)
    assert notes.preprocess == Preprocess("stretch", (64, 64), mean=(1.0, 2.0, 3.0), std=(4.0, 4.0, 4.0))
    assert notes.details == {"preset": None, "layout": "yolox"}


def test_each_part_wins_over_the_preset(build, load):
    path = build([np.zeros((1, CELLS, 8))])
    base = load(path, preset="yolox").notes
    assert base.nms_iou == 0.65
    for option, value, changes in (
        ("resize", "stretch", {"resize": "stretch"}),
        ("channels", "rgb", {"channels": "rgb"}),
        ("mean", "[1, 2, 3]", {"mean": (1.0, 2.0, 3.0)}),
        ("std", "58.4", {"std": (58.4,) * 3}),
        ("pad", "7", {"pad_value": (7.0,) * 3}),
    ):
        notes = load(path, preset="yolox", **{option: value}).notes
        assert notes.preprocess == replace(base.preprocess, **changes)
        assert notes.details == base.details
    notes = load(path, preset="yolox", layout="yolox-decoded").notes
    assert notes.preprocess == base.preprocess
    assert notes.details == {"preset": "yolox", "layout": "yolox-decoded"}


def test_logits_in_place_of_probabilities_are_refused(build, load):
    out = np.random.default_rng(0).normal(0, 3, (1, 7, CELLS))
    out[:, 2:4] = 10
    with pytest.raises(ModelError) as error, load(build([out]), preset="ultralytics") as adapter:
        list(adapter.predict([RECORD]))
    assert "image street/a.png: scores run from -" in error.value.problem
    assert "sigmoid" in error.value.problem


def test_boxes_that_are_decoded_already_are_found_by_their_values(build, load):
    rng = np.random.default_rng(0)
    out = np.concatenate([10 + rng.random((CELLS, 4)) * 50, rng.random((CELLS, 4))], axis=1)[None]
    adapter = load(build([out]), preset="yolox")
    assert adapter.notes.details["layout"] == "yolox-decoded"
    assert len(next(adapter.predict([RECORD])))


def test_boxes_that_are_not_decoded_are_refused(build, load):
    rng = np.random.default_rng(0)
    out = np.concatenate([rng.normal(0, 2, (CELLS, 4)), rng.random((CELLS, 4))], axis=1)[None]
    adapter = load(build([out]), preset="yolox", layout="yolox-decoded")
    with pytest.raises(ModelError, match="sides are as small as -"):
        list(adapter.predict([RECORD]))


def test_boxes_of_which_none_is_as_large_as_an_object_are_refused_wherever_they_are(build, load):
    out = np.random.default_rng(0).random((1, 7, CELLS))
    out[0, :2] *= 60
    with pytest.raises(ModelError, match="all 84 boxes are narrower and lower than 2 pixels") as error:
        load(build([out]), preset="ultralytics")
    assert "--option layout=FILE.yaml" in error.value.fix
    out[0, 2:4, 5] = 9
    assert load(build([out]), preset="ultralytics").notes.details["preset"] == "ultralytics"


def test_boxes_of_detr_in_pixels_are_refused(build, load):
    logits, boxes = np.zeros((1, 9, 6)), np.full((1, 9, 4), 30.0)
    with pytest.raises(ModelError, match="boxes run from 0 to 30"):
        list(load(build([logits, boxes]), preset="detr").predict([RECORD]))


@pytest.mark.parametrize(("bad", "said"), [(np.nan, "numbers are NaN"), (np.inf, "scores run")])
def test_numbers_that_are_none_are_refused(bad, said, build, load):
    out = np.full((1, 7, CELLS), 0.5)
    out[0, 5, 3] = bad
    with pytest.raises(ModelError, match=said):
        list(load(build([out]), preset="ultralytics").predict([RECORD]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "yolo"}, "no preset 'yolo'"),
        ({"preset": "yolox", "layuot": "yolox"}, "did you mean 'layout'"),
        ({"preset": "yolox", "size": "128"}, "size=128x128 contradicts the model, whose input is 64x64"),
        ({"preset": "yolox", "size": "big"}, "size=big is no input size"),
        ({"preset": "yolox", "size": "0x64"}, "no input size"),
        ({"preset": "yolox", "mean": "1,2"}, "one finite number or three"),
        ({"preset": "yolox", "mean": "a,b,c"}, "one finite number or three"),
        ({"preset": "yolox", "std": "0.229,0.224,0.225"}, "std=58.395,57.12,57.375"),
        ({"preset": "yolox", "nms_iou": "1.5"}, "1.5 is greater than the maximum of 1"),
        ({"preset": "yolox", "resize": "shortest"}, "input size is open"),
        ({"preset": "yolox", "channels": "grb"}, "'grb' is not one of"),
        ({"preset": "yolox", "max_candidates": "0"}, "0 is less than the minimum"),
        ({"preset": "yolox", "names": "a,b"}, "names= gives 2 names, and the model has 3 classes"),
        ({"preset": "yolox", "names": "missing.txt"}, "no such file"),
    ],
)
def test_an_option_that_makes_no_sense_is_an_error_that_says_why(options, message, build, load):
    with pytest.raises(AnydetError) as error:
        load(build([np.zeros((1, CELLS, 8))]), **options)
    assert message in str(error.value)


def test_a_size_that_the_model_has_anyway_may_be_said(build, load):
    assert load(build([np.zeros((1, CELLS, 8))]), preset="yolox", size="64x64").notes.image_size == (64, 64)


def test_there_are_no_configurations(build, load):
    with pytest.raises(OptionError, match="no configurations"):
        load(build([np.zeros((1, CELLS, 8))]), preset="yolox", config="base.yaml")
