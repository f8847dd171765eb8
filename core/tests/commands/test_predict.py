from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.contract.columns import read_images
from anydet.contract.reading.load import load
from anydet.data.dataset.image_files import open_image_files
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError, OptionError
from anydet.report.files import picture_paths


def predict(*arguments):
    return CliRunner().invoke(main, ["predict", "--adapter", "toy", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path):
    write_yolo(SyntheticDataset(4, 0, (128, 96)), tmp_path / "scenes", "val")
    folder = tmp_path / "scenes" / "images" / "val"
    (folder / "more").mkdir()
    last = sorted(folder.glob("*.*"))[-1]
    last.rename(folder / "more" / last.name)
    return folder


def test_files_folders_and_patterns_name_each_picture_once_in_the_order_given(photos):
    names = sorted(p.name for p in photos.glob("*.png"))
    inner = next((photos / "more").iterdir())
    found = open_image_files([photos / "more", photos / names[1], f"{photos}/*.png"])
    assert found.root == photos
    assert found.keys == (f"more/{inner.name}", names[1], names[0], names[2])
    assert open_image_files([inner]).keys == (inner.name,)
    assert open_image_files([f"{photos}/**/*.png"]).keys == tuple(sorted([*names, f"more/{inner.name}"]))
    assert [r.image().shape for r in found] == [(96, 128, 3)] * 4


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a[1].png")
    assert open_image_files([tmp_path / "a[1].png"]).keys == ("a[1].png",)


@pytest.mark.parametrize("source", ["missing.jpg", "*.jpg", "empty"])
def test_a_source_that_names_no_picture_is_an_error_with_a_fix(source, tmp_path):
    (tmp_path / "empty").mkdir()
    run = predict(tmp_path / source)
    assert run.exit_code == 1
    assert source in run.stderr
    assert "fix: name an image" in run.stderr
    assert "Traceback" not in run.output
    with pytest.raises(DatasetError):
        open_image_files([tmp_path, tmp_path / source])


def test_the_json_on_the_terminal_and_the_file_are_the_same_predictions(photos, tmp_path):
    written, output = tmp_path / "shown.json", tmp_path / "p.json"
    run = predict(photos, "--output", output, "--json")
    assert run.exit_code == 0, run.output
    written.write_text(run.stdout)
    assert json.loads(run.stdout)["predictions"] == json.loads(output.read_text())["predictions"]
    assert load(written).classes == load(output).classes
    assert (
        json.loads(predict(photos, "--json").stdout)["predictions"] == json.loads(run.stdout)["predictions"]
    )
    assert [p.image for p in read_images(written)] == list(open_image_files([photos]).keys)


@pytest.mark.slow
def test_the_table_counts_what_it_leaves_out(photos):
    every = predict(photos)
    assert every.exit_code == 0, every.output
    total = sum(len(e["detections"]) for e in json.loads(predict(photos, "--json").stdout)["predictions"])
    assert f"4 images, {total} detections" in every.stdout
    assert total > 2
    short = predict(photos, "--max-rows", 2).stdout
    assert f"{total - 2} not shown" in short
    assert len(short.splitlines()) < len(every.stdout.splitlines())


def test_the_class_of_a_whole_image_is_in_the_table_and_above_the_overlay(tmp_path):
    Image.new("RGB", (320, 200)).save(tmp_path / "a.png")
    box = {"cx": 0.5, "cy": 0.5, "w": 0.3, "h": 0.3}
    entry = {
        "image": "a.png", "image_size": {"width": 320, "height": 200},
        "detections": [{"class_id": 0, "score": 0.5, "bbox": box}],
        "classification": {"class_id": 1, "score": 0.75},
    }  # fmt: skip
    document = {"schema_version": 1, "predictions": [entry], "meta": {"classes": ["cup", "kitchen"]}}
    (tmp_path / "p.json").write_text(json.dumps(document))
    given = ["--adapter", "precomputed", "--option", f"predictions={tmp_path / 'p.json'}"]
    run = predict(tmp_path / "a.png", *given, "--save-overlays", tmp_path / "o")
    assert run.exit_code == 0, run.output
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in run.stdout.splitlines()]
    assert ["a.png", "kitchen (the image)", "0.75", "", "", "", ""] in lines
    assert ["", "cup", "0.50", "112.0", "70.0", "208.0", "130.0"] in lines
    assert "1 image, 1 detection" in run.stdout
    with Image.open(tmp_path / "o" / "a.png") as overlay:
        assert overlay.height > 200


@pytest.mark.slow
def test_overlays_mirror_the_folders_and_leave_the_pictures_alone(photos, tmp_path):
    before = {p: p.read_bytes() for p in photos.rglob("*.png")}
    run = predict(photos, "--save-overlays", tmp_path / "over", "--score-threshold", 0)
    assert run.exit_code == 0, run.output
    assert {p.relative_to(tmp_path / "over") for p in (tmp_path / "over").rglob("*.*")} == {
        p.relative_to(photos) for p in before
    }
    assert {p: p.read_bytes() for p in before} == before
    entries = {e["image"]: e for e in json.loads(predict(photos, "--json").stdout)["predictions"]}
    for path in before:
        key = path.relative_to(photos).as_posix()
        changed = not np.array_equal(Image.open(tmp_path / "over" / key), Image.open(path))
        assert changed or not entries[key]["detections"]


def test_overlays_in_the_folder_of_the_pictures_are_refused_before_anything_is_written(photos):
    run = predict(photos, "--save-overlays", photos)
    assert run.exit_code == 1
    assert "would overwrite its image" in run.stderr


def test_pictures_of_one_stem_get_an_overlay_each(tmp_path):
    assert [p.name for p in picture_paths(tmp_path, ["a.jpg", "b.jpg"])] == ["a.png", "b.png"]
    assert [p.name for p in picture_paths(tmp_path, ["a.jpg", "A.bmp"])] == ["a.jpg.png", "A.bmp.png"]
    with pytest.raises(DatasetError, match="outside"):
        picture_paths(tmp_path, ["../a.jpg"])
    (tmp_path / "a.png").symlink_to(tmp_path / "real.png")
    with pytest.raises(OptionError, match="overwrite"):
        picture_paths(tmp_path, ["a.jpg"], [tmp_path / "real.png"])


@pytest.mark.slow
def test_an_unreadable_picture_stops_the_run_or_is_skipped_and_named(photos, tmp_path):
    (photos / "bad.jpg").write_text("not a picture")
    stopped = predict(photos)
    assert stopped.exit_code == 1
    assert "bad.jpg: cannot be decoded" in stopped.stderr
    assert "--on-error skip" in stopped.stderr
    skipped = predict(
        photos, "--on-error", "skip", "--save-overlays", tmp_path / "o", "--output", tmp_path / "p.jsonl"
    )
    assert skipped.exit_code == 0, skipped.output
    assert "skipped 1 of 5 images; the first is bad.jpg: " in skipped.stderr
    assert not (tmp_path / "o" / "bad.png").exists()
    assert "5 images" in skipped.stdout


def test_a_run_in_which_every_picture_was_skipped_is_no_success(tmp_path):
    (tmp_path / "bad.jpg").write_text("not a picture")
    done = predict(tmp_path / "bad.jpg", "--on-error", "skip", "--json")
    assert done.exit_code == 1
    assert "skipped 1 of 1 image; the first is bad.jpg: " in done.stderr
    assert json.loads(done.stdout)["predictions"][0]["detections"] == []


def test_an_adapter_without_pixels_has_results_of_a_torn_picture_but_no_overlay(tmp_path):
    photo = tmp_path / "photos" / "a.jpg"
    photo.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)).save(photo)
    photo.write_bytes(photo.read_bytes()[:2000])
    box = {"class_id": 0, "score": 0.5, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.5, "h": 0.5}}
    (tmp_path / "given.json").write_text(json.dumps([{"image": "a.jpg", "detections": [box]}]))
    run = ["predict", "--adapter", "precomputed", "--option", f"predictions={tmp_path / 'given.json'}"]
    run += [str(photo.parent), "--json"]
    plain = CliRunner().invoke(main, run)
    assert plain.exit_code == 0, plain.output
    assert len(json.loads(plain.stdout)["predictions"][0]["detections"]) == 1
    run += ["--save-overlays", str(tmp_path / "o")]
    stopped = CliRunner().invoke(main, run)
    assert stopped.exit_code == 1
    assert "a.jpg: cannot be decoded" in stopped.stderr
    skipped = CliRunner().invoke(main, [*run, "--on-error", "skip"])
    assert skipped.exit_code == 0, skipped.output
    assert "no overlay of a.jpg" in skipped.stderr
    assert json.loads(skipped.stdout) == json.loads(plain.stdout)


def test_no_picture_and_a_resumption_without_output_are_wrong_usage(photos):
    assert predict().exit_code == 2
    assert predict(photos, "--resume").exit_code == 2


@pytest.mark.slow
def test_the_example_of_the_help_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in predict("--help").output.splitlines()]
    for line in [line for line in lines if line.startswith("anydet ")]:
        run = CliRunner().invoke(main, shlex.split(line)[1:])
        assert run.exit_code == 0, run.output
    assert len(list((tmp_path / "overlays").glob("*.png"))) == 4
