from __future__ import annotations

import json
import subprocess
import sys

import pytest

import anydet
from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.errors import OptionError
from anydet.prediction.pipeline import Limits

pytest.importorskip("anydet_toy", reason="the functions are shown with the toy adapter")


@pytest.fixture
def scenes(tmp_path):
    write_coco(SyntheticDataset(6), tmp_path / "scenes", "val")
    return tmp_path / "scenes"


def test_the_functions_do_what_the_commands_do(scenes, tmp_path):
    dataset = anydet.open_dataset(scenes)
    with anydet.load_adapter("toy") as adapter:
        summary = anydet.export_predictions(adapter, dataset, tmp_path / "ours.json")
    command = ["export-predictions", "--adapter", "toy", "--dataset", str(scenes)]
    main([*command, "--output", str(tmp_path / "theirs.json")], standalone_mode=False)
    assert (tmp_path / "ours.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()
    assert anydet.validate(summary.output, dataset).ok
    assert len(anydet.read_predictions(summary.output)) == summary.detections
    evaluate = ["eval-coco", "--dataset", str(scenes), "--predictions", str(tmp_path / "theirs.json")]
    main([*evaluate, "--json", str(tmp_path / "result.json")], standalone_mode=False)
    written = json.loads((tmp_path / "result.json").read_text("utf-8"))["metrics"]
    assert anydet.evaluate(dataset, tmp_path / "ours.json").metrics == written
    assert anydet.evaluate(scenes, tmp_path / "ours.json", engine="pycocotools").metrics == written


def test_options_and_limits_are_plain_values(scenes, tmp_path):
    with anydet.load_adapter("toy", options={"masks": False}) as adapter:
        anydet.export_predictions(
            adapter,
            anydet.open_dataset(scenes),
            tmp_path / "p.json",
            limits=Limits(max_detections=1),
            max_images=3,
        )
    entries = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert len(entries) == 3
    assert all(len(e["detections"]) <= 1 for e in entries)
    assert not any("mask" in d for e in entries for d in e["detections"])
    with pytest.raises(OptionError, match="did you mean 'masks'"):
        anydet.load_adapter("toy", options={"mask": False})


def test_a_recipe_says_all_that_the_flags_say(scenes, tmp_path):
    recipe = anydet.make_recipe("toy", tta="original,hflip,scale:1.5", limits=Limits(0.01))
    anydet.export_predictions(recipe, anydet.open_dataset(scenes), tmp_path / "ours.json")
    command = [
        "export-predictions",
        "--adapter",
        "toy",
        "--dataset",
        str(scenes),
        "--score-threshold",
        "0.01",
    ]
    command += ["--tta-views", "original,hflip,scale:1.5", "--output", str(tmp_path / "theirs.json")]
    main(command, standalone_mode=False)
    assert (tmp_path / "ours.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()


def test_importing_anydet_is_cheap():
    code = "import sys, anydet; print(sorted({'numpy', 'pluggy', 'PIL'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_every_promised_name_is_there():
    assert all(callable(getattr(anydet, name)) for name in anydet.__all__)
    assert set(anydet.__all__) <= set(dir(anydet))
    with pytest.raises(AttributeError, match="train_everything"):
        _ = anydet.train_everything
