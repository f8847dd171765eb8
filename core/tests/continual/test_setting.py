"""Settings are read as a whole before anything is trained; what is wrong names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from anydet.continual.setting import Method, Setting, packaged_settings
from anydet.errors import AnydetError, OptionError, UnsupportedError
from anydet.plugins.manager import Plugins


def test_a_setting_is_read(write, plugins):
    methods = {"a": None, "b": {"lr": "1e-3", "later": {"hflip-prob": 0.5}}, "all": {"joint": True}}
    setting = Setting.read(write(methods=methods, seeds=[3, 3, 0]), plugins, {"val_split": "train"})
    assert [method.name for method in setting.methods] == ["a", "b", "all"]
    assert setting.methods[1].keys_of(0, None) == {"lr": "1e-3"}
    assert setting.methods[1].keys_of(1, None) == {"lr": "1e-3", "hflip_prob": 0.5}
    assert setting.methods[2].joint
    assert setting.baseline.name == "a"
    assert setting.seeds == (3, 0)
    assert setting.tasks[0].val_split == "train"


def test_the_checkpoint_before_is_put_into_later_keys():
    method = Method.read("distilled", {"later": {"project": "{previous}", "log_every": 2}})
    assert method.keys_of(0, Path("runs/a/best.pt")) == {}
    assert method.keys_of(1, Path("runs/a/best.pt")) == {"project": "runs/a/best.pt", "log_every": 2}
    within = Method.read("distilled", {"later": {"model": {"parts": ["{previous}", 1]}}})
    assert within.keys_of(1, Path("a.pt")) == {"model": {"parts": ["a.pt", 1]}}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"metods": {}}, "has no option 'metods' .*did you mean 'methods'"),
        ({"seeds": []}, "seeds"),
        ({"adapter": ...}, "names no adapter, and none is given"),
        ({"adapter": "growin"}, "no adapter called 'growin'"),
        ({"class_groups": ...}, "has neither tasks nor class_groups"),
        ({"tasks": {"a": None}}, "has both tasks and class_groups"),
        ({"class_groups": ..., "tasks": {"a/b": None}}, "task 'a/b': names are"),
        (
            {"class_groups": ..., "tasks": {"a": {"datset": "x"}}},
            r"a: no key 'datset' .*mean 'dataset'",
        ),
        ({"dataset": ...}, "task 'all' has no data set"),
        ({"methods": {"../up": None}}, r"method '\.\./up': names are"),
        ({"methods": {}}, "there is no method"),
        ({"methods": {"a": {"ler": 1}}}, "method 'a': ler: .*has this key; did you mean 'lr'"),
        ({"methods": {"a": {"lr": -1}}}, "method 'a': lr: -1 is less than"),
        ({"methods": {"a": {"later": {"lr": -1}}}}, "method 'a': lr: -1 is less than"),
        ({"methods": {"a": {"later": 3}}}, "method 'a': later: expected training keys"),
        ({"methods": {"a": {"replay": -1}}}, "method 'a': replay: -1 is not a whole number from 0 on"),
        ({"methods": {"a": {"replay_repeat": 0}}}, "replay_repeat: 0 is not a whole number from 1 on"),
        ({"methods": {"a": {"replay_repeat": 2}}}, "replay_repeat is a setting of replay, which is off"),
        ({"methods": {"a": {"joint": "yes"}}}, "joint: 'yes' is neither true nor false"),
        ({"methods": {"a": {"joint": True, "replay": 3}}}, "joint training has no earlier task"),
        ({"methods": {"a": {"project": "{previous}"}}}, "which the first one does not have"),
        ({"methods": {"a": {"project": "{previos}"}}}, r"\{previos\} stands for nothing; did you mean"),
        ({"methods": {"a": {"later": {"project": ["{x}"]}}}}, r"\{x\} stands for nothing"),
        ({"methods": {"a": {"checkpoint": "x.pt"}}}, "training key 'checkpoint' .* of the setting sets it"),
        ({"training": {"run-id": "x"}}, "training key 'run_id' is not one of methods: --out sets it"),
        ({"training": {"use_ema": False, "ema_eval": True}}, "method 'none': ema_eval evaluates an average"),
    ],
)
def test_what_is_wrong_is_said_before_a_training(keys, said, write, plugins):
    with pytest.raises(AnydetError, match=said) as raised:
        Setting.read(write(**keys), plugins)
    assert raised.value.fix
    assert "--lr" not in raised.value.fix


def test_an_adapter_that_cannot_be_trained_is_refused(write):
    with pytest.raises(UnsupportedError, match="training"):
        Setting.read(write(adapter="precomputed"), Plugins([]))


@pytest.mark.parametrize("name", ["two-domains", "coco-40-40"])
def test_a_setting_of_anydet_without_an_adapter_says_which_option_names_it(name, plugins):
    with pytest.raises(OptionError, match=f"{name}.yaml names no adapter") as raised:
        Setting.read(name, plugins)
    assert "--adapter NAME" in raised.value.fix


@pytest.mark.slow
def test_settings_of_anydet_are_known_by_name(plugins, scenes):
    given = {"adapter": "growing", "dataset": str(scenes)}
    assert sorted(packaged_settings()) == ["bike-parts-11-11", "coco-40-40", "coco-70-10", "two-domains"]
    for name in packaged_settings():
        setting = Setting.read(name, plugins, given)
        assert setting.baseline.name == "none"
        assert setting.methods[-1].joint
        assert sum(setting.class_groups) in {0, 22, 80}
    with pytest.raises(
        OptionError, match=r"no such file, and no setting of anydet .*did you mean 'coco-40-40'"
    ):
        Setting.read("coco-4040", plugins, given)
