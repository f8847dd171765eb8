"""``anydet test``: every scenario is measured on what it is, thresholds decide, and nothing is done twice."""

from __future__ import annotations

import json
import os
import threading

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.plugins.manager import Plugins

SCENARIOS = {
    "clean": {},
    "rotation": {"rotation": {"degrees": 15}},
    "half-scale": {"scale": {"factor": 0.5}},
    "dark": {"low_light": {"light": 0.001}},
    "small": {"small_objects": {"below_px": 600}},
    "truncated": {"truncated": {}},
    "crowded": {"crowded": {"objects": 2}},
}


@pytest.fixture
def test(tmp_path, scene_folders, oracle_plugins, monkeypatch):
    """Run ``anydet test`` with a setting; gives what click gives, and the results."""
    monkeypatch.chdir(tmp_path)

    def test(*words, plugins=oracle_plugins, data="coco", **keys):
        setting = {"adapter": "oracle", "evaluators": [], "scenarios": SCENARIOS, **keys}
        (tmp_path / "setting.json").write_text(json.dumps(setting))
        line = ["test", "setting.json", "--dataset", str(scene_folders / data), "--out", "out", *words]
        done = CliRunner().invoke(main, line, obj=plugins)
        path = tmp_path / "out/results.json"
        return done, json.loads(path.read_text()) if path.exists() else None

    return test


def numbers(results):
    return {one["name"]: one["numbers"] for one in results["scenarios"]}


def test_what_finds_everything_is_perfect_wherever_it_sees(test):
    done, results = test()
    assert done.exit_code == 0, done.output
    found = numbers(results)
    assert list(found) == list(SCENARIOS)
    for name in set(SCENARIOS) - {"dark"}:
        # Boxes and labels went the same way: any error of a warp would lower these.
        assert found[name]["AP"] == pytest.approx(1.0), name
        assert (found[name]["recall"], found[name]["precision"]) == (1.0, 1.0), name
        assert found[name]["rejection_rate"] == 0.0, name
        assert found[name]["of_clean"] == pytest.approx(1.0), name
    assert found["dark"]["AP"] == 0.0
    assert (found["dark"]["recall"], found["dark"]["precision"]) == (0.0, None)
    assert (found["dark"]["rejection_rate"], found["dark"]["of_clean"]) == (1.0, 0.0)
    objects = {one["name"]: one["objects"] for one in results["scenarios"]}
    assert 0 < objects["small"] < objects["clean"] == 12
    assert 0 < objects["crowded"] <= objects["clean"]
    assert len({one["data"] for one in results["scenarios"]}) == len(SCENARIOS)
    for name, one in found.items():
        assert one["images_per_s"] > 0, name


def test_all_files_are_there_and_say_the_same(test, tmp_path):
    done, results = test("--json", "-", "--max-images", "4")
    assert json.loads(done.stdout) == results
    page = (tmp_path / "out/report.html").read_text()
    for name in SCENARIOS:
        assert f">{name}</th>" in page
    assert "data:image/jpeg;base64," in page
    assert results["about"]["dataset"]["images"] == 4
    assert (tmp_path / "out/tables.md").read_text().count("| half-scale |") >= 2
    assert (tmp_path / "out/scenarios.jpg").read_bytes()[:3] == b"\xff\xd8\xff"


def test_a_missed_threshold_is_exit_code_1_with_a_line_for_each(test):
    thresholds = {"AP": {"min": 0.5}, "rejection_rate": {"max": 0.1}}
    done, results = test(thresholds=thresholds)
    assert done.exit_code == 1
    assert results["missed"] == [
        "dark: AP is 0, not at least 0.5",
        "dark: rejection_rate is 1, not at most 0.1",
    ]
    for line in results["missed"]:
        assert line in done.stderr
    assert {one["name"]: one["verdict"] for one in results["scenarios"]}["dark"] == "missed"
    done, results = test("--scenario", "clean", "--scenario", "rotation", thresholds=thresholds)
    assert done.exit_code == 0
    assert [one["verdict"] for one in results["scenarios"]] == ["met", "met"]


@pytest.fixture
def predictions(test, tmp_path, oracle_plugins, scene_folders):
    path = tmp_path / "predictions.json"
    line = ["export-predictions", "--adapter", "oracle", "--dataset", str(scene_folders / "coco")]
    done = CliRunner().invoke(main, [*line, "--output", str(path)], obj=oracle_plugins)
    assert done.exit_code == 0, done.output
    return path


def of_file(path):
    return ("--adapter", "precomputed", "--predictions", str(path))


def test_a_predictions_file_is_measured_where_nothing_is_changed(test, predictions):
    done, results = test(*of_file(predictions))
    assert done.exit_code == 0, done.output
    measured = [one["name"] for one in results["scenarios"] if one["images"] is not None]
    assert measured == ["clean", "small", "truncated", "crowded"]
    assert all(numbers(results)[name]["AP"] == pytest.approx(1.0) for name in measured)
    assert (
        "rotation is not measured: it changes pixels, and the adapter precomputed looks at none"
        in done.stderr
    )
    # A file was not predicted here: nobody knows how fast.
    assert all(numbers(results)[name]["images_per_s"] is None for name in measured)


def test_a_threshold_of_what_cannot_be_measured_is_missed_unless_it_is_optional(test, predictions):
    scenarios = {"clean": {}, "dark": {"low_light": {}}}
    done, results = test(*of_file(predictions), scenarios=scenarios, thresholds={"AP": {"min": 0.5}})
    assert done.exit_code == 1
    why = "it changes pixels, and the adapter precomputed looks at none"
    assert results["missed"] == [f"dark: AP is not known ({why}), not at least 0.5"]
    assert [one["verdict"] for one in results["scenarios"]] == ["met", "missed"]
    scenarios["dark"]["optional"] = True
    done, results = test(*of_file(predictions), scenarios=scenarios, thresholds={"AP": {"min": 0.5}})
    assert done.exit_code == 0, done.output
    assert [one["verdict"] for one in results["scenarios"]] == ["met", "not measured"]
    assert f"dark is not measured: {why}" in done.stderr


def test_a_selection_that_selects_nothing_is_not_measured(test):
    scenarios = {"clean": {}, "tiny": {"small_objects": {"below_px": 1}}, "models": {"symmetric": {}}}
    done, results = test(scenarios=scenarios)
    assert done.exit_code == 0
    reasons = [one["reason"] for one in results["scenarios"]]
    assert reasons[:2] == [None, "it selects no object"]
    assert "no models of its objects" in reasons[2]
    done, _ = test("--scenario", "tiny", scenarios=scenarios)
    assert done.exit_code == 1
    assert "no scenario could be measured" in done.stderr
    assert "Traceback" not in done.output


def test_a_metric_that_no_evaluator_gives_is_missed_with_what_was_probably_meant(test):
    done, results = test(scenarios={"clean": {}}, thresholds={"coco/AP05": {"min": 0.1}})
    assert done.exit_code == 1
    (line,) = results["missed"]
    assert line.startswith("clean: coco/AP05 is not known (no such metric; did you mean 'coco/AP")


def test_nothing_is_predicted_twice(test, seen):
    _, first = test()
    # Those that only select have the predictions of the unchanged data set in common.
    assert len(seen()) == 6 * 4
    _, again = test()
    assert len(seen()) == 6 * 4
    assert again == first
    _, other = test(seed=1)
    assert len(seen()) == 6 * 8
    assert numbers(other)["clean"]["AP"] == numbers(first)["clean"]["AP"]


def test_another_file_under_the_same_name_is_another_run(test, predictions):
    _, first = test(*of_file(predictions), "--scenario", "clean")
    assert numbers(first)["clean"]["recall"] == 1.0
    entries = json.loads(predictions.read_text())
    for entry in entries:
        entry["detections"] = entry["detections"][:1]
    predictions.write_text(json.dumps(entries))
    _, second = test(*of_file(predictions), "--scenario", "clean")
    assert numbers(second)["clean"]["recall"] < 1.0


def test_predictions_from_a_pipe_are_named_as_they_were_given(test, predictions, tmp_path):
    names = []
    for name in ("first.json", "second.json"):
        fifo = tmp_path / name
        os.mkfifo(fifo)
        content = predictions.read_bytes()
        threading.Thread(target=fifo.write_bytes, args=(content,), daemon=True).start()
        done, results = test("--adapter", "precomputed", "--predictions", name, "--scenario", "clean")
        assert done.exit_code == 0, done.output
        assert results["about"]["options"]["predictions"] == name
        assert "/anydet" not in json.dumps(results["about"]["options"])
        names.append(results["scenarios"][0]["predictions"])
        assert str(tmp_path / "out") not in json.dumps(results["scenarios"])
    assert names[0] != names[1]  # as the names are others


@pytest.mark.filterwarnings("ignore::anydet.data.dataset.oddities.OddityWarning")
def test_odd_annotations_are_refused_where_that_is_wanted(test, scene_folders, altered_coco):
    def edit(content):
        content["annotations"][0]["bbox"][2] = -5.0

    root = altered_coco(edit)
    done, _ = test("--scenario", "clean", data=root)
    assert done.exit_code == 0, done.output
    done, _ = test("--scenario", "clean", "--strict", data=root)
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_words_from_outside_are_shown_and_not_run(test, tmp_path):
    """Names in a page are text; those of scenarios cannot even have marks."""
    done, _ = test(scenarios={"<script>": {}})
    assert done.exit_code == 1
    assert "names are up to 64 letters" in done.stderr
    done = CliRunner().invoke(main, ["test", "<b>", "--adapter", "oracle"], obj=Plugins(()))
    assert done.exit_code == 1
    assert "no such file" in done.stderr
