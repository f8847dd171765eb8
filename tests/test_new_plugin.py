"""A new plugin, in this workspace and in an environment of its own, does the main job as it was written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anydet.plugins.scaffold import FILES

ROOT = Path(__file__).parents[1]
UV = [sys.executable, "-m", "uv"]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("ANYDET_", "PYTHON", "VIRTUAL_ENV"))}


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **{"env": CLEAN, **options}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def make(workspace: Path, name: str) -> subprocess.CompletedProcess[str]:
    """``make new-plugin`` with this environment, which is set up already."""
    command = ["make", "-o", f"{sys.prefix}/.light", f"VENV={sys.prefix}", "new-plugin", f"NAME={name}"]
    return subprocess.run(command, cwd=workspace, env=CLEAN, capture_output=True, text=True, check=False)


@pytest.fixture
def workspace(tmp_path):
    """As much of this repository as a new plugin touches."""
    for name in ("Makefile", "pyproject.toml", "core/LICENSE", "docs/README.md", "tools/join_workspace.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_make_new_plugin_adds_a_package_that_the_workspace_knows(workspace):
    done = make(workspace, "my_det")
    assert done.returncode == 0, done.stderr
    plugin = workspace / "plugins/my_det"
    assert 'my_det = "anydet_my_det"' in (plugin / "pyproject.toml").read_text("utf-8")
    assert (plugin / "LICENSE").read_bytes() == (ROOT / "core/LICENSE").read_bytes()
    assert "-e plugins/my_det" in (workspace / "Makefile").read_text("utf-8")
    settings = (workspace / "pyproject.toml").read_text("utf-8")
    assert "\nanydet-my-det = { workspace = true }\n" in settings
    for rule in ("root_packages", "forbidden_modules", "modules"):
        lists = re.findall(rf"^{rule} = \[(.*?)\]", settings, re.MULTILINE | re.DOTALL)
        assert any('"anydet_my_det"' in names for names in lists), f"{rule} does not name it"
    assert "(../plugins/my_det/README.md)" in (workspace / "docs/README.md").read_text("utf-8")
    assert "by hand" not in done.stdout


def test_make_new_plugin_refuses_a_name_and_leaves_the_workspace_as_it_is(workspace):
    before = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    done = make(workspace, "My-Det")
    assert done.returncode != 0
    assert "\n  fix: anydet adapters new my_det" in done.stderr
    assert {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_new_package_is_written_in_the_house_style(kind, tmp_path):
    pytest.importorskip("ruff", reason="lints what is written")
    run(sys.executable, "-m", "anydet.cli", "adapters", "new", "my_det", "--kind", kind, cwd=tmp_path)
    for check in (("format", "--check"), ("check",)):
        house = ("--config", ROOT / "pyproject.toml", "--config", 'lint.isort.known-first-party=["anydet"]')
        run(sys.executable, "-m", "ruff", *check, "--no-cache", *house, "my_det", cwd=tmp_path)


@pytest.mark.slow
def test_the_types_of_a_new_network_hold(tmp_path):
    pytest.importorskip("mypy", reason="checks what is written")
    run(sys.executable, "-m", "anydet.cli", "adapters", "new", "my_det", "--kind", "torch", cwd=tmp_path)
    strict = ("--strict", "--ignore-missing-imports", "--cache-dir", ROOT / ".mypy_cache")
    run(sys.executable, "-m", "mypy", *strict, "my_det/src/anydet_my_det", cwd=tmp_path)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with core's wheel, pytest and nothing else of ours; its commands."""
    folder = tmp_path_factory.mktemp("environment")
    pins = ROOT / "constraints.txt"
    run(*UV, "build", "-q", "--wheel", "--build-constraint", pins, "-o", folder / "dist", ROOT / "core")
    (wheel,) = (folder / "dist").glob("*.whl")
    run(*UV, "venv", "-q", folder / "venv")
    install = ("pip", "install", "-q", "--python", folder / "venv", "-c", pins)
    run(*UV, *install, "--build-constraint", pins, wheel)
    return folder / "venv/bin"


@pytest.mark.slow
def test_in_an_empty_environment_a_new_adapter_drives_export_and_evaluation(environment, tmp_path):
    anydet = environment / "anydet"
    shown = json.loads(run(anydet, "adapters", "new", "mydet", "--json", cwd=tmp_path))
    pins = ROOT / "constraints.txt"
    install = ("pip", "install", "-q", "--python", environment.parent, "-c", pins, "--build-constraint", pins)
    run(*UV, *install, "-e", f"./{shown['folder']}[test]", cwd=tmp_path)
    states = {row["name"]: row["state"] for row in json.loads(run(anydet, "adapters", "list", "--json"))}
    assert states == {"mydet": "ok", "precomputed": "ok"}
    checks = json.loads(run(anydet, "adapters", "check", "mydet", "--json", cwd=tmp_path))
    assert {check["state"] for check in checks} == {"ok", "skip"}
    tested = run(environment / "python", "-m", "pytest", "-q", "-W", "error", "./mydet", cwd=tmp_path)
    assert re.search(r"\d+ passed", tested)
    assert "failed" not in tested

    run(anydet, "synth", "--out", "scenes", "--images", "24", cwd=tmp_path)
    files = ("--dataset", "scenes", "--output", "predictions.json")
    run(anydet, "export-predictions", "--adapter", "mydet", *files, cwd=tmp_path)
    run(anydet, "validate-predictions", "predictions.json", "--dataset", "scenes", cwd=tmp_path)
    given = ("--dataset", "scenes", "--predictions", "predictions.json", "--json", "result.json")
    run(anydet, "eval-coco", *given, cwd=tmp_path)
    metrics = json.loads((tmp_path / "result.json").read_text("utf-8"))["metrics"]
    assert metrics["AP"] > 0.6
    assert metrics["AP50"] > 0.75
