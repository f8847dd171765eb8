"""Which sizes of a file are left open, and what is said where they cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anydet.errors import OptionError
from anydet.export.axes import axis_kinds, sizes_follow_images, with_dynamic_axes
from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
from anydet.plugins.preprocess import Preprocess

OUTPUTS = ModelOutput("pixels", "pixel_logits"), ModelOutput("image", "image_logits")
EVERYTHING = {
    "images": {0: "n", 2: "h", 3: "w"},
    "pixels": {0: "n", 2: "h", 3: "w"},
    "image": {0: "n", 1: "found"},
}


def spec(axes=EVERYTHING, resize="stretch", **fields):
    how = Preprocess(resize, (8, 6))
    description = ModelDescription(layout="pixels", outputs=OUTPUTS, preprocess=how, classes=("a", "b"))
    return ExportSpec("module", {"images": None}, description, axes, **fields)


def chosen(given, *, batch=False, size=False):
    return with_dynamic_axes(given, batch=batch, size=size, adapter="mine")


def test_axes_are_told_apart_by_those_of_the_inputs():
    assert axis_kinds(spec()) == {"n": "batch", "h": "size", "w": "size"}


@pytest.mark.parametrize(
    ("wanted", "axes"),
    [
        ({}, {"image": {1: "found"}}),
        ({"batch": True}, {"images": {0: "n"}, "pixels": {0: "n"}, "image": {0: "n", 1: "found"}}),
        (
            {"size": True},
            {"images": {2: "h", 3: "w"}, "pixels": {2: "h", 3: "w"}, "image": {1: "found"}},
        ),
        ({"batch": True, "size": True}, EVERYTHING),
    ],
)
def test_those_that_were_asked_for_stay_and_those_that_follow_no_input(wanted, axes):
    assert chosen(spec(), **wanted).dynamic_axes == axes


def test_sizes_that_follow_the_image_are_open_in_any_case():
    given = spec(resize="shortest")
    assert sizes_follow_images(given)
    assert chosen(given).dynamic_axes["images"] == {2: "h", 3: "w"}


def test_another_module_is_traced_for_any_size():
    given = spec(any_size_module="other")
    assert chosen(given, batch=True).module == "module"
    assert chosen(given, size=True).module == "other"


@pytest.mark.parametrize("kind", ["batch", "size"])
def test_what_cannot_be_open_is_refused_with_the_reason(kind):
    given = spec({}, fixed={kind: "anchors are constants"})
    with pytest.raises(OptionError, match=f"--dynamic-{kind}: .* of mine: anchors are constants") as error:
        chosen(given, **{kind: True})
    assert error.value.fix == f"leave --dynamic-{kind} out"
    with pytest.raises(OptionError, match="does not say that it can be"):
        chosen(replace(given, fixed={}), **{kind: True})
