from __future__ import annotations

import pytest
from onnx import helper
from tests.onnx_models import save_graph

from anydet.errors import OptionError
from anydet.runtime.loaded import TensorInfo
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.shapes import Profile, parse_shapes, settle_profiles

IMAGE = TensorInfo("images", ("N", 3, "h", "w"), "float32")
SIZES = TensorInfo("sizes", ("N", 2), "int64")
FIXED = TensorInfo("fixed", (1, 3), "float32")


def test_shapes_are_written_as_for_trtexec():
    found = parse_shapes("--opt-shapes", "images:1x3x640x480,a:b:2x2, c:7")
    assert found == {"images": (1, 3, 640, 480), "a:b": (2, 2), "c": (7,)}
    assert parse_shapes("--opt-shapes", None) == {}


@pytest.mark.parametrize(
    "text",
    [
        "images",
        "images:",
        "1x3",
        ":1x3",
        "images:1x",
        "images:1x0",
        "images:axb",
        ",",
        "i:-1x3",
        "i:99999999999",
    ],
)
def test_what_is_no_shape_says_how_one_is_written(text):
    with pytest.raises(OptionError, match=r"--opt-shapes .* is no input and shape") as error:
        parse_shapes("--opt-shapes", text)
    assert error.value.fix == "write --opt-shapes images:1x3x640x640"


def test_an_input_has_one_shape():
    with pytest.raises(OptionError, match="has 'a' twice"):
        parse_shapes("--min-shapes", "a:1,a:2")


def test_what_is_not_given_is_what_is():
    one, two, four = ((n, 3, 64, 64) for n in (1, 2, 4))
    for given, expected in (
        ((None, two, None), Profile(two, two, two)),
        ((one, None, four), Profile(one, four, four)),
        ((None, None, four), Profile(four, four, four)),
        ((one, two, None), Profile(one, two, two)),
        ((one, two, four), Profile(one, two, four)),
    ):
        shapes = [{} if shape is None else {"images": shape} for shape in given]
        assert settle_profiles([IMAGE, FIXED], *shapes) == {"images": expected}


def test_a_model_without_open_sizes_needs_none():
    assert settle_profiles([FIXED], {}, {}, {}) == {}


def test_each_open_input_needs_shapes():
    usual = {"images": (1, 3, 64, 64)}
    with pytest.raises(OptionError, match=r"the input sizes .* is open") as error:
        settle_profiles([IMAGE, SIZES], {}, usual, {})
    assert error.value.fix.startswith("add --opt-shapes sizes:1x2,")


def test_shapes_to_type_have_the_size_that_images_are_resized_to():
    for tensor, size_wh, shape in (
        (IMAGE, (416, 320), "1x3x320x416"),
        (TensorInfo("images", (2, 3, "h", 96), "float32"), (416, 320), "2x3x320x96"),
        (TensorInfo("images", ("N", 3, 64, 64), "float32"), (416, 320), "1x3x64x64"),
        (TensorInfo("images", ("N", "h", "w", 3), "float32"), (416, 320), "1x320x416x3"),
        (IMAGE, None, "1x3x640x640"),
    ):
        with pytest.raises(OptionError) as error:
            settle_profiles([tensor], {}, {}, {}, *(() if size_wh is None else (size_wh,)))
        assert error.value.fix.startswith(f"add --opt-shapes images:{shape},")


def test_the_size_is_the_one_that_the_model_states(tmp_path):
    values = [helper.make_tensor_value_info(name, 1, ["N", 3, "h", "w"]) for name in ("images", "out")]
    node = helper.make_node("Identity", ["images"], ["out"])
    for stated, size_wh in (("[320, 416]", (416, 320)), ("", (640, 640))):
        path, described = tmp_path / "m.onnx", {"imgsz": stated}
        tensors = {"inputs": values[:1], "outputs": values[1:], "initializers": []}
        save_graph(path, [node], **tensors, metadata=described)
        assert Graph(path).size_wh == size_wh


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        ({"nope": (1,)}, "the model has no input 'nope'"),
        ({"images": (1, 4, 64, 64)}, "images:1x4x64x64 does not fit the input"),
        ({"images": (1, 3, 64)}, "images:1x3x64 does not fit the input"),
    ],
)
def test_shapes_that_the_model_cannot_have_are_refused(shapes, what):
    with pytest.raises(OptionError, match=what):
        settle_profiles([IMAGE], {}, shapes, {})


def test_shapes_grow():
    with pytest.raises(OptionError, match="do not grow: 2x3x64x64 1x3x64x64 4x3x64x64"):
        settle_profiles(
            [IMAGE], {"images": (2, 3, 64, 64)}, {"images": (1, 3, 64, 64)}, {"images": (4, 3, 64, 64)}
        )
