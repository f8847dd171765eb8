from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

from click.testing import CliRunner

from anydet.cli import main
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import TTTMethodSpec


def run(*arguments):
    return CliRunner().invoke(main, ["adaptation", *arguments])


def test_the_list_has_views_and_fusions():
    listed = {(row["kind"], row["name"]) for row in json.loads(run("list", "--json").stdout)}
    assert {("view", "original"), ("view", "scale"), ("fusion", "nms"), ("fusion", "wbf")} <= listed
    assert "wbf" in run("list").stdout


def test_show_names_the_options():
    (shown,) = json.loads(run("show", "scale", "--json").stdout)
    assert (shown["kind"], shown["options"][0]["name"]) == ("view", "factor")
    assert "iou_threshold" in run("show", "nms").stdout
    assert "no options" in run("show", "hflip").stdout


def test_show_names_presets_and_settings_of_a_method(monkeypatch):
    module = ModuleType("registers_method")
    module.PLUGIN_API = 2
    spec = TTTMethodSpec("still", "nowhere:Still", presets={"safe": {"lr": 1e-4}}, settings=("steps", "lr"))
    module.register_ttt_methods = hookimpl(lambda register: register(spec), specname="register_ttt_methods")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    plugins = Plugins([EntryPoint("still", module.__name__, "anydet")])
    shown = CliRunner().invoke(main, ["adaptation", "show", "still"], obj=plugins).stdout
    assert "presets: safe\nsettings: steps, lr" in shown


def test_an_unknown_name_is_an_error_with_what_was_meant():
    done = run("show", "scal")
    assert done.exit_code == 1
    assert "no view, fusion or TTT method called 'scal'" in done.output
    assert "did you mean 'scale'?" in done.output
