"""``anydet doctor``: what it looks at, and when it says that something is broken."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet import diagnosis
from anydet.commands.doctor import command
from anydet.diagnosis import Requirement, folder_finding, package_finding, package_findings
from anydet.plugins.manager import Plugins

BROKEN = Path(__file__).parents[2] / "tests/plugins/broken/src"


@pytest.mark.parametrize(
    ("text", "found", "allowed"),
    [
        ("numpy<3,>=1.26", "1.26.0", True),
        ("numpy<3,>=1.26", "2.4.1", True),
        ("numpy<3,>=1.26", "1.9", False),
        ("numpy<3,>=1.26", "3.0.0", False),
        ("torch>=2.4; extra == 'torch'", "2.10.0+cpu", True),
        ("torch>=2.4; extra == 'torch'", "2.4", True),
        ("anydet-onnxruntime; extra == 'onnx'", "0.0.1", True),
    ],
)
def test_a_version_is_held_to_its_declared_range(text, found, allowed):
    assert Requirement.parse(text).allows(found) == allowed


def test_what_is_missing_is_broken_where_it_is_required_and_missing_where_it_is_optional():
    required, optional = (
        package_finding(Requirement.parse(f"a-package-nobody-has>=1{marker}"))
        for marker in ("", "; extra == 'plot'")
    )
    assert (required.state, optional.state) == ("broken", "missing")


def test_an_installed_package_outside_its_range_is_broken():
    finding = package_finding(Requirement.parse("numpy>=99"))
    assert finding.state == "broken"
    assert finding.detail == f"{version('numpy')} is not >=99 (required)"


def test_an_installed_package_whose_import_raises_is_broken(tmp_path, monkeypatch, capsys):
    info = tmp_path / "sad_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sad-package\nVersion: 1.0\n")
    (tmp_path / "sad_package.py").write_text("print('hello')\nraise OSError('no such library')")
    monkeypatch.syspath_prepend(tmp_path)
    finding = package_finding(Requirement.parse("sad-package>=1"))
    assert (finding.state, finding.detail) == ("broken", "OSError: no such library")
    assert capsys.readouterr().out == ""


def test_every_dependency_of_core_is_found_once_and_works():
    lines = [line for line in diagnosis.requires("anydet") if "extra" not in line]
    listed = list(package_findings([*lines, *lines, "anydet[plot]; extra == 'all'"]))
    findings = {f.name.lower(): f for f in listed}
    assert len(listed) == len(findings) == len(lines) + 1
    assert findings["numpy"].detail == version("numpy")
    assert {"anydet", "pillow", "pyyaml"} <= findings.keys()
    assert {finding.state for finding in listed} == {"ok"}


def test_a_folder_that_cannot_be_written_to_says_why(tmp_path):
    assert folder_finding("current", tmp_path).state == "ok"
    finding = folder_finding("current", tmp_path / "absent")
    assert finding.state == "unavailable"
    assert "No such file or directory" in finding.detail


@pytest.fixture
def few_packages(monkeypatch):
    """Without the heavy extras, whose import takes seconds."""
    lines = ["numpy>=1.26", "a-package-nobody-has>=1; extra == 'plot'"]
    monkeypatch.setattr(diagnosis, "requires", lambda _name: lines)
    monkeypatch.setattr(diagnosis, "_imported", lambda _name: None)


@pytest.mark.usefixtures("few_packages")
def test_a_sound_installation_exits_0_though_optional_things_are_missing():
    result = CliRunner().invoke(command, ["--json"], obj=Plugins([]))
    assert result.exit_code == 0, result.output
    rows = {(row["group"], row["name"]): row for row in json.loads(result.stdout)}
    assert rows["package", "a-package-nobody-has"]["state"] == "missing"
    assert rows["engine", "pycocotools"]["detail"] == "default"
    assert rows["adapter", "precomputed"]["state"] == "ok"
    assert rows["python", sys.implementation.name.replace("cp", "CP")]["detail"] in sys.version
    assert rows["folder", "temporary"]["state"] == "ok"


@pytest.mark.usefixtures("few_packages")
def test_a_broken_plugin_exits_1_and_is_named_in_table_and_message(monkeypatch):
    monkeypatch.syspath_prepend(BROKEN)
    plugins = Plugins([EntryPoint("broken", "anydet_broken", "anydet")])
    result = CliRunner().invoke(command, [], obj=plugins)
    assert result.exit_code == 1
    assert "broken: plugin broken: ModuleNotFoundError: No module named" in result.stderr
    assert "plugin" in result.stdout


@pytest.mark.usefixtures("few_packages")
def test_an_adapter_whose_module_cannot_be_imported_is_broken(tmp_path, monkeypatch):
    (tmp_path / "half_plugin.py").write_text(
        "from anydet.plugins import AdapterSpec, hookimpl\n@hookimpl\ndef register_adapters(register):\n"
        "    register(AdapterSpec('half', 'half_plugin.adapter:Half'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(
        command, ["--json"], obj=Plugins([EntryPoint("half", "half_plugin", "anydet")])
    )
    rows = {(row["group"], row["name"]): row["state"] for row in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert (rows["plugin", "half"], rows["adapter", "half"]) == ("ok", "broken")
