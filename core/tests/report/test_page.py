"""The page of a report without a browser: its numbers are the evaluators', and its names are no code."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html import unescape

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anydet.cli import main
from anydet.data.opening import open_dataset
from anydet.evaluation.analysis.calibration import CalibrationEvaluator
from anydet.evaluation.analysis.confusion import ConfusionEvaluator
from anydet.evaluation.analysis.tide import TideEvaluator
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.reading import read_inputs
from anydet.evaluation.run import evaluate_coco
from anydet.report.page.crops import _window
from anydet.report.page.document import assemble
from anydet.report.page.findings import _names
from anydet.report.page.outcomes import IGNORED, NO_CELL, RIGHT, STEPS, WRONG, judge, shapes_of, steps_of
from anydet.report.page.sampling import TRUTH, choose


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def inputs(hostile):
    return read_inputs(hostile.dataset, hostile.paths[0])


def counted(evaluator, inputs):
    evaluator.add(inputs.detections, inputs.ground_truth)
    return evaluator.result()


@pytest.mark.slow
def test_right_and_wrong_at_every_threshold_are_those_of_matching_what_is_left(hostile, inputs):
    columns = hostile.data.columns
    for step in (0, 1, 300, 512, 777, 1000):
        left = inputs.detections.take(inputs.detections.scores >= step / STEPS)
        pairs = pair(left, inputs.ground_truth)
        kept = columns["0/step"] >= step
        assert np.count_nonzero(kept & (columns["0/outcome"] == RIGHT)) == len(pairs.hits)
        wrong = len(left) - len(pairs.hits) - np.count_nonzero(pairs.ignored)
        assert np.count_nonzero(kept & (columns["0/outcome"] == WRONG)) == wrong
        found = np.count_nonzero(columns["0/truth/found"] >= step)
        assert found == len(pairs.hits)


@pytest.mark.slow
def test_errors_confusions_and_calibration_count_as_their_evaluators(hostile, inputs):
    columns, classes = hostile.data.columns, inputs.ground_truth.classes
    tide = counted(TideEvaluator(classes), inputs).tables[0]
    expected = {row[0]: row[2] for row in tide.rows}
    for kind, name in enumerate(hostile.data.header["errors"][:5]):
        assert np.count_nonzero(columns["0/error"] == kind) == expected[name]
    assert np.count_nonzero(columns["0/truth/fate"] & 1) == expected["Miss"] > 0
    size = len(classes) + 1
    matrix = np.zeros((size, size), np.int64)
    placed = columns["0/cell"] != NO_CELL
    np.add.at(matrix, (columns["0/cell"][placed], columns["0/class"][placed]), 1)
    missed = columns["0/truth/fate"] & 4 > 0
    np.add.at(matrix, (columns["truth/class"][missed], size - 1), 1)
    table = counted(ConfusionEvaluator(classes), inputs).tables[1]
    assert matrix.tolist() == [list(row[1:]) for row in table.rows]
    bins = counted(CalibrationEvaluator(classes), inputs).tables[0]
    judged = columns["0/outcome"] != IGNORED
    for value, row in enumerate(bins.rows):
        mine = judged & (columns["0/bin"] == value)
        assert np.count_nonzero(mine) == row[1]
        if row[1]:
            assert np.mean(columns["0/outcome"][mine] == RIGHT) == pytest.approx(row[3])


@pytest.mark.slow
def test_metrics_and_curves_are_those_of_the_evaluation(hostile):
    for m, path in enumerate(hostile.paths):
        expected, model = evaluate_coco(hostile.dataset, path), hostile.data.header["models"][m]
        assert model["metrics"] == expected.metrics
        assert hostile.summary["models"][path.stem]["coco/AP"] == expected.metrics["AP"]
        curves = hostile.data.columns[f"{m}/curve"].reshape(-1, 101)
        assert curves[curves[:, 0] > -1].mean() == pytest.approx(expected.metrics["AP50"], abs=1e-6)
        assert model["intervals"]["AP"]["low"] < model["metrics"]["AP"] < model["intervals"]["AP"]["high"]
    (comparison,) = hostile.data.header["comparisons"]
    a, b = (model["metrics"]["AP"] for model in hostile.data.header["models"])
    assert comparison["overall"]["AP"]["difference"] == pytest.approx(b - a)


def test_what_eval_says_is_what_the_page_says(hostile):
    done = run("eval", "--dataset", hostile.root / "scenes", "--predictions", hostile.paths[1], "--json", "-")
    metrics = json.loads(done.stdout)["metrics"]
    page = {
        f"{one['name']}/{name}": value
        for one in hostile.data.header["models"][1]["results"]
        for name, value in one["metrics"].items()
    }
    assert page == metrics


def test_a_score_on_the_grid_counts_at_its_own_threshold():
    scores = np.arange(STEPS + 1) / STEPS
    assert steps_of(scores).tolist() == list(range(STEPS + 1))
    assert steps_of(np.array([-0.1, 1.7, np.nextafter(0.3, 0)])).tolist() == [-1, STEPS, 299]


def test_sizes_and_shapes_have_their_ends_where_they_are_said_to_be():
    boxes = np.array(
        [[0, 0, w, h] for w, h in [(10, 21), (10, 20), (8, 10), (10, 8), (20, 10), (5, 0)]], float
    )
    columns = shapes_of(np.array([1024, 1025, 9216, 9217, 0, 0.0]), boxes)
    assert columns["size"].tolist() == [0, 1, 1, 2, 0, 0]
    assert columns["aspect"].tolist() == [0, 1, 2, 3, 4, 4]


def test_pictures_are_of_the_size_of_their_crop_and_lie_where_the_page_looks_for_them(hostile):
    header = hostile.data.header
    found = re.search(r'id="pictures">([^<]*)</script>', hostile.data.text)
    content = base64.b64decode(found[1])
    assert len(content) == sum(header["picture_bytes"])
    assert len(header["items"]) == hostile.summary["pictures"] == len(header["picture_bytes"])
    for item, length in zip(header["items"][:20], header["picture_bytes"], strict=False):
        with Image.open(io.BytesIO(content[:length])) as picture:
            assert [*picture.size] == item["wh"]
        content = content[length:]
    rows = {(item["m"], item["r"]) for item in header["items"]}
    assert len(rows) == len(header["items"])


@pytest.mark.slow
def test_every_number_has_a_picture_as_long_as_there_is_room_and_the_surest_come_first(inputs):
    truth, found = inputs.ground_truth, inputs.detections
    judged = judge(found, truth)
    annotations = {
        "class": truth.labels.class_ids,
        **shapes_of(truth.labels.areas, truth.labels.boxes_xywh_px),
    }
    for most in (0, 1, 17, 80):
        items = choose(truth, annotations, [found], [judged], most)
        assert len(items) == min(most, len(found) + len(truth))
        assert items == choose(truth, annotations, [found], [judged], most)
    rows = [item.row for item in choose(truth, annotations, [found], [judged], 120) if item.model == 0]
    kinds = judged.detections["error"]
    for kind in range(5):
        mine = np.flatnonzero(kinds == kind)
        if len(mine):
            assert mine[np.argmax(found.scores[mine])] in rows
    everything = choose(truth, annotations, [found], [judged], 10**6)
    assert sum(item.model == TRUTH for item in everything) == np.count_nonzero(~truth.labels.iscrowd)
    assert sum(item.model == 0 for item in everything) == len(found)


@given(
    st.tuples(*[st.floats(-50, 700, width=32)] * 2, *[st.floats(0, 500, width=32)] * 2),
    st.integers(1, 640),
    st.integers(1, 480),
)
def test_a_crop_is_inside_its_image_whatever_the_box_is(box, width, height):
    x, y, w, h = box
    left, top, right, bottom = _window(np.array([x, y, x + w, y + h]), (width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_the_document_states_the_digests_of_its_code_and_fills_each_place_once():
    text = assemble("</title><script>{{style}}", "DATA{{script}}", "PICTURES")
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    assert "default-src 'none'" in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        code = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[-1]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "<title>&lt;/title&gt;&lt;script&gt;{{style}}</title>" in text
    assert "DATA{{script}}" in text
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)


def test_names_of_files_stand_in_no_place_where_they_could_be_code(hostile):
    without_code = re.sub(r"<script>.*?</script>", "", hostile.data.text, flags=re.DOTALL)
    assert "onerror" not in without_code
    assert "document.title" not in without_code
    header = hostile.data.header
    assert header["classes"][0].startswith("<script>")
    assert header["classes"][2] == "bell\\x07 and \\u202eturned"
    assert any("\\t" in image for image in header["images"])


def test_files_of_one_name_are_named_by_their_folders():
    assert _names(["x/a.json"]) == ("a",)
    assert _names(["x/a.json", "y/b.jsonl"]) == ("a", "b")
    assert _names(["x/a.json", "y/a.json"]) == ("x/a", "y/a")
    assert _names(["x/a.json", "x/a.json"]) == ("x/a (1)", "x/a (2)")


@pytest.mark.slow
def test_an_image_that_cannot_be_read_stops_or_is_counted(hostile, tmp_path):
    dataset = open_dataset(hostile.root / "scenes")
    broken = next(path for path in (hostile.root / "scenes").rglob("*.png") if path.name == dataset.keys[5])
    content = broken.read_bytes()
    arguments = ["report", hostile.paths[0], "--dataset", hostile.root / "scenes", "--resamples", 2]
    try:
        broken.write_bytes(b"no image")
        stopped = run(*arguments, "--output", tmp_path / "a.html")
        assert stopped.exit_code == 1
        assert broken.name in stopped.output
        assert not (tmp_path / "a.html").exists()
        done = run(*arguments, "--output", tmp_path / "b.html", "--on-error", "skip")
        assert done.exit_code == 0, done.output
        assert "1 image cannot be read" in done.output
    finally:
        broken.write_bytes(content)


@pytest.mark.slow
def test_a_page_without_pictures_counts_all_the_same(hostile, tmp_path):
    page = tmp_path / "r.htm"
    done = run(
        *("report", hostile.paths[0], "--dataset", hostile.root / "scenes", "--output", page),
        *("--pictures", 0, "--resamples", 2, "--max-images", 9),
    )
    assert done.exit_code == 0, done.output
    assert "0 pictures" in done.output
    assert page.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "report.txt"], "does not end in .html or .htm"),
        (["--max-images", "0"], "--max-images"),
        (["--pictures", "-1"], "--pictures"),
    ],
)
def test_wrong_usage_is_refused_before_the_work(hostile, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("report", hostile.paths[0], "--dataset", hostile.root / "scenes", *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_a_data_set_without_labels_is_one_clear_error(hostile, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "p.json").write_text(
        '[{"image": "a.png", "image_size": {"width": 32, "height": 32}, "detections": []}]'
    )
    done = run("report", tmp_path / "p.json", "--dataset", tmp_path, "--output", tmp_path / "r.html")
    assert done.exit_code == 1
    assert "Error: " in done.output
    assert not (tmp_path / "r.html").exists()
