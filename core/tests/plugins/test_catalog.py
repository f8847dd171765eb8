from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from anydet.errors import PluginError
from anydet.plugins.catalog import adapter_rows, find_adaptation
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import AdapterSpec, EvaluatorSpec, FusionSpec, TTTMethodSpec


@pytest.fixture
def plugins(monkeypatch):
    hooks = {
        "register_adapters": AdapterSpec("boxes", "nowhere:Boxes", "finds boxes"),
        "register_fusions": FusionSpec("topk", "nowhere:TopK"),
        "register_evaluators": EvaluatorSpec("min", "nowhere:Min"),
        "register_ttt_methods": TTTMethodSpec("still", "nowhere:Still"),
    }
    module = ModuleType("registers_many")
    module.PLUGIN_API = 2
    for hook, spec in hooks.items():
        implementation = hookimpl(lambda register, spec=spec: register(spec), specname=hook)
        setattr(module, hook, implementation)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Plugins([EntryPoint("many", module.__name__, "anydet")])


def test_the_row_of_an_adapter_names_what_else_its_plugin_brings(plugins):
    (row,) = [row for row in adapter_rows(plugins) if row.name == "boxes"]
    assert row.note.startswith("finds boxes; ")
    assert all(what in row.note for what in ("fusion topk", "evaluator min", "TTT method still"))


def test_an_unknown_evaluator_is_an_error_that_lists_the_known_ones(plugins):
    with pytest.raises(PluginError, match=r"no evaluator called 'mix' \(known: .*min"):
        plugins.spec("evaluators", "mix")


def test_a_ttt_method_where_views_and_fusions_are_wanted_is_named_as_such(plugins):
    with pytest.raises(PluginError, match="'still' is a TTT method, not a view or fusion"):
        find_adaptation(plugins, "still", ("views", "fusions"))
