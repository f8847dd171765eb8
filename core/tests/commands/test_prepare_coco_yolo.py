from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO as it is downloaded: images in a folder of the split's name."""
    write_coco(SyntheticDataset(6, seed=3, image_wh=(64, 48)), tmp_path / "coco", "val2017")
    (tmp_path / "coco" / "images" / "val2017").rename(tmp_path / "coco" / "val2017")
    return tmp_path / "coco"


def test_the_command_prints_what_it_wrote(coco: Path) -> None:
    arguments = ["prepare-coco-yolo", "--coco-root", str(coco), "--split", "val2017", "--out"]
    result = CliRunner().invoke(main, [*arguments, str(coco.parent / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["images"] == 6
