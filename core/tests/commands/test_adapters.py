"""``anydet adapters``: what it prints, what it imports, how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.commands.adapters import command
from anydet.errors import OptionError, PluginError
from anydet.plugins.manager import Plugins

PLUGIN = """
import sys
from anydet.plugins import AdapterSpec, ViewSpec, hookimpl

PLUGIN_API = 2

@hookimpl
def register_adapters(register):
    register(AdapterSpec(
        "quiet", "quiet_plugin.adapter:Quiet", "finds nothing", options_schema="quiet_plugin:options.json"
    ))
    register(AdapterSpec("liar", "quiet_plugin.adapter:Quiet", "promises too much",
                         capabilities=("predict", "train")))
"""
ADAPTER = """
from anydet.plugins.adapter import Adapter
from anydet.types import ImagePredictions

class Quiet(Adapter):
    def predict(self, records):
        for record in records:
            height, width = record.image().shape[:2]
            yield ImagePredictions.empty(record.key, (width, height))
"""
OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "level": {"type": "integer", "default": 3, "description": "How quiet."},
        "mode": {"enum": ["a", "b"], "description": "Which way."},
    },
}
VIEWS = """
from anydet.plugins import ViewSpec, hookimpl

PLUGIN_API = 2

@hookimpl
def register_views(register):
    register(ViewSpec("upside_down", "nowhere:View"))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three plugins on disk: adapters, a view only, and a broken one."""
    package = tmp_path / "quiet_plugin"
    package.mkdir()
    (package / "__init__.py").write_text(PLUGIN)
    (package / "adapter.py").write_text(ADAPTER)
    (package / "options.json").write_text(json.dumps(OPTIONS))
    (tmp_path / "view_plugin.py").write_text(VIEWS)
    (tmp_path / "sad_plugin.py").write_text("import a_library_that_is_not_here")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith(("quiet_plugin", "view_plugin"))]:
        del sys.modules[name]


@pytest.fixture
def plugins(folder):
    names = {"quiet": "quiet_plugin", "views": "view_plugin", "sad": "sad_plugin"}
    return Plugins([EntryPoint(name, module, "anydet") for name, module in names.items()])


def run(plugins, *arguments):
    return CliRunner().invoke(command, arguments, obj=plugins)


def test_list_shows_adapters_then_plugins_without_any_with_their_reason(plugins):
    result = run(plugins, "list")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["name", "liar", "precomputed", "quiet", "sad", "views"]
    assert lines[1][:3] == ["liar", "detect", "predict,train"]
    assert "failed  ModuleNotFoundError: No module named 'a_library_that_is_not_here'" in result.stdout
    assert "brings view upside_down" in result.stdout


def test_list_as_json_has_the_same_rows(plugins):
    rows = json.loads(run(plugins, "list", "--json").stdout)
    assert [(row["name"], row["state"]) for row in rows] == [
        ("liar", "ok"),
        ("precomputed", "ok"),
        ("quiet", "ok"),
        ("sad", "failed"),
        ("views", "ok"),
    ]
    assert rows[2] == {
        "name": "quiet",
        "tasks": ["detect"],
        "capabilities": ["predict"],
        "package": "?",
        "version": "?",
        "state": "ok",
        "note": "finds nothing",
        "fix": "",
    }


def test_show_prints_the_options_with_type_default_and_description(plugins):
    result = run(plugins, "show", "quiet")
    assert result.exit_code == 0
    assert "quiet: finds nothing" in result.stdout
    assert [line.split() for line in result.stdout.splitlines()[-2:]] == [
        ["level", "integer", "3", "How", "quiet."],
        ["mode", "a|b", "Which", "way."],
    ]
    shown = json.loads(run(plugins, "show", "quiet", "--json").stdout)
    assert shown["capabilities"] == ["predict"]
    assert shown["options"][0] == {
        "name": "level",
        "type": "integer",
        "default": 3,
        "description": "How quiet.",
    }
    assert "no options" in run(plugins, "show", "liar").stdout


def test_show_of_an_unknown_name_is_an_error(plugins):
    assert isinstance(run(plugins, "show", "quite").exception, PluginError)


def test_check_prints_a_row_a_check_and_exits_0_where_all_hold(plugins):
    result = run(plugins, "check", "quiet", "--option", "level=4")
    assert result.exit_code == 0
    assert "ok     one_result_per_record" in result.stdout
    assert "skip   predict_loads_what_train_saved" in result.stdout
    assert "FAIL" not in result.stdout


def test_check_exits_1_and_says_what_to_change(plugins):
    result = run(plugins, "check", "liar", "--json")
    assert result.exit_code == 1
    (failed,) = [row for row in json.loads(result.stdout) if row["state"] == "FAIL"]
    assert failed["check"] == "declared_capabilities_are_implemented"
    assert "declares 'train' without train()" in failed["reason"]


def test_check_refuses_options_that_the_adapter_does_not_have(plugins):
    result = run(plugins, "check", "quiet", "--option", "levle=4")
    assert isinstance(result.exception, OptionError)
    assert "did you mean 'level'" in str(result.exception)


@pytest.mark.parametrize("arguments", [["list"], ["show", "quiet", "--json"]])
def test_listing_imports_no_adapter_and_nothing_heavy(folder, arguments):
    info = folder / "quiet_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quiet-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[anydet]\nquiet = quiet_plugin\n")
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from anydet.cli import main\n"
        f"main({['adapters', *arguments]!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'onnxruntime', 'openvino', 'cv2', 'numpy', 'PIL', 'rich'}\n"
        "heavy |= {'quiet_plugin.adapter'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "quiet" in result.stdout
    assert result.stderr == "[]\n"


@pytest.mark.parametrize("name", ["list", "show", "check"])
def test_every_help_ends_with_an_example(name):
    lines = run(None, name, "--help").stdout.rstrip().splitlines()
    example = [line.strip() for line in lines[lines.index("  Example:") + 1 :]]
    assert example
    assert all(f"anydet adapters {name}" in line for line in example)


def test_the_command_prints_the_folder_and_what_to_type_next(tmp_path):
    folder = tmp_path / "two words"
    done = CliRunner().invoke(command, ["new", "my_det", "--out", str(folder)], obj=Plugins([]))
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{folder}\n"
    assert [line.strip() for line in done.stderr.splitlines()[1:4]] == [
        f"python -m pip install -e '{folder}[test]'",
        "anydet adapters check my_det",
        f"python -m pytest '{folder}'",
    ]


def test_the_command_as_json_has_the_files_and_the_next_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, ["new", "my_det", "--json"], obj=Plugins([]))
    shown = json.loads(done.stdout)
    assert shown["folder"] == "my_det"
    assert all((tmp_path / "my_det" / name).is_file() for name in shown["files"])
    assert shown["next"][0] == "python -m pip install -e './my_det[test]'"
    assert done.stderr == ""


def test_a_refused_name_is_a_message_with_a_fix():
    done = CliRunner().invoke(main, ["adapters", "new", "My-Det"], obj=Plugins([]))
    assert done.exit_code == 1
    assert "\n  fix: anydet adapters new my_det\n" in done.stderr


@pytest.mark.slow
def test_training_keys_are_shown_with_the_adapter(recorder_plugins):
    shown = CliRunner().invoke(main, ["adapters", "show", "recorder"], obj=recorder_plugins).stdout
    assert "training key  takes    default" in shown
    assert "lr            number   0.5      Base learning rate." in shown
    as_json = (
        CliRunner().invoke(main, ["adapters", "show", "recorder", "--json"], obj=recorder_plugins).stdout
    )
    assert [row["name"] for row in json.loads(as_json)["training"]] == ["lr", "width", "norm"]
