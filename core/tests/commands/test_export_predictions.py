"""``anydet export-predictions``: the file that it writes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

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


@pytest.mark.slow
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


@pytest.fixture
def export(tmp_path):
    """Runs the command on three scenes with the toy adapter; gives the result and the file's meta."""
    pytest.importorskip("anydet_toy")
    scenes, out = tmp_path / "scenes", tmp_path / "out.json"
    write_coco(SyntheticDataset(3, 0, (64, 48)), scenes, "val")

    def run(*flags):
        line = ["export-predictions", "--adapter", "toy", "--dataset", str(scenes), "--wrap"]
        done = CliRunner().invoke(main, [*line, "--output", str(out), *flags])
        return done, json.loads(out.read_text())["meta"] if done.exit_code == 0 else {}

    return run


def test_bare_tta_predicts_the_image_and_a_random_mirror_of_it(export):
    done, meta = export("--tta", "--tta-seed", "3", "--tta-flip-prob", "0.25")
    assert done.exit_code == 0, done.output
    tta = meta["tta"]
    assert (tta["views"], tta["seed"], tta["flip_prob"]) == (["original", "random_hflip:0.25"], 3, 0.25)
    assert tta["fusion"] == "wbf"


def test_views_weights_and_options_are_recorded(export):
    done, meta = export(
        *["--tta-views", "original,scale", "--tta-option", "scale.factor=0.5", "--tta-weights", "2,1"],
        *["--tta-fusion", "wbf", "--tta-option", "wbf.iou-threshold=0.6"],
    )
    assert done.exit_code == 0, done.output
    assert meta["tta"]["views"] == ["original", "scale:0.5"]
    assert [view["weight"] for view in meta["tta"]["summary"]["views"]] == [2, 1]
    assert meta["tta"]["summary"]["fusion"]["options"]["iou_threshold"] == 0.6


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--tta-option", "scale.factor=2"], 2, "--tta-option needs --tta"),
        (["--tta-weights", "2,1"], 2, "--tta-weights needs --tta"),
        (["--tta-fusion", "wbf"], 2, "--tta-fusion needs --tta"),
        (["--ttt-option", "a=1"], 2, "--ttt-option needs --ttt"),
        (["--tta", "--tta-weights", "2,x"], 2, "'2,x' is not a list of positive numbers"),
        (["--tta", "--tta-option", "factor=2"], 1, "'factor=2' is not NAME.key=value"),
        (["--tta", "--tta-option", "wbf.iou=1"], 1, "wbf has no option 'iou' (known: iou_threshold"),
        (["--tta-views", "original,hflipp"], 1, "did you mean 'hflip'"),
    ],
)
def test_flags_that_do_not_fit_are_refused(export, flags, code, message):
    done, _ = export(*flags)
    assert done.exit_code == code
    assert message in done.output


@pytest.mark.parametrize(
    "flags",
    [
        "--ttt --ttt-preset safe --ttt-reset sample",
        "--ttt --ttt-preset mim_safe --ttt-reset sample",
        "--ttt --ttt-preset safe --ttt-reset stream --ttt-batch-size 4 --ttt-max-batches 8",
    ],
)
def test_an_adapter_without_a_model_to_train_says_which_have_one(export, flags):
    done, _ = export(*flags.split())
    assert done.exit_code == 1
    assert "adapter 'toy' does not support test-time training (" in done.output


def test_a_resumed_run_with_other_views_is_another_run(export, tmp_path):
    (tmp_path / "out.json.partial").touch()
    done, _ = export("--tta-views", "hflip")
    assert "holds an unfinished run" in done.output


@pytest.fixture
def breaks(monkeypatch):
    """Make the toy adapter fail at the images whose keys end so."""
    toy = pytest.importorskip("anydet_toy.adapter", reason="the adapter that is broken")

    def break_at(ends, how):
        predict = toy.ToyAdapter.predict

        def broken(adapter, records):
            results = list(predict(adapter, records))
            return how(results) if any(r.key.endswith(ends) for r in records) else results

        monkeypatch.setattr(toy.ToyAdapter, "predict", broken)

    return break_at


def leave(_results):
    raise SystemExit(0)


WRONG = {
    "exits": (leave, "failed in predict on image '{}': SystemExit: 0"),
    "raises": (lambda results: 1 / 0, "failed in predict on image '{}': ZeroDivisionError: division by zero"),
    "gives NaN": (
        lambda results: [replace(p, scores=p.scores * np.nan) for p in results],
        "gave a score that is not in [0, 1] on image '{}': scores[0] is nan",
    ),
    "gives nothing": (lambda results: None, "gave NoneType in predict, not results one by one"),
    "gives too little": (lambda results: results[1:], "one result a record, in order"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("how", "message"), WRONG.values(), ids=WRONG)
def test_an_adapter_that_fails_is_an_error_or_an_entry_that_says_why(tmp_path, breaks, how, message):
    write_coco(SyntheticDataset(6, 0, (160, 120)), tmp_path / "scenes", "val")
    keys = [record.key for record in SyntheticDataset(6, 0, (160, 120))]
    breaks(keys[3], how)
    output = tmp_path / "p.json"
    run = [
        "export-predictions",
        "--adapter",
        "toy",
        "--dataset",
        str(tmp_path / "scenes"),
        "--batch-size",
        "1",
    ]
    stopped = CliRunner().invoke(main, [*run, "--output", str(output)])
    assert stopped.exit_code == 1
    assert stopped.stderr.count("Error: adapter 'toy' ") == 1
    assert message.format(keys[3]) in stopped.stderr
    assert not output.exists()
    output.with_name("p.json.partial").unlink()
    skipped = CliRunner().invoke(main, [*run, "--output", str(output), "--on-error", "skip"])
    assert skipped.exit_code == 0, skipped.output
    assert f"warning: skipped 1 of 6 images; the first is {keys[3]}: adapter 'toy' " in skipped.stderr
    entries = json.loads(output.read_text("utf-8"))
    assert [entry["image"] for entry in entries] == keys
    assert [bool(entry["detections"]) for entry in entries] == [True, True, False, False, True, True]
    assert message.format(keys[3]) in entries[3]["extra"]["error"]


def test_a_run_in_which_every_image_was_skipped_is_no_success(tmp_path, breaks):
    write_coco(SyntheticDataset(3, 0, (64, 48)), tmp_path / "scenes", "val")
    breaks("", leave)
    run = ["export-predictions", "--adapter", "toy", "--dataset", str(tmp_path / "scenes")]
    done = CliRunner().invoke(main, [*run, "--output", str(tmp_path / "p.json"), "--on-error", "skip"])
    assert done.exit_code == 1
    assert "Error: skipped 3 of 3 images; the first is " in done.stderr
    assert "without --on-error skip" in done.stderr
    assert len(json.loads((tmp_path / "p.json").read_text("utf-8"))) == 3
