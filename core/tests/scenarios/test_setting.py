"""Settings: what is wrong in one is named, with what was probably meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anydet.data.corruptions.corruption import Corruption
from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet.scenarios.changes import LowLight, Occlusion, Rotation
from anydet.scenarios.selections import SmallObjects
from anydet.scenarios.setting import PACKAGED, Setting
from anydet.scenarios.thresholds import Threshold
from anydet.training.config.config_file import settings_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def read(tmp_path, oracle_plugins):
    """The setting of some keys, of the adapter oracle where they name none."""

    def read(given=None, **keys):
        path = tmp_path / "setting.json"
        path.write_text(json.dumps({"adapter": "oracle", **keys}))
        return Setting.read(path, oracle_plugins, given)

    return read


def names(setting):
    return [one.name for one in setting.scenarios]


def test_a_scenario_has_its_changes_in_order_and_the_seed_of_the_setting(read):
    both = {"occlusion": {"fraction": 0.5}, "low_light": {}, "small_objects": None}
    (found,) = read(seed=3, least_visible=0.5, scenarios={"both": both}).scenarios
    assert found.changes == (Occlusion(0.5, seed=3), LowLight(seed=3))
    assert found.selections == (SmallObjects(),)
    assert (found.least_visible, found.optional) == (0.5, False)


def test_corruptions_are_a_scenario_each(read):
    entry = {"corruption": {"names": ["fog", "snow"], "severities": [1, 5]}, "rotation": {"degrees": 5}}
    setting = read(scenarios={"clean": None, "bad": entry})
    assert names(setting) == [
        "clean",
        "bad-snow-1",
        "bad-snow-5",
        "bad-fog-1",
        "bad-fog-5",
    ]  # in ImageNet-C's order
    assert setting.scenarios[2].changes == (Corruption("snow", 5, 0), Rotation(5.0))
    assert names(setting.only(["bad-snow"])) == ["bad-snow-1", "bad-snow-5"]
    assert names(setting.only(["bad-fog-1", "clean"])) == ["clean", "bad-fog-1"]
    with pytest.raises(OptionError, match=r"no scenario called 'claen'.*did you mean 'clean'"):
        setting.only(["claen"])


def test_thresholds_of_a_scenario_replace_those_of_all(read):
    scenarios = {"one": {"thresholds": {"AP": {"min": 0.1}}}, "two": {"optional": True}}
    one, two = read(thresholds={"AP": {"min": 0.5}, "recall": {"max": 1}}, scenarios=scenarios).scenarios
    assert set(one.thresholds) == {Threshold("recall", None, 1), Threshold("AP", 0.1)}
    assert set(two.thresholds) == {Threshold("AP", 0.5), Threshold("recall", None, 1)}
    assert (one.optional, two.optional) == (False, True)


WRONG = {
    "a key": ({"scenarois": {}}, "scenarois.*did you mean 'scenarios'"),
    "a kind": ({"scenarios": {"a": {"low_ligth": {}}}}, "scenario 'a'.*low_ligth.*did you mean 'low_light'"),
    "an option": (
        {"scenarios": {"a": {"low_light": {"lite": 1}}}},
        "scenario 'a': low_light.*lite.*did you mean 'light'",
    ),
    "a value": ({"scenarios": {"a": {"scale": {"factor": 0}}}}, "scenario 'a': scale.*factor"),
    "no entry": ({"scenarios": {"a": 3}}, "scenarios"),
    "a kind without keys": ({"scenarios": {"a": {"scale": 2}}}, "scenario 'a'.*scale"),
    "no scenario": ({"scenarios": {}}, "scenarios"),
    "a name": ({"scenarios": {"../a": {}}}, "scenario '../a': names are"),
    "one name twice": (
        {"scenarios": {"a": {"corruption": {"names": ["fog"], "severities": [1, 2]}}, "a-fog-1": {}}},
        "two scenarios are called 'a-fog-1'",
    ),
    "a corruption": ({"scenarios": {"a": {"corruption": {"names": ["fogg"]}}}}, "did you mean 'fog'"),
    "a number": ({"thresholds": {"recal": {"min": 0}}}, "threshold 'recal'.*did you mean 'recall'"),
    "an evaluator": ({"thresholds": {"poes/x": {"min": 0}}}, "threshold 'poes/x'.*did you mean 'pose'"),
    "a bound": ({"thresholds": {"AP": {"mn": 0}}}, "'mn' is neither min nor max.*did you mean 'min'"),
    "no bound": ({"thresholds": {"AP": {}}}, "expected min or max"),
    "no number": ({"thresholds": {"AP": {"min": "high"}}}, "'high' is no finite number"),
    "a flag": ({"thresholds": {"AP": {"min": True}}}, "True is no finite number"),
    "bounds that exclude all": ({"thresholds": {"AP": {"min": 1, "max": 0}}}, "min 1 is above max 0"),
    "of a scenario": ({"scenarios": {"a": {"thresholds": {"AP": 1}}}}, "scenario 'a': threshold 'AP'"),
    "predictions": ({"predictions": "p.json"}, "a predictions file is for the adapter precomputed"),
    "no predictions": ({"adapter": "precomputed"}, "precomputed has no predictions file"),
    "no adapter": ({"adapter": None}, "names no adapter"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case, read):
    keys, said = WRONG[case]
    with pytest.raises(OptionError, match=said) as found:
        read(**keys)
    assert found.value.fix


def test_keys_of_an_adapter_are_not_those_of_another_one(read):
    of_it = {
        "config": "big",
        "checkpoint": "w.pt",
        "device": "cuda",
        "options": {"size": 3},
        "image_size": 64,
    }
    setting = read({"adapter": "oracle"}, adapter="other", max_images=3, **of_it)
    settings = setting.recipe.settings
    assert (settings.config, settings.checkpoint, settings.device) == (None, None, "cpu")
    assert dict(settings.options) == {}
    assert setting.max_images == 3


def test_settings_of_anydet_are_read_by_name(oracle_plugins):
    assert sorted(settings_of(PACKAGED)) == ["poses", "standard"]
    for name in settings_of(PACKAGED):
        setting = Setting.read(name, oracle_plugins, {"adapter": "oracle"})
        assert names(setting)[0] == "clean"
        assert len(names(setting)) > 8
    with pytest.raises(OptionError, match=r"no setting of anydet \(poses, standard\); did you mean 'poses'"):
        Setting.read("pose", oracle_plugins)


def test_the_example_is_a_setting():
    setting = Setting.read(
        ROOT / "docs/examples/test_setting.yaml", Plugins(()), {"adapter": "precomputed", "predictions": "p"}
    )
    assert {type(step).__name__ for one in setting.scenarios for step in one.changes} == {
        "Corruption",
        "LowLight",
        "Occlusion",
        "Scale",
        "Rotation",
    }


@pytest.mark.parametrize(
    ("least", "most", "value", "met"),
    [
        (0.3, None, 0.3, True),
        (0.3, None, 0.29, False),
        (None, 5.0, 5.0, True),
        (None, 5.0, 5.1, False),
        (0.1, 0.2, 0.15, True),
        (0.1, None, None, False),
    ],
)
def test_a_threshold_is_met_at_its_bound_and_never_by_nothing(least, most, value, met):
    assert Threshold("AP", least, most).met_by(value) is met
