from __future__ import annotations

from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anydet.plugins.preprocess import Preprocess, Resize
from anydet.runtime.preprocess import Preprocessor
from anydet.runtime.presets import PRESETS

sides = st.integers(1, 2000)
sizes = st.tuples(sides, sides)


@given(
    image_wh=sizes,
    size_wh=st.tuples(st.integers(32, 800), st.integers(32, 800)),
    resize=st.sampled_from(get_args(Resize)),
)
def test_boxes_come_back_from_the_input_exactly(image_wh, size_wh, resize):
    placement = Preprocess(resize, size_wh).placement(image_wh)
    boxes = np.random.default_rng(0).random((20, 4)) * [*image_wh, *image_wh]
    np.testing.assert_allclose(placement.to_image(placement.to_input(boxes)), boxes, rtol=0, atol=1e-9)
    whole = placement.to_input(np.array([[0.0, 0.0, *image_wh]]))[0]
    x, y = placement.offset_xy
    width, height = placement.content_wh
    np.testing.assert_allclose(whole, [x, y, x + width, y + height], atol=1e-9)


@given(image_wh=sizes, size_wh=st.tuples(st.integers(32, 800), st.integers(32, 800)))
def test_a_letterbox_keeps_the_aspect_ratio_and_fills_one_side(image_wh, size_wh):
    corner, center = (Preprocess(r, size_wh).placement(image_wh) for r in ("letterbox", "letterbox-center"))
    assert corner.content_wh == center.content_wh
    assert corner.offset_xy == (0, 0)
    width, height = corner.content_wh
    assert width <= size_wh[0]
    assert height <= size_wh[1]
    assert (width, height)[0] == size_wh[0] or height == size_wh[1]
    ratio = min(size_wh[0] / image_wh[0], size_wh[1] / image_wh[1])
    assert abs(width - image_wh[0] * ratio) < 1
    assert abs(height - image_wh[1] * ratio) < 1
    for offset, content, side in zip(center.offset_xy, center.content_wh, size_wh, strict=True):
        assert 0 <= side - content - 2 * offset <= 1


@pytest.mark.parametrize(
    ("image_wh", "expected"),
    [((640, 480), (1067, 800)), ((480, 640), (800, 1067)), ((2000, 500), (1333, 333))],
)
def test_shortest_is_detrs_resize(image_wh, expected):
    placement = Preprocess("shortest", (1333, 800)).placement(image_wh)
    assert placement.content_wh == placement.input_wh == expected


def resized_as(image, how, size_wh):
    if how.interpolation == "bilinear":
        pixels = image if how.rounded else image.astype(np.float32)
        return cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR)
    planes = image.transpose(2, 0, 1) if how.rounded else image.transpose(2, 0, 1).astype(np.float32)
    whole = [Image.fromarray(plane).resize(size_wh, Image.Resampling.BILINEAR) for plane in planes]
    return np.stack(whole, axis=2)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_inputs_are_what_opencv_and_arithmetic_give(preset, dtype):
    how = replace(PRESETS[preset].preprocess, size_wh=(96, 64))
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    (inputs, (placement,)) = Preprocessor(how, dtype).batch([image])
    (width, height), (across, down) = placement.content_wh, placement.input_wh
    x, y = placement.offset_xy

    canvas = np.full((down, across, 3), how.pad_value, np.float64)
    resized = resized_as(image, how, (width, height))[max(0, -y) :, max(0, -x) :]
    canvas[max(0, y) : y + height, max(0, x) : x + width] = resized[:down, :across]
    if how.channels == "bgr":  # the border is gray, so turning all of it is the same
        canvas = canvas[:, :, ::-1]
    expected = ((canvas - np.array(how.mean)) / np.array(how.std)).transpose(2, 0, 1)
    assert inputs.dtype == dtype
    np.testing.assert_allclose(
        inputs[0],
        expected,
        rtol=2e-3 if dtype == np.float16 else 1e-6,
        atol=1e-3 if dtype == np.float16 else 1e-5,
    )


def test_images_of_one_batch_do_not_touch_each_other():
    rng = np.random.default_rng(1)
    images = [
        rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((20, 64), (64, 20), (64, 64), (1, 1))
    ]
    preprocessor = Preprocessor(replace(PRESETS["nanodet"].preprocess, size_wh=(64, 64)), np.float32)
    together, _ = preprocessor.batch(images)
    for image, row in zip(images, together, strict=True):
        np.testing.assert_array_equal(preprocessor.batch([image])[0][0], row)


def test_the_border_has_the_pad_value_after_normalization():
    how = replace(PRESETS["ultralytics"].preprocess, size_wh=(64, 64))
    inputs, _ = Preprocessor(how, np.float32).batch([np.zeros((10, 64, 3), np.uint8)])
    assert np.unique(inputs[0, :, :27]).tolist() == [np.float32(114) / np.float32(255)]
    assert not inputs[0, :, 27:37].any()


def shades(height, width):
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_antialiased_resize_is_pillows():
    how = Preprocess("stretch", (20, 10), interpolation="bilinear-antialias", channels="bgr", divisor=255.0)
    image = shades(40, 50)
    (inputs,), _ = Preprocessor(how, np.float32).batch([image])
    expected = np.asarray(Image.fromarray(image).resize((20, 10), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(inputs, expected[..., ::-1].transpose(2, 0, 1) / np.float32(255))


@pytest.mark.parametrize("interpolation", ["bilinear", "bilinear-antialias"])
def test_pixels_that_are_not_rounded_are_near_the_rounded_ones(interpolation):
    how = Preprocess("stretch", (90, 30), interpolation=interpolation, mean=(1, 2, 3), std=(4, 5, 6))
    image = shades(37, 53)
    (rounded,), _ = Preprocessor(how, np.float64).batch([image])
    (exact,), _ = Preprocessor(replace(how, rounded=False), np.float64).batch([image])
    pixels = exact * np.reshape(how.std, (3, 1, 1)) + np.reshape(how.mean, (3, 1, 1))
    assert (np.abs(pixels - np.round(pixels)) > 0.1).mean() > 0.5
    assert np.abs(exact - rounded)[0].max() <= 1.01 / 4  # both libraries round between the two directions


def test_padding_to_a_multiple_is_right_and_below():
    how = Preprocess("none", (1, 1), pad_value=(3.0, 2.0, 1.0), pad_to_multiple=32)
    image = shades(40, 50)
    (inputs,), (placement,) = Preprocessor(how, np.float32).batch([image])
    assert placement.input_wh == (64, 64)
    assert placement.content_wh == (50, 40)
    np.testing.assert_array_equal(inputs[:, :40, :50], image.transpose(2, 0, 1))
    assert [np.unique(np.append(p[40:].ravel(), p[:, 50:])).tolist() for p in inputs] == [[3], [2], [1]]


@given(
    image_wh=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size_wh=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(get_args(Resize)),
    channels=st.sampled_from(["rgb", "bgr"]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_inputs_are_the_formula_in_every_bit(image_wh, size_wh, resize, channels, dtype, seed):
    rng = np.random.default_rng(seed)
    mean, std = rng.uniform(-3, 3, 3), rng.uniform(0.1, 3, 3)
    how = Preprocess(
        resize,
        size_wh,
        channels=channels,
        divisor=rng.choice([1.0, 255.0]),
        mean=tuple(mean),
        std=tuple(std),
        pad_to_multiple=int(rng.integers(1, 4)),
    )
    images = [rng.integers(0, 256, (image_wh[1], image_wh[0], 3), dtype=np.uint8) for _ in range(2)]
    inputs, placements = Preprocessor(how, dtype).batch(images)
    for got, image, placement in zip(inputs, images, placements, strict=True):
        (x, y), (width, height) = placement.offset_xy, placement.content_wh
        canvas = np.full((*placement.input_wh[::-1], 3), how.pad_value, np.float32)
        inside = image if channels == "rgb" else image[:, :, ::-1]
        if (width, height) != image_wh:
            inside = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            inside = inside if channels == "rgb" else inside[:, :, ::-1]
        rows, columns = placement.input_wh[1] - max(0, y), placement.input_wh[0] - max(0, x)
        seen = inside[max(0, -y) :, max(0, -x) :][:rows, :columns]
        canvas[max(0, y) : y + height, max(0, x) : x + width] = seen
        expected = (canvas / np.float32(how.divisor) - mean.astype(np.float32)) / std.astype(np.float32)
        np.testing.assert_array_equal(got, expected.transpose(2, 0, 1).astype(dtype))
