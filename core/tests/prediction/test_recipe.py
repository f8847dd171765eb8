from __future__ import annotations

import json
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import EntryPoint
from multiprocessing import get_context
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from anydet import api
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError, PluginError
from anydet.plugins.adapter import Adapter
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import AdapterSpec, TTTMethodSpec
from anydet.prediction.choices import TTA, TTT, Choice, read_tta
from anydet.prediction.export import export_predictions
from anydet.prediction.pipeline import Limits
from anydet.prediction.recipe import Recipe
from anydet.types import AdapterSettings, ImagePredictions

pytest.importorskip("anydet_toy", reason="the recipes run the toy adapter")


def toy_recipe():
    plugins = Plugins(only=["toy"])
    tta = read_tta("original,hflip,scale:1.5", plugins, fusion="wbf", weights=(2, 1, 1))
    return Recipe("toy", plugins.settings("toy", batch_size=3), Limits(0.05, 20), tta)


@pytest.mark.slow
def test_a_pickled_recipe_predicts_the_same_in_another_process(tmp_path):
    recipe, scenes = toy_recipe(), SyntheticDataset(4, 1, (96, 64))
    export = partial(api.export_predictions, recipe, scenes)
    assert export(tmp_path / "here.json").detections
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(export, tmp_path / "there.json").result()
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_a_pipeline_knows_the_recipe_that_it_was_opened_from():
    recipe = toy_recipe()
    plugins = Plugins(only=["toy"])
    with recipe.open(plugins) as pipeline:
        assert Recipe.of(pipeline) == recipe.resolve(plugins)


class Blank(Adapter):
    """Finds nothing, and counts how often it is closed."""

    closed: ClassVar[int] = 0

    def predict(self, records):
        return (ImagePredictions.empty(r.key, r.size_wh) for r in records)

    def close(self):
        Blank.closed += 1


@pytest.fixture
def plugins(monkeypatch):
    """An adapter that counts, and a method that is none."""
    module = ModuleType("registers_blank")
    module.PLUGIN_API = 2
    module.Blank, module.number = Blank, lambda settings: 7
    module.register_adapters = hookimpl(
        lambda register: register(AdapterSpec("blank", "registers_blank:Blank")),
        specname="register_adapters",
    )
    module.register_ttt_methods = hookimpl(
        lambda register: register(TTTMethodSpec("number", "registers_blank:number")),
        specname="register_ttt_methods",
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Blank, "closed", 0)
    return Plugins([EntryPoint("blank", module.__name__, "anydet")])


def test_the_adapter_is_closed_at_the_end_of_the_block(plugins):
    with Recipe("blank").open(plugins) as pipeline:
        record = Record("a", ImageArray(np.zeros((2, 2, 3), np.uint8)))
        assert len(list(pipeline.run([record]))) == 1
        assert Blank.closed == 0
    assert Blank.closed == 1


def test_the_adapter_is_closed_where_a_method_cannot_be_set_up(plugins):
    with pytest.raises(PluginError, match=r"factory of TTT method 'number' returned int, not a TTTMethod"):
        Recipe("blank", ttt=TTT("number")).open(plugins)
    assert Blank.closed == 1


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        (Recipe("tyo"), PluginError, "did you mean 'toy'"),
        (Recipe("toy", AdapterSettings(options={"mask": 1})), OptionError, "did you mean 'masks'"),
        (Recipe("toy", tta=TTA((Choice("hflp"),))), PluginError, "did you mean 'hflip'"),
        (Recipe("toy", ttt=TTT("tant")), PluginError, "no TTT method called 'tant'.*did you mean 'tent'"),
    ],
)
def test_unknown_names_and_options_are_refused_before_anything_is_built(recipe, error, message):
    with pytest.raises(error, match=message):
        recipe.open(Plugins(only=["toy"]))


def test_meta_states_the_views_the_fusion_and_their_options(tmp_path):
    with toy_recipe().open(Plugins(only=["toy"])) as pipeline:
        export_predictions(pipeline, SyntheticDataset(2, 1, (96, 64)), tmp_path / "p.json", wrap=True)
    tta = json.loads((tmp_path / "p.json").read_text())["meta"]["tta"]
    assert (tta["mode"], tta["views"], tta["fusion"]) == ("views", ["original", "hflip", "scale:1.5"], "wbf")
    assert tta["summary"] == {
        "views": [
            {"name": "original", "options": {}, "weight": 2},
            {"name": "hflip", "options": {}, "weight": 1},
            {"name": "scale", "options": {"factor": 1.5}, "weight": 1},
        ],
        "fusion": {"name": "wbf", "options": {"iou_threshold": 0.65, "score_threshold": 0}},
    }


def test_one_view_of_the_image_itself_changes_no_byte(tmp_path):
    for name, tta in (("plain", None), ("viewed", TTA((Choice("original"),)))):
        with Recipe("toy", AdapterSettings(batch_size=2), tta=tta).open(Plugins(only=["toy"])) as pipeline:
            export_predictions(pipeline, SyntheticDataset(3, 2, (96, 64)), tmp_path / f"{name}.json")
    assert (tmp_path / "viewed.json").read_bytes() == (tmp_path / "plain.json").read_bytes()
