"""``--option key=value`` against an adapter's schema."""

from __future__ import annotations

import json
import sys
import types
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.errors import OptionError, PluginError
from anydet.plugins import AdapterSpec, hookimpl
from anydet.plugins.catalog import option_rows
from anydet.plugins.manager import Plugins
from anydet.plugins.options import check_options, load_schema, parse_options
from anydet.types import AdapterSettings

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "preset": {"enum": ["yolox", "nanodet"], "description": "Family."},
        "nms_iou": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.65, "description": "IoU."},
        "size": {"$ref": "#/$defs/side", "description": "Side."},
        "mean": {"type": "array", "items": {"type": "number"}, "minItems": 3, "description": "Mean."},
        "names": {"type": "string", "description": "File."},
        "fast": {"type": ["boolean", "null"], "description": "Hurry."},
        "either": {"anyOf": [{"type": "integer"}, {"enum": ["auto"]}], "description": "Either."},
    },
    "$defs": {"side": {"type": "integer", "minimum": 1}},
}


def check(*pairs: str):
    return check_options(parse_options(pairs), SCHEMA, owner="yolo")


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("nms_iou=0.5", "nms_iou", 0.5),
        ("nms-iou=5e-1", "nms_iou", 0.5),
        ("size=640", "size", 640),
        ("mean=[1, 2.5, 3]", "mean", [1, 2.5, 3]),
        ("names=123", "names", "123"),
        ("names=a=b", "names", "a=b"),
        ("names=", "names", ""),
        ("fast=true", "fast", True),
        ("fast=null", "fast", None),
        ("fast=yes", "fast", True),
        ("either=auto", "either", "auto"),
        ("either=3", "either", 3),
        (" preset =yolox", "preset", "yolox"),
    ],
)
def test_text_becomes_the_type_of_the_schema(pair, key, value):
    assert check(pair)[key] == value
    assert type(check(pair)[key]) is type(value)


def test_defaults_fill_in():
    assert check() == {"nms_iou": 0.65}
    assert check("size=2") == {"nms_iou": 0.65, "size": 2}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("nms_uoi=0.5", r"has no option 'nms_uoi' \(known: either, fast, .*\); did you mean 'nms_iou'\?"),
        ("preset=yolx", r"yolo option preset: 'yolx' is not one of .*; did you mean 'yolox'\?"),
        ("size=big", r"yolo option size: 'big' is not of type 'integer'"),
        ("size=0", r"yolo option size: 0 is less than the minimum of 1"),
        ("nms_iou=true", "yolo option nms_iou: True is not of type 'number'"),
        ("nms_iou=NaN", "yolo option nms_iou: NaN is not finite"),
        ("nms_iou=.inf", "yolo option nms_iou: .inf is not finite"),
        ("mean=[1, NaN, 3]", "yolo option mean: .* is not finite"),
        ("mean=[1, 1e999, 3]", "yolo option mean: .* is not finite"),
        ("mean=[1, 2]", "yolo option mean: "),
        ("mean=[1, 2, x]", r"yolo option mean\.2: 'x' is not of type 'number'"),
        ("mean=[1, 2", "yolo option mean: '.1, 2' is not of type 'array'"),
    ],
)
def test_a_wrong_option_says_what_it_takes(pair, message):
    with pytest.raises(OptionError, match=message) as caught:
        check(pair)
    assert caught.value.fix == "see 'anydet adapters show yolo'"


@pytest.mark.parametrize("pair", ["size", "=3", " =3"])
def test_a_pair_without_key_or_equals_sign_is_refused(pair):
    with pytest.raises(OptionError, match="is not key=value"):
        parse_options([pair])


@given(st.text(max_size=30))
def test_no_text_makes_checking_crash(text):
    for key in SCHEMA["properties"]:
        try:
            value = check(f"{key}={text}")[key]
        except OptionError:
            continue
        json.dumps(value, allow_nan=False)


def test_an_adapter_without_schema_takes_no_options():
    with pytest.raises(OptionError, match=r"toy has no option 'size' \(known: none\)"):
        check_options({"size": "3"}, load_schema(None), owner="toy")


def test_a_model_file_among_the_options_leads_to_the_checkpoint():
    with pytest.raises(OptionError, match="has no option 'model'") as caught:
        check_options({"model": "m.onnx"}, load_schema(None), owner="onnxruntime")
    assert caught.value.fix.startswith("name the model's file by --checkpoint; ")


@pytest.fixture
def schema_file(tmp_path, monkeypatch):
    """A package with a schema of the given text; gives its reference."""

    def make(text: str) -> str:
        (tmp_path / "schema_package").mkdir()
        (tmp_path / "schema_package" / "__init__.py").touch()
        (tmp_path / "schema_package" / "options.json").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("schema_package", None)
        return "schema_package:options.json"

    return make


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read"), ('{"type": "objekt"}', "is not a JSON Schema: 'objekt'")],
)
def test_a_broken_schema_is_the_plugins_error(schema_file, text, message):
    with pytest.raises(PluginError, match=message):
        load_schema(schema_file(text))


@pytest.mark.parametrize("reference", ["anydet:nowhere.json", "no_such_package:x.json"])
def test_a_missing_schema_is_the_plugins_error(reference):
    with pytest.raises(PluginError, match=f"{reference} cannot be read"):
        load_schema(reference)


def test_settings_are_checked_against_the_adapters_own_schema(schema_file, monkeypatch):
    module = types.ModuleType("plugin_yolo")
    spec = AdapterSpec("yolo", "nowhere:Yolo", options_schema=schema_file(json.dumps(SCHEMA)))
    module.PLUGIN_API = 2
    module.register_adapters = hookimpl(lambda register: register(spec))
    monkeypatch.setitem(sys.modules, "plugin_yolo", module)
    plugins = Plugins([EntryPoint("yolo", "plugin_yolo", "anydet")])
    settings = plugins.settings(
        "yolo", options=["size=416"], checkpoint="y.onnx", device="cuda:1", batch_size=8, seed=3
    )
    assert settings == AdapterSettings(
        checkpoint="y.onnx",
        device="cuda:1",
        batch_size=8,
        seed=3,
        options={"nms_iou": 0.65, "size": 416},
    )
    with pytest.raises(OptionError, match="did you mean 'size'"):
        plugins.settings("yolo", options=["sise=416"])
    with pytest.raises(PluginError, match="no adapter called 'yolx'"):
        plugins.settings("yolx", options=["size=416"])


def test_options_are_described_from_the_schema():
    rows = {row.name: row for row in option_rows(SCHEMA)}
    assert rows["preset"].type == "yolox|nanodet"
    assert (rows["nms_iou"].type, rows["nms_iou"].default) == ("number", 0.65)
    assert rows["mean"].type == "list of number"
    assert rows["fast"].type == "boolean or null"
    assert rows["either"].type == "integer or auto"
    assert rows["size"].type == "integer"
    assert rows["names"].description == "File."


@pytest.mark.parametrize("pairs", [["a=1", "a=1"], ["nms-iou=0.5", "nms_iou=0.7"]])
def test_an_option_that_is_given_twice_is_refused(pairs):
    with pytest.raises(OptionError, match=r"--ttt-option .* is given twice, as '.*' and '.*'"):
        parse_options(pairs, "--ttt-option")
