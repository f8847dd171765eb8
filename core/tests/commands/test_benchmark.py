"""``anydet benchmark``: what it prints and writes, and when it refuses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "scenes"
    line = f"synth --out {folder} --images 4 --size 96x72"
    assert CliRunner().invoke(main, line.split()).exit_code == 0
    return folder


def run(*words):
    line = ["benchmark", "--rounds", "1", "--warm-up", "1", *map(str, words)]
    return CliRunner().invoke(main, line, obj=Plugins(only=["toy"]))


@pytest.mark.slow
def test_two_adapters_with_two_batch_sizes_are_measured(scenes, tmp_path):
    words = ("--adapter", "toy", "--adapter", "toy", "--option", "min_area_px=100000", "--batch-size", "1,3")
    path = tmp_path / "result.json"
    done = run(*words, "--dataset", scenes, "--json", path, "--power")
    assert done.exit_code == 0, done.output
    for words in ("A toy", "B toy", "p99", "postprocess", "ratio", "power: "):
        assert words in done.stdout
    found = json.loads(path.read_text())
    rows = [(one["label"], one["batch_size"], one["calls"]) for one in found["contestants"]]
    assert rows == [("A toy", 1, 3), ("A toy", 3, 1), ("B toy", 1, 3), ("B toy", 3, 1)]
    assert "1 image of 4 left out: they fill no call of the batch sizes" in done.stderr
    assert found["images"] == 3
    first = found["contestants"][0]
    assert 0 < first["latency_ms"]["p50"] <= first["latency_ms"]["p99"]
    assert first["ratio_to_first"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert set(first["stages_ms_per_image"]) == {"decode", "preprocess", "model", "postprocess"}
    # What finds nothing has no AP, and what finds the same has the same, whatever the batch.
    assert [one["AP"] for one in found["contestants"]] == [first["AP"], first["AP"], 0, 0]
    assert first["AP"] > 0.5


@pytest.mark.slow
def test_ap_against_latency_is_drawn(scenes, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "plot.png"
    done = run("--adapter", "toy", "--dataset", scenes, "--batch-size", "1,2", "--plot", picture)
    assert done.exit_code == 0, done.output
    with Image.open(picture) as image:
        assert image.size == (1050, 750)


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(scenes):
    done = run("--adapter", "toy", "--dataset", scenes, "--memory", "--json", "-")
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)["contestants"]
    assert 20 < one["peak_memory_mib"] < 2000


def test_images_without_labels_have_no_ap_to_draw(scenes, tmp_path):
    images = next((scenes / "images").iterdir())
    done = run("--adapter", "toy", "--dataset", images, "--plot", tmp_path / "plot.png")
    assert done.exit_code == 1
    assert "no labels" in done.output
    done = run("--adapter", "toy", "--dataset", images, "--json", "-")
    assert json.loads(done.stdout)["contestants"][0]["AP"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --adapter NAME"),
        (("--adapter", "toy", "--batch-size", "1,x"), "whole numbers"),
        (("--adapter", "toy", "--batch-size", "0"), "whole numbers"),
        (("--adapter", "toy") * 27, "more than the 26"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(words, said, scenes):
    done = run(*words, "--dataset", scenes)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("sizes", ["5", "1,64", "3,4"])
def test_batches_that_the_images_do_not_fill_are_refused(sizes, scenes):
    done = run("--adapter", "toy", "--dataset", scenes, "--batch-size", sizes)
    assert done.exit_code == 1
    assert f"--batch-size {sizes}: 4 images are fewer than" in done.stderr
    assert "raise --max-images" in done.stderr


def test_an_interrupted_run_says_what_its_numbers_are_of(scenes, tmp_path, monkeypatch):
    from anydet.benchmark.contestant import Contestant

    plain, calls = Contestant.run, []

    def interrupted(one, records):
        calls.append(records)
        if len(calls) == 5:  # a warm-up and three blocks before it
            raise KeyboardInterrupt
        return plain(one, records)

    monkeypatch.setattr(Contestant, "run", interrupted)
    path = tmp_path / "result.json"
    done = run("--adapter", "toy", "--dataset", scenes, "--block", "1", "--json", path)
    assert done.exit_code == 130
    assert "3 images, 3 of 4 predictions before the interruption" in done.stdout
    assert "numbers are of 3 of 4 predictions" in done.stderr
    found = json.loads(path.read_text())
    assert found["images"] == found["contestants"][0]["images"] == 3
    assert found["contestants"][0]["AP"] is None, "not all images were predicted"
