"""``anydet export-predictions``: the file that it writes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.types import ImagePredictions


def near(left, right) -> None:
    """Equal JSON, numbers to the last bits of a division and a multiplication."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            near(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            near(a, b)
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=1e-14, abs=1e-14)
    else:
        assert left == right


def test_export_through_it_gives_the_same_predictions(tmp_path):
    scenes = tmp_path / "scenes"
    write_coco(SyntheticDataset(3, 0, (64, 48)), scenes, "val")
    keys = [r.key for r in SyntheticDataset(3, 0, (64, 48))]
    boxes = [[[-3.0, 1.0, 70.0, 20.0], [2.0, 3.0, 9.0, 8.0]], [], [[1.0, 1.0, 2.0, 2.0]]]
    entries = [
        ImagePredictions(
            key,
            (64, 48),
            np.array(b).reshape(-1, 4),
            np.linspace(0.5, 0.0, len(b)),
            np.zeros(len(b), np.int64),
        )
        for key, b in zip(keys, boxes, strict=True)
    ]
    given, out = tmp_path / "given.json", tmp_path / "out.json"
    write_predictions(map(encode_entry, entries), given)
    run = ["export-predictions", "--adapter", "precomputed", "--dataset", str(scenes)]
    run += ["--option", f"predictions={given}", "--score-threshold", "0", "--no-clip", "--output", str(out)]
    result = CliRunner().invoke(main, run)
    assert result.exit_code == 0, result.output
    near(json.loads(given.read_text()), json.loads(out.read_text()))
    refused = CliRunner().invoke(
        main, [*run[:-1], str(tmp_path / "tta.json"), "--tta", "--tta-flip-prob", "1"]
    )
    assert refused.exit_code == 1
    assert "run without test-time augmentation" in refused.output


def test_a_file_is_served_without_any_image(tmp_path):
    scenes = tmp_path / "scenes"
    write_coco(SyntheticDataset(3, 0, (64, 48)), scenes, "val")
    entries = [
        ImagePredictions(key, (64, 48), np.array([[1.0, 1, 9, 9]]), np.array([0.5]), np.array([0]))
        for key in SyntheticDataset(3, 0, (64, 48)).keys
    ]
    given = tmp_path / "given.json"
    write_predictions(map(encode_entry, entries), given)

    def export(name: str):
        run = ["export-predictions", "--adapter", "precomputed", "--dataset", str(scenes)]
        run += ["--option", f"predictions={given}", "--output", str(tmp_path / name)]
        return CliRunner().invoke(main, run)

    assert export("with.json").exit_code == 0
    shutil.rmtree(scenes / "images")
    without = export("without.json")
    assert without.exit_code == 0, without.output
    assert (tmp_path / "without.json").read_bytes() == (tmp_path / "with.json").read_bytes()
    annotations = scenes / "annotations" / "instances_val.json"
    content = json.loads(annotations.read_text())
    for image in content["images"]:
        del image["width"], image["height"]
    annotations.write_text(json.dumps(content))
    unsized = export("unsized.json")
    assert unsized.exit_code == 1
    assert "no such image" in unsized.output
