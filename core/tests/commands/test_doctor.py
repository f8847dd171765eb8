"""``anydet doctor``: what it prints, what it imports and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet.commands.doctor import command
from anydet.plugins.manager import Plugins

BROKEN = Path(__file__).parents[2] / "tests/plugins/broken/src"


@pytest.mark.slow
@pytest.mark.usefixtures("few_packages")
def test_a_sound_installation_exits_0_though_optional_things_are_missing():
    result = CliRunner().invoke(command, ["--json"], obj=Plugins([]))
    assert result.exit_code == 0, result.output
    rows = {(row["group"], row["name"]): row for row in json.loads(result.stdout)}
    assert rows["package", "a-package-nobody-has"]["state"] == "missing"
    assert rows["engine", "pycocotools"]["detail"].startswith("default")
    assert rows["adapter", "precomputed"]["state"] == "ok"
    assert rows["python", sys.implementation.name.replace("cp", "CP")]["detail"] in sys.version
    assert rows["folder", "temporary"]["state"] == "ok"


@pytest.mark.slow
@pytest.mark.usefixtures("few_packages")
def test_a_broken_plugin_exits_1_and_is_named_in_table_and_message(monkeypatch):
    monkeypatch.syspath_prepend(BROKEN)
    plugins = Plugins([EntryPoint("broken", "anydet_broken", "anydet")])
    result = CliRunner().invoke(command, [], obj=plugins)
    assert result.exit_code == 1
    assert "broken: plugin broken: ModuleNotFoundError: No module named" in result.stderr
    assert "plugin" in result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("few_packages")
def test_an_adapter_whose_module_cannot_be_imported_is_broken(tmp_path, monkeypatch):
    (tmp_path / "half_plugin.py").write_text(
        "from anydet.plugins import AdapterSpec, hookimpl\nPLUGIN_API = 2\n"
        "@hookimpl\ndef register_adapters(register):\n"
        "    register(AdapterSpec('half', 'half_plugin.adapter:Half'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(
        command, ["--json"], obj=Plugins([EntryPoint("half", "half_plugin", "anydet")])
    )
    rows = {(row["group"], row["name"]): row["state"] for row in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert (rows["plugin", "half"], rows["adapter", "half"]) == ("ok", "broken")


@pytest.mark.slow
def test_quick_leaves_heavy_packages_alone_and_knows_their_versions():
    code = (
        "import sys\nfrom anydet.cli import main\ntry:\n    main(['doctor', '--quick', '--json'])\n"
        "except SystemExit as exc:\n    code = exc.code\n"
        "heavy = {'torch', 'torchvision', 'onnxruntime', 'onnx', 'cv2', 'pyarrow', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    rows = {(row["group"], row["name"].lower()): row for row in json.loads(done.stdout)}
    assert rows["package", "numpy"]["detail"] == version("numpy")
