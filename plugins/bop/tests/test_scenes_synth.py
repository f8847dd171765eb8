"""``anydet synth --scene pose``."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from anydet import open_dataset
from anydet.cli import main
from anydet_bop.scenes.dataset import PoseScenes


def synth(*arguments):
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


@pytest.mark.parametrize("layout", ["bop", "yolo"])
def test_solids_are_written_with_poses_that_can_be_read(layout, tmp_path):
    run = synth(
        "--scene", "pose", "--format", layout, "--out", tmp_path / "new", "--images", 2, "--size", "64x48"
    )
    assert run.exit_code == 0, run.output
    assert f"anydet check-dataset {tmp_path / 'new'} --split val" in run.stderr
    opened, wanted = open_dataset(tmp_path / "new"), PoseScenes(2, 0, (64, 48))
    for here, there in zip(opened, wanted, strict=True):
        assert np.array_equal(here.image(), there.image())
        assert np.allclose(here.labels.poses.rotations, there.labels.poses.rotations)


@pytest.mark.slow
def test_objects_is_the_maximum_of_solids_in_a_scene(tmp_path):
    def count(*more):
        out = tmp_path / f"new{len(more)}"
        run = synth("--scene", "pose", "--out", out, "--images", 6, "--size", "96x96", *more)
        assert run.exit_code == 0, run.output
        return [len(record.labels) for record in open_dataset(out)]

    assert max(count()) <= 4 < max(count("--objects", 12))
