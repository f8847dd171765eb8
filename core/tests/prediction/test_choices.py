from __future__ import annotations

import re
import sys
from functools import partial
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from anydet.errors import OptionError, PluginError
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import TTTMethodSpec
from anydet.prediction.choices import TTA, TTT, Choice, read_tta
from anydet.prediction.hooks import TTTSettings

PLUGINS = Plugins([])


def read(views, **more):
    return read_tta(views, PLUGINS, **more)


def test_values_behind_a_name_fill_its_options_in_order():
    tta = read("original, scale:0.5,random_hflip")
    assert tta.views == (
        Choice("original"),
        Choice("scale", {"factor": 0.5}),
        Choice("random_hflip", {"flip_prob": 0.5}),
    )
    assert [str(view) for view in tta.views] == ["original", "scale:0.5", "random_hflip:0.5"]
    assert tta.fusion == Choice("wbf", {"iou_threshold": 0.65, "score_threshold": 0})


def test_what_is_printed_reads_as_the_same_choices():
    tta = read("scale:0.5,random_hflip:0.25,hflip")
    assert read(",".join(map(str, tta.views))) == tta


def test_long_options_hold_where_the_short_form_leaves_them_open():
    options = {"scale": {"factor": "2"}, "wbf": {"iou_threshold": "0.7"}}
    tta = read("scale,scale:0.5,scale:", fusion="wbf", options=options)
    assert [view.options["factor"] for view in tta.views] == [2, 0.5, 2]
    assert tta.fusion.options == {"iou_threshold": 0.7, "score_threshold": 0}


@pytest.mark.parametrize(
    ("views", "more", "error", "message"),
    [
        ("origina", {}, PluginError, r"no view called 'origina' .*did you mean 'original'"),
        ("hflip", {"fusion": "wfb"}, PluginError, r"no fusion called 'wfb' .*did you mean 'wbf'"),
        ("hflip:3", {}, OptionError, r"view 'hflip:3' has 1 value, and hflip takes none"),
        ("scale:1:2", {}, OptionError, r"'scale:1:2' has 2 values, and scale takes 1: factor"),
        ("scale:big", {}, OptionError, r"scale option factor: 'big' is not of type 'number'"),
        ("scale", {}, OptionError, r"scale needs option factor"),
        ("hflip", {"options": {"scal": {"factor": 1}}}, OptionError, r"options for 'scal', which is no view"),
        ("scale:1", {"options": {"scale": {"factr": 1}}}, OptionError, r"did you mean 'factor'"),
        ("hflip", {"weights": (1, 2)}, OptionError, r"2 weights for 1 view$"),
        ("hflip", {"weights": (0,)}, OptionError, r"weights: 0 is not a finite number above 0"),
        (
            "scale:1,scale:2",
            {"options": {"scale": {"factor": 1}}},
            OptionError,
            r"option scale.factor has no effect: scale:1, scale:2 states it already",
        ),
        ("", {}, OptionError, r"test-time augmentation without views"),
        (" , ", {}, OptionError, r"test-time augmentation without views"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_meant(views, more, error, message):
    with pytest.raises(error) as caught:
        read(views, **more)
    assert re.search(message, caught.value.problem)


@pytest.mark.parametrize(
    ("name", "fix"),
    [("nms", "--tta-fusion nms"), ("scale", "--tta-views"), ("scal", "anydet adaptation list")],
)
def test_the_fix_of_options_without_owner_says_how_the_owner_joins_the_run(name, fix):
    with pytest.raises(OptionError) as caught:
        read("hflip", options={name: {"factor": 1}})
    assert fix in caught.value.fix


@pytest.fixture
def method_of(monkeypatch):
    """Makes plugins with one method of test-time training, whose factory is never imported."""
    return partial(_method_of, monkeypatch)


def _method_of(monkeypatch, **spec):
    module = ModuleType("registers_method")
    module.PLUGIN_API = 2
    module.register_ttt_methods = hookimpl(
        lambda register: register(TTTMethodSpec("method", "nowhere:Method", **spec)),
        specname="register_ttt_methods",
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Plugins([EntryPoint("method", module.__name__, "anydet")])


def test_a_source_data_set_and_its_statistics_are_one_too_many(method_of):
    plugins = method_of(settings=("source", "statistics"))
    TTT("method", source="data").resolve(plugins)
    TTT("method", TTTSettings(statistics="a.npz")).resolve(plugins)
    with pytest.raises(OptionError, match=r"method takes a data set \(data\) or its statistics \(a.npz\)"):
        TTT("method", TTTSettings(statistics="a.npz"), source="data").resolve(plugins)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (TTT("method", TTTSettings(preset="saf")), "no preset 'saf': its presets are safe, fast.*'safe'"),
        (TTT("method", TTTSettings(lr=0.1)), r"does not use the setting lr \(it uses steps, batch_size\)"),
        (TTT("method", source="data"), r"does not use the setting source"),
        (TTT("method", source_split="val"), r"split 'val' of a source data set, and no source data set"),
    ],
)
def test_settings_that_a_method_does_not_use_are_refused(method_of, choice, message):
    plugins = method_of(presets={"safe": {}, "fast": {}}, settings=("steps", "batch_size"))
    with pytest.raises(OptionError, match=message):
        choice.resolve(plugins)
    used = TTT("method", TTTSettings(preset="safe", steps=2, batch_size=1))
    assert used.resolve(plugins) == used


def test_a_method_without_presets_refuses_each(method_of):
    with pytest.raises(OptionError, match="no preset 'huh': it has no presets"):
        TTT("method", TTTSettings(preset="huh")).resolve(method_of())


def test_choices_made_by_hand_are_completed():
    tta = TTA((Choice("scale", {"factor": "0.5"}), Choice("hflip")), Choice("wbf"), (2.0, 1.0))
    assert tta.resolve(PLUGINS).views[0].options == {"factor": 0.5}
    assert tta.resolve(PLUGINS).fusion.options["iou_threshold"] == 0.65


def test_weights_of_one_are_no_weights():
    plugins = Plugins(())
    assert read_tta("original,hflip", plugins, weights=(1, 1)) == read_tta("original,hflip", plugins)
    assert read_tta("original,hflip", plugins, weights=(2, 2)).weights == (2, 2)
