"""Layout files: a family without code, errors that name file and key, and the hook that registers them."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np
import pytest
import yaml

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError, PluginError
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import LayoutSpec
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts import FILES, family, installed, layout_named
from anydet.runtime.layouts.layout_file import parse_layout
from anydet.runtime.presets import known_presets

RECORD = Record("a.png", ImageArray(np.zeros((64, 64, 3), np.uint8)))
FAMILY = """
grid:
  strides: [16, 32]
  center: 0.5
outputs:
  sides: {shape: [4, cells], each: stride}
  logits: {shape: [1 + C, cells], each: stride}
scores:
  classes: logits[1:]
  objectness: logits[0]
  activation: sigmoid
boxes:
  columns: sides
  form: distances
  unit: pixels
"""
IMAGES = """
images:
  resize: stretch
  size: [64, 64]
  channels: rgb
  std: [255, 255, 255]
nms_iou: 0.5
"""


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def outputs():
    """Of FAMILY with two classes: all outputs, those of a stride together, and its two best rows."""
    logits16, logits32 = np.full((3, 16), -9.0), np.full((3, 4), -9.0)
    logits16[:, 6] = (2, -9, 3)  # column 2, row 1 of four
    logits32[:, 3] = (1, 1, -9)  # column 1, row 1 of two
    sides16, sides32 = np.ones((4, 16)), np.ones((4, 4))
    sides16[:, 6] = (3, 4, 5, 6)
    sides32[:, 3] = (10, 11, 12, 13)
    rows = [
        (sigmoid(2) * sigmoid(3), 1, [40 - 3, 24 - 4, 40 + 5, 24 + 6]),
        (sigmoid(1) * sigmoid(1), 0, [48 - 10, 48 - 11, 48 + 12, 48 + 13]),
    ]
    return [logits16[None], sides16[None], logits32[None], sides32[None]], rows


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_layout_file_decodes_outputs_as_it_says(build, load, write):
    arrays, rows = outputs()
    path = write(FAMILY + IMAGES)
    with load(build(arrays), layout=path) as adapter:
        assert adapter.notes.details == {"preset": None, "layout": str(path)}
        assert adapter.notes.nms_iou == 0.5
        result = next(adapter.predict([RECORD]))
    assert result.scores == pytest.approx([score for score, _, _ in rows])
    assert result.class_ids.tolist() == [class_id for _, class_id, _ in rows]
    assert result.boxes_xyxy_px == pytest.approx(np.array([box for _, _, box in rows]))


def test_images_may_be_said_by_a_preset_or_by_options_in_place_of_the_file(build, load, write):
    """Of a file that says nothing of them."""
    path = write(FAMILY, "mine.yml")
    model = build(outputs()[0])
    with load(model, layout=path, preset="yolov5") as adapter:
        assert adapter.notes.preprocess.resize == "letterbox-center"
        assert len(next(adapter.predict([RECORD]))) == 2
    with pytest.raises(OptionError, match=r"mine.yml does not say how images are prepared") as error:
        load(model, layout=path)
    assert error.value.fix.endswith("set all of these: resize, channels, mean, std, nms_iou")
    told = {"resize": "stretch", "channels": "bgr", "mean": 0, "std": 255, "nms_iou": 0.5}
    assert load(model, layout=path, **told).notes.preprocess.channels == "bgr"


def test_an_option_wins_over_the_images_of_the_file(build, load, write):
    notes = load(build(outputs()[0]), layout=write(FAMILY + IMAGES), channels="bgr", nms_iou=0.7).notes
    assert (notes.preprocess.channels, notes.nms_iou) == ("bgr", 0.7)


def test_a_size_of_the_file_that_is_not_the_models_is_refused_as_the_option_is(build, load, write):
    path, model = write(FAMILY + IMAGES.replace("[64, 64]", "[96, 64]")), build(outputs()[0])
    with pytest.raises(OptionError) as error:
        load(model, layout=path)
    assert error.value.problem == (
        f"images.size of {path} is 96x64, which contradicts the model, whose input is 64x64"
    )
    assert error.value.fix == "write size: [64, 64] in the file"
    assert load(model, layout=path, size="64").notes.image_size == (64, 64)


def test_a_file_that_does_not_fit_the_outputs_says_what_it_expects_and_what_is_there(build, load, write):
    path = write(FAMILY + IMAGES)
    with pytest.raises(ModelError) as error:
        load(build([np.zeros((1, 84, 8))]), layout=path)
    assert f"layout={path} does not fit" in error.value.problem
    assert "for each of strides 16, 32 a (B, 4, cells) and a (B, 1 + C, cells)" in error.value.problem
    assert "(84, 8)" in error.value.problem


def test_names_of_outputs_tell_those_of_the_same_shape_apart(build, load, write):
    text = """
outputs:
  first: {shape: [N, 1], name: certainty}
  boxes: {shape: [N, 4]}
  other: {shape: [N, 1], name: doubt}
scores: {classes: first}
boxes: {columns: boxes, form: corners}
"""
    arrays = [
        np.full((1, 2, 1), 0.1),
        np.array([[[0, 0, 30, 30], [30, 30, 60, 60]]]),
        np.full((1, 2, 1), 0.9),
    ]
    path = build([a.astype(np.float32) for a in arrays], names=("doubt", "boxes", "certainty"))
    with load(path, layout=write(text + IMAGES)) as adapter:
        assert next(adapter.predict([RECORD])).scores == pytest.approx([0.9, 0.9])


def test_labels_are_classes_that_were_chosen_already(build, load, write):
    text = """
outputs:
  rows: {shape: [N, 6]}
scores: {classes: "rows[1]"}
labels: rows[0]
boxes: {columns: "rows[2:6]", form: corner-size, unit: parts}
"""
    rows = np.array([[[2, 0.8, 0.25, 0.25, 0.5, 0.125], [1, 0.01, 0, 0, 1, 1]]])
    with load(build([rows]), layout=write(text + IMAGES), names="a,b,c") as adapter:
        result = next(adapter.predict([RECORD]))
    assert result.class_ids.tolist() == [2]
    assert result.boxes_xyxy_px.tolist() == [[16, 16, 48, 24]]


BROKEN = {
    "no YAML": (lambda text: text + "names: [", "is no YAML"),
    "a key twice": (lambda text: text + "\nnms_iou: 0.4", "nms_iou"),
    "an unknown key": (lambda text: text + "\nscors: {}", "unknown key 'scors'.*did you mean 'scores'"),
    "an unknown key within": (
        lambda text: text.replace("center:", "centre:"),
        "grid: unknown key 'centre'.*did you mean 'center'",
    ),
    "a missing key": (lambda text: text.replace("  form: distances\n", ""), "boxes: 'form' is a required"),
    "an unknown form": (lambda text: text.replace("distances", "distance"), "boxes.form: .*'distances'"),
    "an unknown output": (
        lambda text: text.replace("columns: sides", "columns: side"),
        "boxes.columns: no output 'side'.*did you mean 'sides'",
    ),
    "an unknown axis": (
        lambda text: text.replace("[4, cells]", "[4, cell]"),
        "outputs.sides.shape: 'cell' is no axis.*did you mean 'cells'",
    ),
    "an axis twice": (lambda text: text.replace("[4, cells]", "[4, cells, cells]"), "outputs.sides.shape"),
    "no columns": (lambda text: text.replace("logits[0]", "logits[]"), r"scores.objectness: 'logits\[\]'"),
    "no grid": (
        lambda text: re.sub(r"grid:.*?outputs:", "outputs:", text, flags=re.DOTALL),
        "boxes.form: distances needs a grid",
    ),
    "anchors without sizes": (
        lambda text: text.replace("distances", "yolov5").replace("  unit: pixels\n", ""),
        "boxes.form: yolov5 needs sizes of anchors in grid.anchors",
    ),
    "anchors of other strides": (
        lambda text: text.replace("  center", "  anchors: [1, 2, 3]\n  center"),
        "grid.anchors: 3 entries for 2 strides",
    ),
    "a unit of another form": (
        lambda text: text.replace("unit: pixels", "unit: parts"),
        "boxes.unit: distances has strides or pixels, not parts",
    ),
    "classes that are off by one": (
        lambda text: text.replace("logits[1:]", "logits[2:]"),
        r"scores.classes: logits\[2:\] has C - 1 columns, where outputs.logits.shape has 1 \+ C: "
        r"write logits\[1:\], or the shape has 2 \+ C",
    ),
    "objectness among the classes": (
        lambda text: text.replace("logits[1:]", "logits"),
        r"scores.classes: logits has C \+ 1 columns.*write logits\[1:\]$",
    ),
    "five columns of boxes": (
        lambda text: (
            text.replace("columns: sides", "columns: logits[0:5]")
            .replace("distances", "yolox")
            .replace("  unit: pixels\n", "")
        ),
        r"boxes.columns: form yolox takes 4 columns, logits\[0:5\] has 5",
    ),
    "too few columns of a distribution": (
        lambda text: text.replace("unit: pixels", "bins: 8"),
        "boxes.columns: form distances takes 4 x 8 bins columns, sides has 4",
    ),
    "std of pixels of 0..1": (lambda text: text.replace("[255, 255, 255]", "[0.2, 0.2, 0.2]"), "images.std"),
    "landmarks without a grid's sizes": (
        lambda text: text + "\nlandmarks: {columns: sides, names: [a, b], unit: anchors}",
        "landmarks.unit",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_an_error_that_names_file_and_key(fault, build, load, write):
    change, message = BROKEN[fault]
    text = change(FAMILY + IMAGES)
    assert text != FAMILY + IMAGES
    path = write(text)
    with pytest.raises(OptionError) as error:
        load(build(outputs()[0]), layout=path)
    assert error.value.problem.startswith(str(path))
    assert re.search(message, error.value.problem, re.DOTALL)
    assert "docs/how-to/declare-a-layout.md" in error.value.fix


def test_a_file_that_is_not_there_and_a_name_that_is_none(build, load, tmp_path):
    model = build(outputs()[0])
    with pytest.raises(OptionError, match=r"gone.yaml: no such file"):
        load(model, layout=tmp_path / "gone.yaml")
    with pytest.raises(OptionError, match=r"no layout 'picodett'.*did you mean 'picodet'") as error:
        load(model, layout="picodett")
    assert "--option layout=FILE.yaml" in error.value.fix


@pytest.fixture
def register(monkeypatch):
    """Installs a plugin with one layout, ``street``, whose factory gives what it is told to."""

    def register(made):
        module = ModuleType("registers_layout")
        module.PLUGIN_API = 2
        module.make = lambda: made
        module.register_layouts = hookimpl(
            lambda register: register(LayoutSpec("street", "registers_layout:make")),
            specname="register_layouts",
        )
        monkeypatch.setitem(sys.modules, module.__name__, module)
        plugins = Plugins([EntryPoint("street", module.__name__, "anydet")])
        monkeypatch.setattr(Plugins, "from_env", lambda: plugins)
        installed.installed_files.cache_clear()

    yield register
    installed.installed_files.cache_clear()


def test_a_plugins_layout_is_a_layout_and_with_images_a_preset(build, load, register):
    register(parse_layout(FAMILY + IMAGES, place="street.yaml"))
    model = build(outputs()[0])
    for option in ("preset", "layout"):
        with load(model, **{option: "street"}) as adapter:
            assert adapter.notes.details["layout"] == "street"
            assert len(next(adapter.predict([RECORD]))) == 2
    with pytest.raises(OptionError, match="Presets that fit: street"):
        load(model)
    with pytest.raises(OptionError, match="did you mean 'street'"):
        load(model, preset="stret")


def test_a_plugins_layout_that_is_certain_is_chosen_by_itself(build, load, register):
    register(parse_layout(FAMILY + IMAGES + "certain: true", place="street.yaml"))
    assert load(build(outputs()[0])).notes.details == {"preset": "street", "layout": "street"}


def test_a_plugins_layout_without_images_is_no_preset(build, load, register):
    register(parse_layout(FAMILY, place="street.yaml"))
    assert "street" not in known_presets()
    assert load(build(outputs()[0]), layout="street", preset="yolox").notes.details["layout"] == "street"


def test_a_plugins_layout_that_is_none_is_an_error_of_the_plugin(build, load, register):
    register("street.yaml")
    with pytest.raises(PluginError, match="'street' returned str, not a LayoutFile"):
        load(build(outputs()[0]), preset="street")


@pytest.mark.parametrize("name", FILES)
def test_a_packaged_family_has_all_that_a_preset_needs(name):
    file = family(name)
    assert file.summary
    assert file.preprocess is not None
    assert file.nms_iou is not None
    assert layout_named(name).expects == file.declaration.expects


def test_each_key_of_the_schema_is_described_or_speaks_for_itself():
    from anydet.runtime.layouts.layout_file import _validator

    schema = _validator().schema
    bare = [
        f"{part}.{key}"
        for part in ("grid", "scores", "boxes", "landmarks")
        for key, one in schema["properties"][part]["properties"].items()
        if "description" not in one
    ]
    assert not bare
    assert set(yaml.safe_load(FAMILY + IMAGES)) <= set(schema["properties"])
