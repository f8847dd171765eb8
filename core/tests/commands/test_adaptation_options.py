from __future__ import annotations

import click
import pytest

from anydet.commands.adaptation_options import adaptation_options, read_tta_flags, read_ttt_flags
from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import Choice, Perturbation


def read(*arguments):
    """What the flags give, as (TTA, TTT)."""
    found = []

    @click.command()
    @adaptation_options
    def command(**flags):
        plugins = Plugins([])
        found.append((read_tta_flags(plugins, flags), read_ttt_flags(plugins, flags)))

    command.main(list(arguments), standalone_mode=False)
    return found[0]


def owned_flags():
    """Each flag that belongs to --tta or --ttt, with a value that it takes."""
    values = {
        "tta_weights": "1",
        "tta_options": "scale.factor=1",
        "ttt_options": "a=1",
        "ttt_reset": "sample",
        "ttt_update_filter": "all",
        "ttt_mim_mask_prob": "0.5",
    }
    switches = {"tta", "ttt", "tta_mode", "tta_views", "ttt_method", "ttt_preset"}
    command = adaptation_options(lambda **_flags: None)
    options = [option for option in click.command()(command).params if option.name not in switches]
    return [
        (option.opts[0],) if option.is_flag else (option.opts[0], values.get(option.name, "1"))
        for option in options
    ]


@pytest.mark.parametrize("words", owned_flags(), ids=" ".join)
def test_no_flag_of_a_group_is_ignored_without_its_switch(words):
    with pytest.raises(click.UsageError, match=f"{words[0]} needs --tt"):
        read(*words)


def test_the_mode_of_predictions_is_read_with_its_own_flags():
    assert read("--tta-mode", "prediction") == (Perturbation(0, 0.5, False), None)
    words = ("--tta-seed", "3", "--tta-flip-prob", "0", "--tta-norm-only")
    assert read("--tta", "--tta-mode", "prediction", *words) == (Perturbation(3, 0.0, True), None)
    assert read("--tta-mode", "views") == read("--tta")


@pytest.mark.parametrize(
    "words",
    [
        ("--tta-views", "hflip"),
        ("--tta-fusion", "nms"),
        ("--tta-weights", "1"),
        ("--tta-option", "nms.iou_threshold=0.5"),
    ],
    ids=" ".join,
)
def test_flags_of_views_are_refused_where_there_are_none(words):
    with pytest.raises(click.UsageError, match=f"{words[0]} needs --tta-mode views"):
        read("--tta-mode", "prediction", *words)


def test_norm_only_is_refused_where_views_are_predicted():
    with pytest.raises(click.UsageError, match="--tta-norm-only needs --tta-mode prediction"):
        read("--tta", "--tta-norm-only")


def test_nothing_is_read_where_no_flag_is_given():
    assert read() == (None, None)


def test_defaults_are_those_that_the_help_states():
    tta, _ = read("--tta")
    assert tta.views == (Choice("original"), Choice("random_hflip", {"flip_prob": 0.5}))
    assert (tta.fusion.name, tta.weights, tta.seed) == ("wbf", (), 0)


def test_the_flip_probability_reaches_each_view_that_leaves_it_open():
    tta, _ = read("--tta-views", "random_hflip:0.3,random_hflip", "--tta-flip-prob", "0")
    assert [view.options["flip_prob"] for view in tta.views] == [0.3, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tta-views", "hflip", "--tta-flip-prob", "1"), "random_hflip, which is not among the views"),
        (("--tta-views", "random_hflip:0.3", "--tta-flip-prob", "1"), "flip_prob has no effect"),
        (("--tta", "--tta-flip-prob", "1", "--tta-option", "random_hflip.flip_prob=0"), "the same option"),
        (("--tta-views", ""), "test-time augmentation without views"),
        (("--tta-views", "hflip", "--tta-fusion", ""), "no fusion called ''"),
        (("--ttt-method", ""), "no TTT method called ''"),
        (("--ttt-preset", "saef"), "a preset 'saef'.*did you mean 'safe'"),
        (
            ("--ttt-method", "norm", "--ttt-preset", "safe"),
            "norm has no preset 'safe': its presets are norm_safe",
        ),
        (("--ttt-method", "norm", "--ttt-lr", "1"), "norm does not use the setting lr"),
        (
            ("--ttt", "--ttt-mim-patch-size", "8"),
            "--ttt-mim-patch-size is an option of mim, and the method is tent",
        ),
        (
            ("--ttt-method", "mim", "--ttt-mim-patch-size", "8", "--ttt-option", "patch_size=8"),
            "--ttt-mim-patch-size and --ttt-option patch_size are the same option",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(arguments, message):
    with pytest.raises(Exception, match=message):
        read(*arguments)


def test_an_empty_list_of_weights_is_refused():
    with pytest.raises(click.BadParameter, match="not a list of positive numbers"):
        read("--tta", "--tta-weights", "")


@pytest.mark.parametrize(
    ("pair", "fix"),
    [
        ("nms.iou_threshold", "--tta-option nms.iou_threshold=value"),
        ("iou_threshold=0.5", "--tta-option NAME.iou_threshold=value"),
        ("nms.=0.5", "--tta-option nms.key=value"),
        (".iou_threshold=0.5", "--tta-option NAME.iou_threshold=value"),
    ],
)
def test_the_fix_of_a_malformed_option_keeps_what_is_there(pair, fix):
    with pytest.raises(OptionError) as caught:
        read("--tta", "--tta-option", pair)
    assert caught.value.fix == f"write {fix}"


@pytest.mark.parametrize(
    ("arguments", "method", "preset"),
    [
        (("--ttt",), "tent", None),
        (("--ttt-preset", "safe"), "tent", "safe"),
        (("--ttt", "--ttt-preset", "mim_safe"), "mim", "mim_safe"),
        (("--ttt-method", "align"), "align", None),
    ],
)
def test_a_preset_says_which_method_it_is_of(arguments, method, preset):
    _, ttt = read(*arguments)
    assert (ttt.method, ttt.settings.preset) == (method, preset)


def test_what_is_given_goes_before_the_preset():
    _, ttt = read("--ttt-preset", "safe", "--ttt-lr", "0.5", "--ttt-include", "neck, head.*")
    assert (ttt.settings.lr, ttt.settings.batch_size, ttt.settings.include) == (0.5, 8, ("neck", "head.*"))


def test_flags_of_mim_are_its_options():
    _, ttt = read("--ttt-preset", "mim_safe", "--ttt-mim-mask-prob", "0.4", "--ttt-mim-mask-value", "-1")
    options = ttt.settings.options
    assert (options["mask_prob"], options["patch_size"], options["mask_value"]) == (0.4, None, -1)
