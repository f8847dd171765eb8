"""Every package builds, sdist first, installs into an empty environment, and works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "core", *sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))]
UV = [sys.executable, "-m", "uv"]

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Sdists, and wheels that were built from them, by package folder name."""
    out = tmp_path_factory.mktemp("dist")
    run("make", f"VENV={sys.prefix}", f"DIST={out}", "wheels", cwd=ROOT)
    built = {}
    for package in PACKAGES:
        name = "anydet" if package.name == "core" else f"anydet_{package.name}"
        (sdist,), (wheel,) = out.glob(f"{name}-*.tar.gz"), out.glob(f"{name}-*.whl")
        built[package.name] = (sdist, wheel)
    return built


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory):
    """An environment with the wheels of core and toy and nothing else of ours."""
    folder = tmp_path_factory.mktemp("venv")
    run(*UV, "venv", "-q", folder)
    light = [wheels[name][1] for name in ("core", "toy")]
    run(*UV, "pip", "install", "-q", "--python", folder, "-c", ROOT / "constraints.txt", *light)
    return folder


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_the_wheel_holds_code_license_and_nothing_of_the_tests(wheels, package):
    names = zipfile.ZipFile(wheels[package.name][1]).namelist()
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if "tests/" in n or n.endswith(".pyc")]


def test_the_schemas_travel_inside_the_core_wheel_and_sdist_as_real_files(wheels):
    sdist, wheel = wheels["core"]
    text = zipfile.ZipFile(wheel).read("anydet/schemas/predictions.schema.json")
    assert json.loads(text) == json.loads((ROOT / "schemas/predictions.schema.json").read_text("utf-8"))
    with tarfile.open(sdist) as archive:
        member = next(m for m in archive if m.name.endswith("schemas/predictions.schema.json"))
    assert member.isfile()


def test_the_light_install_has_no_torch_and_does_the_main_job(environment, tmp_path):
    anydet = environment / "bin" / "anydet"
    clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    packages = run(*UV, "pip", "list", "--python", environment)
    assert "torch" not in packages
    assert "opencv" not in packages
    run(anydet, "synth", "--out", "scenes", "--images", "8", cwd=tmp_path, env=clean)
    export = ("--adapter", "toy", "--dataset", "scenes", "--output", "predictions.json")
    run(anydet, "export-predictions", *export, cwd=tmp_path, env=clean)
    run(anydet, "validate-predictions", "predictions.json", "--dataset", "scenes", cwd=tmp_path, env=clean)
    evaluate = ("--dataset", "scenes", "--predictions", "predictions.json", "--json", "result.json")
    run(anydet, "eval-coco", *evaluate, cwd=tmp_path, env=clean)
    assert json.loads((tmp_path / "result.json").read_text("utf-8"))["metrics"]["AP50"] > 0.5


def test_every_plugin_loads_from_the_folder_of_wheels_extras_included(environment, wheels, tmp_path):
    folder = wheels["core"][1].parent
    names = [f"anydet-{p.name.replace('_', '-')}" for p in PACKAGES[1:]]
    links = ("--find-links", folder, "-c", ROOT / "constraints.txt")
    run(*UV, "pip", "install", "-q", "--python", environment, *links, "anydet[all,fast,plot]", *names)
    listed = json.loads(run(environment / "bin" / "anydet", "adapters", "list", "--json", cwd=tmp_path))
    states = {row["name"]: row["state"] for row in listed}
    assert states == {"precomputed": "ok", **{p.name: "ok" for p in PACKAGES[1:]}}
