"""``anydet parity``: its verdict, what it prints, and the folder that it writes."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Synthetic scenes, their predictions, and copies with one fault each."""
    folder = tmp_path_factory.mktemp("parity")
    for line in (
        f"synth --out {folder / 'scenes'} --images 6 --size 96x72",
        f"export-predictions --adapter toy --dataset {folder / 'scenes'} --wrap --output {folder / 'a.json'}",
    ):
        assert CliRunner().invoke(main, line.split()).exit_code == 0, line
    good = json.loads((folder / "a.json").read_text())
    at = next(i for i, entry in enumerate(good["predictions"]) if entry["detections"])

    def write(name, change):
        changed = deepcopy(good)
        change(changed["predictions"][at]["detections"])
        (folder / f"{name}.json").write_text(json.dumps(changed))

    write("moved", lambda found: found[0]["bbox"].update(cx=found[0]["bbox"]["cx"] + 0.01))
    write("extra", lambda found: found.append({**found[0], "score": 0.42}))
    write("missing", lambda found: found.pop(0))
    write("turned", lambda found: found.reverse())
    return folder


def run(folder, *words):
    return CliRunner().invoke(main, ["parity", str(folder / "a.json"), *map(str, words)], obj=Plugins(()))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("moved", "beyond tolerance (box up to"),
        ("extra", "1 detection only in"),
        ("missing", "1 detection only in"),
    ],
)
def test_one_fault_is_exit_1_with_a_line_that_names_it(scenes, name, reason):
    done = run(scenes, scenes / f"{name}.json")
    assert done.exit_code == 1, done.output
    assert done.stdout.splitlines()[-1].startswith("parity fails: ")
    assert reason in done.stdout.splitlines()[-1]


def test_other_orders_are_exit_0(scenes):
    done = run(scenes, scenes / "turned.json")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("parity holds: ")


@pytest.mark.slow
def test_with_annotations_the_difference_of_ap_has_an_interval(scenes):
    done = run(scenes, scenes / "missing.json", "--dataset", scenes / "scenes", "--resamples", "50")
    assert "95 % interval [" in done.stdout
    strict = run(scenes, scenes / "missing.json", "--dataset", scenes / "scenes", "--tolerance-ap", "0")
    assert "AP differs by 0." in strict.stdout


def ap_of(found):
    return {name: found["ap"]["AP"][name] for name in ("a", "b")}


@pytest.mark.slow
def test_ap_is_of_the_images_that_were_compared(scenes, tmp_path):
    """Files of half of the images have the AP of these, not half of it."""
    half = json.loads((scenes / "a.json").read_text())
    half["predictions"] = half["predictions"][:3]
    (tmp_path / "half.json").write_text(json.dumps(half))
    words = ("--dataset", scenes / "scenes", "--json", "-")
    line = ["parity", tmp_path / "half.json", tmp_path / "half.json", *words]
    found = json.loads(CliRunner().invoke(main, list(map(str, line)), obj=Plugins(())).stdout)
    evaluated = ["eval-coco", "--predictions", tmp_path / "half.json", "--max-images", "3", *words]
    wanted = json.loads(CliRunner().invoke(main, list(map(str, evaluated)), obj=Plugins(())).stdout)
    assert ap_of(found) == dict.fromkeys("ab", pytest.approx(wanted["metrics"]["AP"]))
    assert found["counts"]["images"] == 3
    for more in (("--missing", "skip"), ("--max-images", "3")):
        line = ["parity", tmp_path / "half.json", scenes / "a.json", *words, *more]
        skipped = json.loads(CliRunner().invoke(main, list(map(str, line)), obj=Plugins(())).stdout)
        assert ap_of(skipped) == ap_of(found)


def test_the_first_images_of_files_are_compared(scenes):
    done = run(scenes, scenes / "missing.json", "--max-images", "1", "--json", "-")
    assert json.loads(done.stdout)["counts"]["images"] == 1


@pytest.mark.slow
def test_two_adapters_have_a_difference_of_ap(scenes):
    line = "parity --adapter toy --adapter toy --option min_area_px=300 --json - --dataset"
    plugins = Plugins(only=["toy"])
    done = CliRunner().invoke(main, [*line.split(), str(scenes / "scenes"), "--locate"], obj=plugins)
    found = json.loads(done.stdout)["parity"]["ap"]["AP"]
    assert found["a"] > found["b"]
    strict = [*line.split(), str(scenes / "scenes"), "--tolerance-ap", "0"]
    assert not json.loads(CliRunner().invoke(main, strict, obj=plugins).stdout)["ok"]
    images = [*line.split(), str(scenes / "scenes/images/val"), "--tolerance-ap", "0"]
    assert "has no labels to measure AP on" in CliRunner().invoke(main, images, obj=plugins).stderr


def test_json_goes_to_stdout_alone(scenes):
    done = run(scenes, scenes / "extra.json", "--json", "-")
    written = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not written["ok"]
    assert written["counts"]["only"] == {"a": 0, "b": 1}
    assert written["only"]["b"][0]["score"] == 0.42


@pytest.mark.slow
def test_the_folder_has_histograms_and_the_worst_images(scenes, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    run(
        scenes, scenes / "moved.json", "--dataset", scenes / "scenes", "--resamples", "0", "--output-dir", out
    )
    assert not json.loads((out / "parity.json").read_text())["ok"]
    assert {"box-difference.png", "score-difference.png"} <= {path.name for path in out.glob("*.png")}
    (picture,) = out.glob("worst/*.png")
    with Image.open(picture) as image:
        assert image.width > 2 * 480


@pytest.mark.slow
def test_a_data_set_without_labels_is_for_pictures_alone(scenes, tmp_path):
    images = scenes / "scenes/images/val"
    images = images if images.exists() else next(scenes.glob("scenes/**/*.png")).parent
    done = run(scenes, scenes / "moved.json", "--dataset", images, "--output-dir", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert "AP" not in done.stdout
    assert list((tmp_path / "out/worst").glob("*.png"))
