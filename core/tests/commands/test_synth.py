from __future__ import annotations

import shlex
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.commands.synth import command
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.plugins.manager import Plugins


def synth(*arguments):
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


@pytest.mark.parametrize("layout", ["yolo", "coco"])
def test_it_writes_scenes_and_says_where_and_what_next(layout, tmp_path):
    out = tmp_path / "new" / "scenes"
    run = synth(
        "--out", out, "--images", 3, "--size", "64x48", "--seed", 4, "--format", layout, "--split", "train"
    )
    assert run.exit_code == 0, run.output
    assert run.stdout == f"{out}\n"
    assert f"anydet export-predictions --adapter toy --dataset {out}" in run.stderr
    opened, wanted = open_dataset(out), SyntheticDataset(3, 4, (64, 48))
    assert opened.split == "train"
    assert all(np.array_equal(a.image(), b.image()) for a, b in zip(opened, wanted, strict=True))


def test_a_scene_is_written_only_in_its_own_formats(tmp_path):
    run = synth("--scene", "segmentation", "--format", "yolo", "--out", tmp_path / "new")
    assert run.exit_code == 2
    assert "--format yolo does not go with --scene segmentation; use class-masks" in run.stderr


def test_installed_scenes_are_listed_and_others_name_their_package(tmp_path):
    core_only = Plugins(())
    shown = CliRunner().invoke(main, ["synth", "--help"], obj=core_only).output
    listed = shown.split("Scenes, with the formats they are written in:\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines() if line[2] != " "] == ["shapes", "segmentation"]
    assert "[yolo|coco]" in listed
    arguments = ["synth", "--scene", "pose", "--out", str(tmp_path / "new")]
    run = CliRunner().invoke(main, arguments, obj=core_only)
    assert run.exit_code == 1
    assert "no scene called 'pose' (known: segmentation, shapes)" in run.stderr
    assert "pip install anydet-bop" in run.stderr


def test_shapes_have_no_number_of_objects_to_choose(tmp_path):
    run = synth("--out", tmp_path / "shapes", "--objects", 2)
    assert run.exit_code == 2
    assert "--objects does not go with --scene shapes, whose number of objects is not an option" in run.stderr


def test_a_folder_with_something_in_it_is_an_error_without_traceback(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    run = synth("--out", tmp_path, "--images", 1)
    assert run.exit_code == 1
    assert "not an empty folder" in run.stderr
    assert "Traceback" not in run.output


@pytest.mark.parametrize("size", ["320", "320x", "x240", "axb", "0x10", "8x8", "-3x9", "32x32x32"])
def test_a_wrong_size_is_wrong_usage(size, tmp_path):
    run = synth("--out", tmp_path / "scenes", "--size", size)
    assert run.exit_code == 2
    assert "320x240" in run.stderr


@pytest.mark.parametrize("wrong", [("--seed", -1), ("--images", 0), ("--format", "voc")])
def test_other_wrong_values_are_wrong_usage(wrong, tmp_path):
    assert synth("--out", tmp_path / "scenes", *wrong).exit_code == 2


@pytest.mark.slow
def test_the_example_of_the_help_works(tmp_path, monkeypatch):
    shown = synth("--help").output
    line = next(line for line in shown.splitlines() if line.startswith("    anydet synth"))
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)[2:]
    assert synth(*arguments, "--size", "32x32").exit_code == 0
    assert len(open_dataset(tmp_path / "data" / "scenes")) == 64


def test_importing_the_command_imports_nothing_heavy():
    heavy = "{'numpy', 'rich', 'PIL', 'torch'}"
    code = f"import sys, {command.callback.__module__}; print({heavy} & set(sys.modules) or 'light')"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "light\n"
