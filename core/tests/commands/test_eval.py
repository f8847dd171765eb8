from __future__ import annotations

import json
import re
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.errors import EvaluationError, PluginError
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.evaluation.reading import read_inputs, read_shards
from anydet.evaluation.run import run_evaluators
from anydet.plugins.manager import Plugins


@pytest.fixture
def run():
    """``anydet eval`` with core's own plugins; a traceback fails the test."""

    def invoke(*arguments):
        result = CliRunner().invoke(main, ["eval", *map(str, arguments)], obj=Plugins(()))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return invoke


@pytest.fixture
def files(tmp_path):
    """A COCO file with a cat and a dog, and results that find the cat and take the dog for one."""
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 50} for i in (1, 2)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": c, "bbox": [40, 15, 20, 20], "area": 400, "iscrowd": 0}
            for i, c in ((1, 7), (2, 9))
        ],
    }
    results = [
        {"image_id": i, "category_id": 7, "bbox": [40, 15, 20, 20], "score": 1 - i / 8} for i in (1, 2)
    ]
    dataset, predictions = tmp_path / "instances_val2017.json", tmp_path / "results.json"
    dataset.write_text(json.dumps(truth))
    predictions.write_text(json.dumps(results))
    return dataset, predictions


@pytest.mark.slow
def test_everything_that_applies_is_printed_and_the_rest_is_explained(run, files):
    done = run("--dataset", files[0], "--predictions", files[1], "--full")
    assert done.exit_code == 0, done.output
    for name in ("coco", "tide", "confusion", "thresholds", "calibration"):
        assert f"\n{name}\n" in done.stdout
    assert "coco-segm: skipped, 2 of 2 annotations have no segmentation" in done.stderr
    assert "label-errors" not in done.output


@pytest.mark.slow
def test_without_full_one_screen_is_printed(run, files, monkeypatch):
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        done = run(files[1], "--dataset", files[0])
        lines = done.stdout.splitlines()
        assert len(lines) < 30
        assert max(map(len, lines)) <= columns
    assert lines[0].startswith("coco         AP 0.5000  AP50 0.5000")
    worst = lines.index("lowest AP, 2 of 2 classes")
    assert [line.split()[1] for line in lines[worst + 4 : worst + 6]] == ["dog", "cat"]
    assert "right boxes of the wrong class cost most: 0.5000 AP50 (tide Cls, 1 of them)" in done.stdout
    assert "'dog' is taken for 'cat' 1 time" in done.stdout
    assert "evaluators do not apply (why: --full): coco-segm, " in done.stderr
    whole = run(files[1], "--dataset", files[0], "--full").stdout.splitlines()
    assert max(map(len, whole)) <= 120
    sliced = run(files[1], "--dataset", files[0], "--intervals", "9").stdout
    assert "95 % intervals, 9 resamples of images" in sliced


def test_json_holds_flat_numbers_tables_and_what_was_left_out(run, files):
    done = run("--dataset", files[0], "--predictions", files[1], "--json", "-")
    value = json.loads(done.stdout)
    assert value["metrics"]["coco/AP"] == value["results"]["coco"]["metrics"]["AP"] == pytest.approx(0.5)
    assert value["metrics"]["tide/dAP_Cls"] == 0.5
    assert value["results"]["tide"]["tables"][0]["rows"][0] == ["Cls", 0.5, 1]
    assert "coco-segm" in value["skipped"]
    assert value["protocol"]["predictions"] == str(files[1])


def test_named_evaluators_run_alone(run, files):
    done = run("--dataset", files[0], "--predictions", files[1], "--metrics", "label-errors", "--json", "-")
    (rows,) = (table["rows"] for table in json.loads(done.stdout)["results"]["label-errors"]["tables"])
    assert [row[:4] for row in rows] == [["wrong_label", "2.jpg", "cat", "dog"]]


def test_an_evaluator_that_is_named_must_apply_and_exist(run, files):
    done = run("--dataset", files[0], "--predictions", files[1], "--metrics", "coco,coco-segm")
    assert done.exit_code == 1
    assert "coco-segm does not apply: 2 of 2 annotations have no segmentation" in done.stderr
    done = run("--dataset", files[0], "--predictions", files[1], "--metrics", "coko")
    assert done.exit_code == 1
    assert "no evaluator called 'coko'" in done.stderr


def test_long_tables_are_cut_and_say_so(run, files):
    done = run("--dataset", files[0], "--predictions", files[1], "--metrics", "tide", "--rows", "3")
    assert "5 more rows, in --json or with --rows 8" in done.stdout
    done = run("--dataset", files[0], "--predictions", files[1], "--metrics", "tide", "--rows", "0")
    assert "what errors cost" not in done.stdout


@pytest.mark.slow
def test_the_library_gives_what_the_command_prints_with_any_engine(files, engine):
    inputs = read_inputs(*files)
    plugins = Plugins(())
    ours = run_evaluators([inputs], plugins=plugins, engine=engine)
    reference = run_evaluators([inputs], plugins=plugins, engine=PycocotoolsEngine())
    assert ours.metrics == reference.metrics
    with pytest.raises(EvaluationError, match="no image"):
        run_evaluators([], plugins=plugins)
    with pytest.raises(PluginError):
        run_evaluators([inputs], ["nothing"], plugins=plugins)


THIRD_PARTY = """
from anydet.evaluation.figures import Axis, Bar, Bars, Lines, Matrix, Series
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.plugins import EvaluatorSpec, hookimpl


class Counting:
    name = "counting"

    def __init__(self, ground_truth):
        self.found = 0

    def applies(self, detections, ground_truth):
        return None if len(detections) else "nothing was detected"

    def add(self, detections, ground_truth):
        self.found += len(detections)

    def result(self):
        number = Axis("detections", "per image")
        return Measured(
            {"found": float(self.found)},
            (Table("detections of images", ("image", "detections"), (("a.jpg", self.found),)),),
            {"images": 2},
            (
                Lines("over-time", "over time", Axis("time", "s"), number, (Series("", (0, 1), (0, 2)),)),
                Bars("by-image", "by image", number, (Bar("a", self.found, note="first"), Bar("b", None))),
                Matrix("pairs", "pairs", Axis("a"), Axis("b"), number, ("x",), ("y", "z"), ((1, None),)),
            ),
        )


PLUGIN_API = 2

@hookimpl
def register_evaluators(register):
    register(EvaluatorSpec("counting", "counting_plugin:Counting", "how many detections there are"))
"""


@pytest.mark.slow
def test_evaluators_of_third_parties_take_part(files, tmp_path, monkeypatch):
    (tmp_path / "counting_plugin.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins([EntryPoint("counting", "counting_plugin", "anydet")])
    arguments = ["eval", "--dataset", files[0], "--predictions", files[1], "--json", "-"]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=plugins)
    assert json.loads(done.stdout)["metrics"]["counting/found"] == 2.0
    files[1].write_text("[]")
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=plugins)
    assert json.loads(done.stdout)["skipped"]["counting"] == "nothing was detected"


@pytest.mark.slow
def test_tables_and_figures_of_third_parties_are_printed_drawn_and_written(files, tmp_path, monkeypatch):
    (tmp_path / "counting_plugin.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins([EntryPoint("counting", "counting_plugin", "anydet")])
    arguments = ["eval", "--dataset", files[0], "--predictions", files[1], "--metrics", "counting"]
    arguments += ["--plots", tmp_path / "charts", "--json", tmp_path / "result.json"]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=plugins)
    assert done.exit_code == 0, done.output
    assert "detections of images" in done.stdout
    assert "figures, in --json and drawn with --plots DIR: over-time, by-image, pairs" in done.stdout
    written = json.loads((tmp_path / "result.json").read_text())["results"]["counting"]
    assert written["tables"][0]["rows"] == [["a.jpg", 2]]
    lines, bars, matrix = written["figures"]
    assert (lines["kind"], lines["x"]["unit"], lines["series"][0]["y"]) == ("lines", "s", [0, 2])
    assert (bars["kind"], [bar["value"] for bar in bars["bars"]]) == ("bars", [2, None])
    assert (matrix["kind"], matrix["values"]) == ("matrix", [[1, None]])
    drawn = {path.name: path for path in (tmp_path / "charts").iterdir()}
    assert set(drawn) == {f"counting-{name}.png" for name in ("over-time", "by-image", "pairs")}
    for path in drawn.values():
        with Image.open(path) as picture:
            assert len(set(picture.convert("L").tobytes())) > 10


ANALYZING = """
from dataclasses import dataclass

from anydet.evaluation.results import Measured
from anydet.plugins import EvaluatorSpec, hookimpl


@dataclass(frozen=True)
class Doubted(Measured):
    doubt: str | None = None


class Analyzing:
    name = "analyzing"

    def __init__(self, ground_truth):
        self.context = {}

    def applies(self, detections, ground_truth):
        return None

    def add(self, detections, ground_truth):
        pass

    def use_context(self, context):
        self.context = context

    def result(self):
        raise AssertionError("analyze gives the result")

    def analyze(self, analysis):
        found = {"resamples": analysis.resamples, "seed": analysis.seed}
        split = {"split": self.context["split"]}
        return Doubted(found, (), split, doubt="all numbers are 7")


PLUGIN_API = 2

@hookimpl
def register_evaluators(register):
    register(EvaluatorSpec("analyzing", "analyzing_plugin:Analyzing", "what it was given"))
"""


def test_evaluators_of_third_parties_are_analyzed_get_the_context_and_may_doubt(files, tmp_path, monkeypatch):
    (tmp_path / "analyzing_plugin.py").write_text(ANALYZING)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins([EntryPoint("analyzing", "analyzing_plugin", "anydet")])
    arguments = ["eval", "--dataset", files[0], "--predictions", files[1], "--metrics", "analyzing"]
    arguments += ["--intervals", "12", "--seed", "3", "--json", "-"]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=plugins)
    assert done.exit_code == 0, done.output
    written = json.loads(done.stdout)
    assert written["metrics"] == {"analyzing/resamples": 12, "analyzing/seed": 3}
    assert written["results"]["analyzing"]["protocol"] == {"split": written["protocol"]["split"]}
    assert "hint: all numbers are 7: " in done.stderr


BREAKING = """
import math

from anydet.evaluation.figures import Axis, Lines, Series
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.plugins import EvaluatorSpec, hookimpl

HOW = {how!r}


class Breaking:
    name = "breaking"

    def __init__(self, ground_truth):
        self.at("factory")

    def at(self, place):
        if HOW == place:
            raise RuntimeError(f"broken in {place}")
        if HOW == place + " exits":
            raise SystemExit(0)

    def applies(self, detections, ground_truth):
        self.at("applies")

    def add(self, detections, ground_truth):
        self.at("add")

    def result(self):
        self.at("result")
        value = {"NaN": math.nan, "text": "high"}.get(HOW, 1.0)
        tables = (Table("a table", ("a",), ((object(),),)),) if HOW == "table" else ()
        axis = Axis("x")
        figures = []
        if HOW == "figure":
            figures.append(Lines("line", "a line", axis, axis, (Series("", (0, 1), (0, 1, 2)),)))
        return None if HOW == "none" else Measured({"value": value}, tables, {}, figures)


PLUGIN_API = 2

@hookimpl
def register_evaluators(register):
    register(EvaluatorSpec("breaking", "breaking_plugin:{attribute}", "breaks"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("import", "breaking_plugin"),
        ("factory", "failed in its factory: RuntimeError: broken in factory"),
        ("applies", "failed in applies: RuntimeError: broken in applies"),
        ("applies exits", "failed in applies: SystemExit: 0"),
        ("add", "failed in add: RuntimeError: broken in add"),
        ("result", "failed in result: RuntimeError: broken in result"),
        ("result exits", "failed in result: SystemExit: 0"),
        ("NaN", "gave the metric 'value' the value nan"),
        ("text", "failed in its result: TypeError"),
        ("none", "failed in its result: AttributeError"),
        ("table", "gave what cannot be written: "),
        ("figure", "failed in result: ValueError: series"),
    ],
)
def test_an_evaluator_that_fails_leaves_the_numbers_of_the_others(how, problem, files, tmp_path, monkeypatch):
    attribute = "Missing" if how == "import" else "Breaking"
    text = BREAKING.replace("{how!r}", repr(how)).replace("{attribute}", attribute)
    (tmp_path / "breaking_plugin.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "breaking_plugin", raising=False)
    plugins = Plugins([EntryPoint("breaking", "breaking_plugin", "anydet")])
    arguments = ["eval", "--dataset", files[0], "--predictions", files[1], "--json", tmp_path / "result.json"]
    arguments += ["--metrics", "breaking,coco", "--plots", tmp_path / "charts"]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=plugins)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert problem in done.stderr
    assert "breaking" in done.stderr
    assert "  fix: " in done.stderr
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["metrics"]["coco/AP"] is not None
    assert "\ncoco\n" in done.stdout
    assert (tmp_path / "charts" / "coco-precision-recall.png").exists()
    assert problem in written["failed"]["breaking"]
    assert "breaking/value" not in written["metrics"]


def test_an_evaluator_that_fails_alone_is_the_error(files, tmp_path, monkeypatch):
    text = BREAKING.replace("{how!r}", "'add'").replace("{attribute}", "Breaking")
    (tmp_path / "breaking_plugin.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "breaking_plugin", raising=False)
    plugins = Plugins([EntryPoint("breaking", "breaking_plugin", "anydet")])
    with pytest.raises(PluginError, match="evaluator 'breaking' failed in add: RuntimeError: broken in add"):
        run_evaluators([read_inputs(*files)], ["breaking"], plugins=plugins)


def test_predictions_in_several_files_give_the_same_json(files, tmp_path):
    dataset, whole = files
    rows = json.loads(whole.read_text())
    (tmp_path / "parts").mkdir()
    for i, row in enumerate(rows):
        (tmp_path / "parts" / f"{i}.json").write_text(json.dumps([row]))
    names = ["coco", "tide", "confusion", "thresholds", "calibration", "label-errors"]
    one, many = (
        run_evaluators(read_shards(dataset, path), names, plugins=Plugins(()))
        for path in (whole, tmp_path / "parts")
    )
    for name in names:
        ours, theirs = (run.results[name].as_dict() for run in (one, many))
        assert {**ours, "protocol": None} == {**theirs, "protocol": None}


def test_object_models_need_a_format_that_reads_them(run, files, tmp_path):
    done = run("--dataset", files[0], "--predictions", files[1], "--models", tmp_path)
    assert done.exit_code == 1
    assert "no installed data set format reads object models" in done.stderr
    assert "pip install anydet-bop" in done.stderr


CUBES = """
import numpy as np
from anydet.plugins import DatasetSpec, hookimpl
from anydet.types import ObjectModel


class Cubes:
    name = "cubes"

    def matches(self, path):
        return False

    def open(self, path, split, images):
        raise AssertionError("matches nothing")

    def read_models(self, folder):
        return {1: ObjectModel(folder.name, np.eye(3), 1.0, np.eye(4)[None])}


FORMAT = Cubes()


PLUGIN_API = 2

@hookimpl
def register_datasets(register):
    register(DatasetSpec("cubes", "cubes_plugin:FORMAT"))
"""


def test_object_models_are_read_by_any_format_that_can(files, tmp_path, monkeypatch):
    (tmp_path / "cubes_plugin.py").write_text(CUBES)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins([EntryPoint("cubes", "cubes_plugin", "anydet")])
    arguments = ["eval", "--dataset", files[0], "--predictions", files[1], "--metrics", "coco", "--models"]
    done = CliRunner().invoke(main, [*map(str, arguments), "dog"], obj=plugins)
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, [*map(str, arguments), "horse"], obj=plugins)
    assert done.exit_code == 1
    assert "classes cat, dog and objects 1 cannot be matched by name" in done.stderr


@pytest.mark.slow
def test_the_command_adds_slices_and_intervals(tmp_path, crowd):
    truth, results = crowd(12, 1)
    dataset, predictions, slices = (tmp_path / n for n in ("instances_val2017.json", "results.json", "s.csv"))
    dataset.write_text(json.dumps(truth))
    predictions.write_text(json.dumps(results))
    slices.write_text(
        "image,slice\n" + "".join(f"{i}.jpg,{'odd' if i % 2 else 'even'}\n" for i in range(1, 13))
    )
    arguments = ["eval", "--dataset", dataset, "--predictions", predictions, "--metrics", "coco"]
    arguments += ["--slices", slices, "--intervals", "20"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--json", "-"], obj=Plugins(()))
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    coco = value["results"]["coco"]
    assert coco["slices"]["odd"]["images"] == 6
    assert value["metrics"]["coco/odd/AP"] == coco["slices"]["odd"]["metrics"]["AP"]
    assert value["metrics"]["coco/AP/low"] == coco["intervals"]["overall"]["AP"]["low"]
    assert np.mean(coco["curves"]["by_iou"]["0.50"]) == pytest.approx(coco["metrics"]["AP50"])
    curves, intervals, slices = coco["figures"]
    assert curves["series"][0]["y"] == coco["curves"]["by_iou"]["0.50"]
    assert {bar["name"]: bar["low"] for bar in intervals["bars"]} == {
        name: interval["low"] for name, interval in coco["intervals"]["overall"].items() if interval["low"]
    }
    assert {bar["name"]: bar["value"] for bar in slices["bars"]} == {
        name: row["metrics"]["AP"] for name, row in coco["slices"].items()
    }
    assert coco["tables"][-1]["title"] == "classes"
    shown = CliRunner().invoke(main, [*map(str, arguments)], obj=Plugins(()))
    assert "95 % intervals, 20 resamples of images" in shown.stdout
    assert "AP/low" not in shown.stdout
    wrong = CliRunner().invoke(main, [*map(str, arguments), "--metrics", "tide"], obj=Plugins(()))
    assert wrong.exit_code == 1
    assert "evaluators without intervals and slices: tide" in wrong.stderr


@pytest.mark.slow
def test_the_command_draws_into_a_folder(files, tmp_path):
    arguments = [
        "eval",
        "--dataset",
        files[0],
        "--predictions",
        files[1],
        "--plots",
        tmp_path / "new" / "charts",
    ]
    done = CliRunner().invoke(main, [*map(str, arguments)], obj=Plugins(()))
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "new" / "charts").iterdir()} == {
        "coco-precision-recall.png",
        "tide-errors.png",
        "confusion-matrix.png",
        "calibration-reliability.png",
    }


@pytest.fixture
def corrupted(tmp_path):
    """Predictions of clean scenes and of two corruptions, which find fewer of the objects."""
    from anydet.contract.encode import encode_entry
    from anydet.contract.write import write_predictions
    from anydet.data.opening import open_dataset
    from anydet.data.scenes.shape_scenes import SyntheticDataset
    from anydet.data.writing.coco import write_coco
    from anydet.types import ImagePredictions

    write_coco(SyntheticDataset(6, image_wh=(96, 80)), tmp_path / "scenes")
    dataset = open_dataset(tmp_path / "scenes")

    def write(name, share, corruption=None):
        entries = []
        for record in dataset:
            kept = np.arange(len(record.labels)) < share * len(record.labels)
            labels = record.labels.take(kept)
            boxes = labels.boxes_xywh_px.copy()
            boxes[:, 2:] += boxes[:, :2]
            scores = np.full(len(boxes), 0.9)
            entries.append(
                encode_entry(ImagePredictions(record.key, record.size_wh, boxes, scores, labels.class_ids))
            )
        meta = {"classes": list(dataset.classes.names)}
        if corruption:
            corruption.setdefault("clean", dataset.fingerprint())
            meta["extra"] = {"corruption": corruption}
        write_predictions(entries, tmp_path / name, meta=meta, wrap=True)
        return tmp_path / name

    clean = write("clean.json", 1)
    fog = write("c/fog-3.json", 0.5, {"name": "fog", "severity": 3, "seed": 0})
    snow = write("c/snow-3.json", 0, {"name": "snow", "severity": 3, "seed": 0})
    return tmp_path / "scenes", clean, fog, snow


@pytest.mark.slow
def test_corrupted_results_give_mpc_and_rpc(run, corrupted, tmp_path):
    scenes, clean, fog, _ = corrupted
    done = run(
        "--dataset", scenes, "--predictions", clean, "--metrics", "coco", "--corrupted", tmp_path / "c",
        "--json", tmp_path / "out.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["metrics"]["coco/AP"] == pytest.approx(1)
    alone = run("--dataset", scenes, "--predictions", fog, "--metrics", "coco", "--json", "-")
    half = json.loads(alone.stdout)["metrics"]["coco/AP"]
    assert 0.2 < half < 0.9
    assert document["metrics"]["robustness/mPC"] == pytest.approx((half + 0) / 2)
    assert document["metrics"]["robustness/rPC"] == pytest.approx(half / 2)
    assert document["results"]["robustness"]["protocol"]["corruptions"] == {"snow": [3], "fog": [3]}
    assert "\nrobustness\n" in done.stdout
    assert "AP by corruption and severity" in done.stdout


@pytest.mark.slow
def test_corrupted_images_of_another_data_set_are_said(run, corrupted):
    scenes, clean, fog, snow = corrupted
    start = ("--dataset", scenes, "--metrics", "coco", "--predictions", clean, "--corrupted")
    assert "of another data set" not in run(*start, fog).stderr
    snow.write_text(snow.read_text().replace('"clean":"sha256:', '"clean":"sha256:0'))
    done = run(*start, snow)
    assert done.exit_code == 0
    assert f"warning: {snow}: states that images of another data set were corrupted" in done.stderr
    snow.write_text(re.sub(r',"clean":"[^"]*"', "", snow.read_text()))
    assert "of another data set" not in run(*start, snow).stderr


@pytest.mark.slow
def test_files_that_do_not_say_their_corruption_are_named_by_the_user(run, corrupted, files):
    dataset, predictions = files
    refused = run("--dataset", dataset, "--predictions", predictions, "--corrupted", predictions)
    assert refused.exit_code == 1
    assert "does not state the corruption of its images\n  fix: name it: --corrupted fog:3=" in refused.stderr
    done = run(
        "--dataset", dataset, "--predictions", predictions, "--metrics", "coco",
        "--corrupted", f"fog:3={predictions}", "--json", "-",
    )  # fmt: skip
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["robustness/rPC"] == pytest.approx(1)
    assert metrics["robustness/mPC"] == pytest.approx(metrics["coco/AP"])


@pytest.mark.slow
def test_wrong_sets_of_corrupted_results_are_refused(run, corrupted):
    scenes, clean, fog, snow = corrupted
    start = ("--dataset", scenes, "--metrics", "coco")
    twice = run(*start, "--predictions", clean, "--corrupted", fog, "--corrupted", f"fog:3={fog}")
    assert twice.exit_code == 1
    assert "fog at severity 3 is twice among the corrupted results" in twice.stderr
    foggy = run(*start, "--predictions", fog, "--corrupted", snow)
    assert foggy.exit_code == 1
    assert "its images are corrupted, by fog at severity 3" in foggy.stderr
    other = run("--dataset", scenes, "--metrics", "tide", "--predictions", clean, "--corrupted", snow)
    assert other.exit_code == 1
    assert "no evaluator with an AP ran\n  fix: add coco to --metrics" in other.stderr
    ragged = run(*start, "--predictions", clean, "--corrupted", fog, "--corrupted", f"snow:3={snow}",
                 "--corrupted", f"frost:5={clean}")  # fmt: skip
    assert ragged.exit_code == 0, ragged.output
    assert "warning: no results for snow:5, frost:3, fog:5; mPC is the mean of what is there" in ragged.stderr


def test_protocols_with_options_are_in_the_output_and_in_the_json(run, files, tmp_path):
    hierarchy, labels, out = (tmp_path / name for name in ("h.json", "l.csv", "out.json"))
    hierarchy.write_text(
        json.dumps({"Subcategory": [{"LabelName": "dog", "Subcategory": [{"LabelName": "cat"}]}]})
    )
    labels.write_text("ImageID,LabelName,Confidence\n1,cat,1\n")
    data = ("--dataset", files[0], "--predictions", files[1], "--metrics", "voc,open-images,olrp")
    assert all(f"\n{name}\n" in run(*data).stdout for name in ("voc", "open-images", "olrp"))
    options = ("--iou-threshold", "0.4", "--class-hierarchy", hierarchy, "--image-labels", labels)
    done = run(*data, *options, "--json", out)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())["results"]
    assert found["voc"]["metrics"] == {"AP": 0.5, "AP_11point": 0.5}
    # The dog's image was not verified for cats, so that the cat there is left out; the cat is a dog, too.
    assert found["open-images"]["metrics"] == {"AP": 0.5, "AP_challenge": 0.5}
    assert found["open-images"]["tables"][0]["rows"] == [
        ["cat", 1.0, 1.0, 1, 0, 1],
        ["dog", 0.0, 0.0, 2, 0, 0],
    ]
    assert found["olrp"]["protocol"]["tau"] == 0.4


@pytest.mark.parametrize("option", ["--iou-threshold", "--box-area-factor"])
def test_an_option_that_none_of_the_evaluators_has_is_refused(run, files, option):
    done = run("--dataset", files[0], "--predictions", files[1], "--metrics", "coco", option, "0.5")
    assert done.exit_code == 1
    assert f"{option}: none of the evaluators has it: coco" in done.stderr
