"""``anydet plugins``: what a name stands for, one table of all checks, how it exits."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
from click.testing import CliRunner

from anydet.adaptation.tta.views import Mirrored
from anydet.commands.plugins import _KINDS, command
from anydet.errors import OptionError, PluginError
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import KINDS, Plugins
from anydet.plugins.specs import FusionSpec, ViewSpec

TTA = "anydet.adaptation.tta"


@pytest.fixture
def plugins(monkeypatch):
    """A plugin of a view that conforms, a view that does not exist, and a fusion; and one that fails."""
    module = ModuleType("several_plugin")
    module.PLUGIN_API = 2

    def register_views(register):
        register(ViewSpec("mirror", f"{TTA}.views:Mirrored"))
        register(ViewSpec("absent", "nowhere_at_all:View"))

    def register_fusions(register):
        register(
            FusionSpec(
                "mirror", f"{TTA}.fusions:NonMaximumSuppression", options_schema=f"{TTA}:nms.schema.json"
            )
        )

    module.register_views, module.register_fusions = hookimpl(register_views), hookimpl(register_fusions)
    module.on_train_end = hookimpl(lambda: None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    points = {"several": module.__name__, "sad": "a_library_that_is_not_here"}
    return Plugins([EntryPoint(name, value, "anydet") for name, value in points.items()])


def run(plugins, *arguments):
    return CliRunner().invoke(command, arguments, obj=plugins)


def checked(plugins, *arguments):
    rows = json.loads(run(plugins, "check", *arguments, "--json").stdout)
    return {(row["kind"], row["name"]) for row in rows}


def test_list_shows_what_plugins_bring_and_why_one_failed(plugins):
    shown = run(plugins, "list")
    assert shown.exit_code == 0
    assert "several" in shown.stdout
    cells = [line.split(maxsplit=5) for line in shown.stdout.splitlines()]
    assert ["register_views", "mirror, absent"] in [line[-2:] for line in cells]
    assert ["register_fusions", "mirror"] in cells, "one line a hook, and the plugin is named in its first"
    assert ["on_train_end", "observes"] in cells
    assert "No module named 'a_library_that_is_not_here'" in shown.stdout
    rows = json.loads(run(plugins, "list", "--json").stdout)
    assert [(row["name"], row["state"]) for row in rows] == [("sad", "failed"), ("several", "ok")]
    hooks = {"register_views": ["mirror", "absent"], "register_fusions": ["mirror"], "on_train_end": []}
    assert rows[1]["hooks"] == hooks


@pytest.mark.slow
def test_a_plugin_stands_for_all_that_it_registers(plugins):
    mirrors = {("views", "mirror"), ("fusions", "mirror")}
    assert checked(plugins, "several") == mirrors | {("views", "absent")}
    assert checked(plugins, "several", "--kind", "fusions") == {("fusions", "mirror")}
    assert checked(plugins, "mirror") == mirrors
    assert checked(plugins, "mirror", "--kind", "views") == {("views", "mirror")}
    core = {("fusions", name) for name in ("nms", "wbf", "nmw", "soft-nms")}
    assert checked(plugins, "anydet", "--kind", "fusions") == core


def test_all_checks_are_one_table_and_what_cannot_be_imported_is_one_row_of_it(plugins):
    done = run(plugins, "check", "several")
    assert done.exit_code == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert "view absent" in failed[0]
    assert "No module named 'nowhere_at_all'" in failed[0]
    assert "ok     view mirror    boxes_come_back_to_what_they_show" in done.stdout
    assert run(plugins, "check", "mirror").exit_code == 0


def test_a_failed_check_exits_with_one(plugins, monkeypatch):
    monkeypatch.setattr(Mirrored, "apply", lambda self, record: ())
    done = run(plugins, "check", "mirror", "--kind", "views")
    assert done.exit_code == 1
    assert "no record; give at least (record,)" in done.stdout


def test_options_go_to_the_one_thing_that_is_named(plugins):
    assert run(plugins, "check", "scale", "--option", "factor=0.5").exit_code == 0
    without = run(plugins, "check", "scale")
    assert without.exit_code == 1
    assert "needs option factor" in without.stdout
    for arguments in (("several",), ("mirror",), ("hflip", "--kind", "views")):
        refused = run(plugins, "check", *arguments, "--option", "factor=0.5")
        assert isinstance(refused.exception, OptionError)


def test_an_unknown_name_is_an_error_with_what_was_meant(plugins):
    wrong = run(plugins, "check", "severl").exception
    assert isinstance(wrong, PluginError)
    assert "did you mean 'several'?" in str(wrong)
    assert "is not loaded: ModuleNotFoundError" in str(run(plugins, "check", "sad").exception)


def test_every_kind_can_be_chosen():
    assert list(KINDS) == list(_KINDS)


def test_without_a_name_all_that_plugins_bring_is_checked_and_a_failed_plugin_is_an_error(
    monkeypatch, plugins
):
    assert "'sad' is not loaded" in str(run(plugins, "check").exception)
    module = ModuleType("needy_plugin")
    module.PLUGIN_API = 2
    views = f"{TTA}.views"

    def register_views(register):
        register(ViewSpec("mirror", f"{views}:Mirrored"))
        register(ViewSpec("smaller", f"{views}:Scaled", options_schema=f"{TTA}:scale.schema.json"))

    module.register_views = hookimpl(register_views)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    done = run(Plugins([EntryPoint("needy", module.__name__, "anydet")]), "check", "--json")
    states = {(row["name"], row["state"]) for row in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert ("smaller", "skip") in states, "nobody could give its option"
    assert ("mirror", "ok") in states
    assert "FAIL" not in done.stdout
    empty = run(Plugins([]), "check", "--kind", "views").exception
    assert "no installed plugin brings anything of kind 'views'" in str(empty)
