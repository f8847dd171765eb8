"""``anydet synth --scene bikes``."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from anydet import open_dataset
from anydet.cli import main
from anydet_delftbikes.scenes.dataset import SyntheticBikes


def synth(*arguments):
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


@pytest.mark.slow
def test_bicycles_of_several_splits_are_in_one_folder(tmp_path):
    for split, seed in (("train", 1), ("val", 2)):
        run = synth(
            "--scene", "bikes", "--out", tmp_path, "--images", 2, "--size", "64x48", "--seed", seed,
            "--split", split,
        )  # fmt: skip
        assert run.exit_code == 0, run.output
        opened, wanted = open_dataset(tmp_path, split), SyntheticBikes(2, seed, (64, 48))
        assert all(np.array_equal(a.image(), b.image()) for a, b in zip(opened, wanted, strict=True))
    again = synth("--scene", "bikes", "--out", tmp_path, "--images", 1, "--split", "val")
    assert again.exit_code == 1
    assert "val_annotations.json: already there" in again.stderr


def test_a_scene_is_written_only_in_its_own_formats(tmp_path):
    run = synth("--scene", "bikes", "--format", "yolo", "--out", tmp_path / "new")
    assert run.exit_code == 2
    assert "--format yolo does not go with --scene bikes; use delftbikes or coco" in run.stderr


@pytest.mark.slow
def test_as_coco_bicycles_have_boxes_and_states(tmp_path):
    run = synth("--scene", "bikes", "--format", "coco", "--out", tmp_path / "new", "--images", 2)
    assert run.exit_code == 0, run.output
    for here, there in zip(open_dataset(tmp_path / "new"), SyntheticBikes(2), strict=True):
        assert np.array_equal(here.labels.boxes_xywh_px, there.labels.boxes_xywh_px)
        assert np.array_equal(here.labels.states, there.labels.states)
