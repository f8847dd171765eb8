"""``anydet fuse``: what it prints, and how it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import anydet
from anydet.cli import main
from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.types import ImagePredictions


@pytest.fixture
def files(tmp_path):
    """Two models' predictions; the second has no result of the last image."""
    paths = []
    for name, keys, shift in (("a", ("1.jpg", "2.jpg"), 0.0), ("b", ("1.jpg",), 1.0)):
        boxes = np.array([[10.0, 10, 50, 60], [60, 20, 90, 70]]) + shift
        found = [ImagePredictions(k, (100, 80), boxes, np.array([0.8, 0.4]), np.array([0, 1])) for k in keys]
        paths.append(tmp_path / f"{name}.json")
        write_predictions(map(encode_entry, found), paths[-1])
    return paths


def run(*words):
    return CliRunner().invoke(main, ["fuse", *map(str, words)])


def test_a_summary_goes_to_stderr_and_the_file_is_that_of_the_api(files, tmp_path):
    out, same = tmp_path / "out.json", tmp_path / "same.json"
    done = run(*files, "--missing", "skip", "--weights", "2,1", "--iou", "0.5", "--output", out)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "warning: " in done.stderr
    assert "b.json: no result of 1 image" in done.stderr
    assert "out.json: 2 images, 4 + 2 detections became 4, " in done.stderr
    anydet.fuse(files, same, missing="skip", weights=(2, 1), iou=0.5)
    ours, theirs = (json.loads(path.read_text("utf-8")) for path in (out, same))
    assert ours["predictions"] == theirs["predictions"]
    assert ours["meta"]["fusion"] == theirs["meta"]["fusion"]


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ((), "no result of 1 image that others have, such as 2.jpg", 1),
        (("--method", "wfb"), "did you mean 'wbf'", 1),
        (("--method", "soft-nms", "--option", "decy=linear"), "did you mean 'decay'", 1),
        (("--weights", "1"), "1 weight for 2 files", 1),
        (("--iou", "0.5", "--option", "iou_threshold=0.6"), "iou_threshold are the same", 1),
        (("--missing", "drop"), "'drop' is not one of", 2),
    ],
)
def test_what_cannot_work_is_one_error_and_writes_nothing(files, tmp_path, words, message, code):
    out = tmp_path / "out.json"
    done = run(*files, *words, "--output", out)
    assert done.exit_code == code
    assert message in done.stderr
    assert not out.exists()


def test_one_file_is_wrong_usage(files, tmp_path):
    done = run(files[0], "--output", tmp_path / "out.json")
    assert done.exit_code == 2
    assert "give two predictions files or more" in done.stderr
