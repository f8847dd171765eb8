from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.errors import AnydetError
from anydet.evaluation.explanation.gather import Gathered
from anydet.geometry.boxes import xywh_to_xyxy

IMAGES = 8


@pytest.fixture
def files(tmp_path):
    """A data set, and its boxes as corners in pixels in a file that does not say so."""
    dataset = SyntheticDataset(IMAGES, 0, (320, 240))
    write_coco(dataset, tmp_path / "scenes", "val")
    return tmp_path / "scenes", write_entries(dataset, tmp_path / "predictions.json", range(IMAGES))


def write_entries(dataset, path, images):
    entries = []
    for i in images:
        labels = dataset[i].labels
        rows = zip(labels.class_ids.tolist(), xywh_to_xyxy(labels.boxes_xywh_px).tolist(), strict=True)
        found = [{"class_id": class_id, "score": 0.9, "bbox": box} for class_id, box in rows]
        entries.append({"image": dataset.keys[i], "detections": found})
    path.write_text(json.dumps(entries))
    return path


def evaluate(dataset, predictions, *options, command="eval-coco"):
    arguments = [command, "--dataset", str(dataset), "--predictions", str(predictions), *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "eval-coco"])
def test_a_hopeless_file_gets_one_line_that_names_the_cause(files, command):
    hints = [
        line for line in evaluate(*files, command=command).stderr.splitlines() if line.startswith("hint: ")
    ]
    assert len(hints) == 1
    assert "AP50 is 0.000" in hints[0]
    assert "boxes are corners (left, top, right, bottom), taken for center" in hints[0]
    assert "--explain" in hints[0]


@pytest.mark.slow
@pytest.mark.parametrize("error", [MemoryError(), AnydetError("not enough memory", fix="add some")])
@pytest.mark.parametrize("command", ["eval", "eval-coco"])
def test_a_hint_that_fails_leaves_the_result(files, command, error, monkeypatch):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(Gathered, "explain", fail)
    done = evaluate(*files, command=command)
    assert "AP50" in done.stdout
    assert re.search(r"^hint: .* could not be looked for \(.*memory.*\)$", done.stderr, re.MULTILINE)


@pytest.mark.slow
def test_a_file_of_a_model_that_knows_nothing_is_not_called_a_mistake(files, tmp_path):
    dataset, predictions = files
    rng, entries = np.random.default_rng(0), json.loads(predictions.read_text())
    for entry in entries:
        entry["detections"] = [
            {"class_id": int(rng.integers(6)), "score": score, "bbox": [x, y, x + 3, y + 2]}
            for x, y, score in (rng.random((10, 3)) * (300, 200, 1)).tolist()
        ]
    guesses = tmp_path / "guesses.json"
    guesses.write_text(json.dumps(entries))
    shown = evaluate(dataset, guesses, "--bbox-format", "xyxy_abs").stderr
    assert "no common mistake explains it" in shown
    assert "--explain" in shown


@pytest.mark.slow
def test_a_good_file_gets_no_hint(files):
    assert "hint: " not in evaluate(*files, "--bbox-format", "xyxy_abs").stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "eval-coco"])
def test_explain_prints_the_gain_and_what_to_do(files, command):
    result = evaluate(*files, "--explain", command=command)
    assert "causes of the low AP" in result.stdout
    assert "+1.000  boxes are corners" in result.stdout
    assert "fix: pass --bbox-format xyxy_abs" in result.stdout
    assert "hint: " not in result.stderr


@pytest.mark.slow
def test_what_to_do_does_it(files):
    best = json.loads(evaluate(*files, "--explain", "--json", "-").stdout)["explanation"]["explanations"][0]
    option, value = best["what_to_do"].removeprefix("pass ").split()
    after = json.loads(evaluate(*files, option, value, "--json", "-").stdout)
    before = json.loads(evaluate(*files, "--json", "-").stdout)
    assert "explanation" not in before
    assert after["metrics"]["AP"] - before["metrics"]["AP"] == pytest.approx(best["gain"])


@pytest.mark.slow
def test_explain_says_so_where_it_finds_nothing(files):
    text = evaluate(*files, "--bbox-format", "xyxy_abs", "--explain").stdout
    assert "no explanation found" in text


@pytest.mark.slow
def test_predictions_in_several_files_are_explained_as_one(files, tmp_path):
    dataset, whole = files
    source = SyntheticDataset(IMAGES, 0, (320, 240))
    parts = tmp_path / "parts"
    parts.mkdir()
    write_entries(source, parts / "a.json", range(0, IMAGES, 2))
    write_entries(source, parts / "b.json", range(1, IMAGES, 2))
    one, two = (
        json.loads(evaluate(dataset, path, "--explain", "--json", "-").stdout)["explanation"]
        for path in (whole, parts)
    )
    assert one == two


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (
            lambda entry, _: entry.update(image_size={"width": 240, "height": 320}),
            "fix: width and height of the image are swapped",
        ),
        (
            lambda entry, classes: entry["detections"].append(
                {"class_id": classes, "score": 0.5, "bbox": [1, 1, 2, 2]}
            ),
            "fix: class ids are one too high: they count from 1",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_explained_in_the_same_words(files, spoil, hint):
    dataset, predictions = files
    entries = json.loads(predictions.read_text())
    for entry in entries:
        entry["detections"] = [one for one in entry["detections"] if one["class_id"] > 0]
        spoil(entry, len(SyntheticDataset(1, 0, (320, 240)).classes))
    predictions.write_text(json.dumps(entries))
    arguments = ["eval-coco", "--dataset", str(dataset), "--predictions", str(predictions)]
    result = CliRunner().invoke(main, [*arguments, "--bbox-format", "xyxy_abs"])
    assert result.exit_code == 1
    assert hint in str(result.exception) + result.stderr
