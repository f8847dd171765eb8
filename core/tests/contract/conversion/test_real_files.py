"""COCO's own example results, there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from anydet.cli import main

VAL = "val2014_100/instances_val2014"
CASES = {
    "boxes": (f"{VAL}_100.json", f"{VAL}_fakebbox100_results.json", "bbox"),
    "masks": (f"{VAL}_100.json", f"{VAL}_fakesegm100_results.json", "segm"),
    "keypoints": ("keypoints/gt_dataset.json", "keypoints/dt_dataset.json", "keypoints"),
}


def run(*arguments: Any) -> Any:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "case", ["keypoints", *(pytest.param(case, marks=pytest.mark.slow) for case in ("boxes", "masks"))]
)
def test_results_come_back_from_every_shape_as_they_were_and_score_the_same(
    case: str, shared_data: Path, tmp_path: Path
) -> None:
    *names, task = CASES[case]
    truth, results = (shared_data / "coco_results" / name for name in names)

    def numbers(path: Path) -> Any:
        arguments = ("--dataset", truth, "--predictions", path, "--iou-type", task, "--json", "-")
        return run("eval-coco", *arguments)["metrics"]

    place = {image["id"]: i for i, image in enumerate(json.loads(truth.read_text())["images"])}
    before = sorted(json.loads(results.read_text()), key=lambda result: place[result["image_id"]])
    wanted = numbers(results)
    for name in ("p.json", "p.jsonl", "p.parquet"):
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
        there = run("convert", results, tmp_path / name, "--wrap", "--dataset", truth, "--json")
        assert there["lost"] == {}
        back = run(
            "convert", tmp_path / name, tmp_path / "r.json", "--to", "coco", "--dataset", truth, "--json"
        )
        assert back["lost"] == {}
        after = json.loads((tmp_path / "r.json").read_text())
        for key in ("image_id", "category_id", "score", "segmentation"):
            assert [r.get(key) for r in after] == [r.get(key) for r in before]
        assert [("bbox" in r) for r in after] == [("bbox" in r) for r in before]
        for key in ("bbox", "keypoints"):
            told = [r[key] for r in before if key in r]
            found = [r[key] for r, theirs in zip(after, before, strict=True) if key in theirs]
            np.testing.assert_allclose(found, told, rtol=1e-12, atol=1e-9)
        assert numbers(tmp_path / name) == pytest.approx(wanted, abs=1e-9)
        assert numbers(tmp_path / "r.json") == pytest.approx(wanted, abs=1e-9)
