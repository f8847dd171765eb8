"""Each example of docs/reference/hooks.md is a package that is installed, passes its kit, and runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anydet.plugins import hookspecs
from anydet.plugins.manager import Plugins
from anydet.plugins.scaffold import write_plugin

ROOT = Path(__file__).parents[1]
HOOKS = ROOT / "docs/examples/hooks"
SHOWS = {
    "after_predict": r"^\d+ detections$",
    "before_predict": r"^about to predict \S+\.png",
    "on_train_start": r"(?s)^training centers on 2 images$.*^loss \d.*^AP50 \d.*^the end after 1 steps$",
    "register_adapters": r"predictions.json: 2 images, 2 detections",
    "register_commands": r"^2 images$",
    "register_datasets": r"2 images",
    "register_engines": r"^\d+ detections$",
    "register_evaluators": r"found per object",
    "register_fusions": r"predictions.json: 2 images",
    "register_layouts": r"^ok +layout corners +it_is_a_layout_file",
    "register_scenes": r"^squares",
    "register_ttt_methods": r"predictions.json: 2 images",
    "register_views": r"predictions.json: 2 images",
}
"""Example -> what a line of its output says."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    synth = ("synth", "--out", "scenes", "--images", "2", "--size", "96x64")
    subprocess.run([sys.executable, "-m", "anydet", *synth], cwd=folder, check=True, capture_output=True)
    return folder / "scenes"


def install(site: Path, package: Path, name: str, distribution: str) -> None:
    """What pip leaves of a package: its folder, and what describes it."""
    shutil.copytree(package, site / f"anydet_{name}")
    info = site / f"anydet_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[anydet]\n{name} = anydet_{name}\n")


def run(command, folder, env):
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("hook", sorted(path.name for path in HOOKS.iterdir()))
def test_an_example_is_installed_passes_its_kit_and_runs(hook, scenes, tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    install(site, HOOKS / hook, "example", "anydet-example")
    if hook.startswith("on_train"):
        pytest.importorskip("torch")
        written = write_plugin("centers", tmp_path / "centers", kind="torch", plugins=Plugins([]))
        install(site, written.folder / "src/anydet_centers", "centers", "anydet-centers")
    shutil.copytree(scenes, work / "scenes")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    clean = {**os.environ, "PATH": path, "PYTHONPATH": str(site), "ANYDET_PLUGINS": "example,centers,toy"}
    if hook.startswith("register_"):
        kit = run(["anydet", "plugins", "check", "example"], work, clean)
        assert kit.returncode == 0, kit.stdout + kit.stderr
        assert "FAIL" not in kit.stdout
    done = run(["bash", "-euo", "pipefail", HOOKS / hook / "run.sh"], work, clean)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(SHOWS[hook], said, re.MULTILINE), said


def test_every_hook_has_an_example():
    shown = "\n".join(path.read_text("utf-8") for path in HOOKS.glob("*/__init__.py"))
    hooks = [name for name, hook in vars(hookspecs).items() if hasattr(hook, f"{hookspecs.PROJECT}_spec")]
    assert len(hooks) > 10
    assert [hook for hook in hooks if f"def {hook}(" not in shown] == []
