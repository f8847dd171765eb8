from __future__ import annotations

import pytest

from anydet.errors import OptionError, PluginError
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, Choice, read_tta

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
    assert tta.fusion == Choice("nms", {"iou_threshold": 0.6})


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
        ("hflip:3", {}, OptionError, r"view 'hflip:3' has 1 values, and hflip takes none"),
        ("scale:1:2", {}, OptionError, r"'scale:1:2' has 2 values, and scale takes 1: factor"),
        ("scale:big", {}, OptionError, r"scale option factor: 'big' is not of type 'number'"),
        ("scale", {}, OptionError, r"scale option options: 'factor' is a required property"),
        ("hflip", {"options": {"scal": {"factor": 1}}}, OptionError, r"options for 'scal', which is no view"),
        ("scale:1", {"options": {"scale": {"factr": 1}}}, OptionError, r"did you mean 'factor'"),
        ("hflip", {"weights": (1, 2)}, OptionError, r"2 weights for 1 views"),
        ("hflip", {"weights": (0,)}, OptionError, r"weights of views are positive numbers, not 0"),
        (" , ", {}, OptionError, r"test-time augmentation without views"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_meant(views, more, error, message):
    with pytest.raises(error, match=message):
        read(views, **more)


def test_choices_made_by_hand_are_completed():
    tta = TTA((Choice("scale", {"factor": "0.5"}), Choice("hflip")), Choice("wbf"), (2.0, 1.0))
    assert tta.resolve(PLUGINS).views[0].options == {"factor": 0.5}
    assert tta.resolve(PLUGINS).fusion.options["iou_threshold"] == 0.55
