from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.contract.reading.load import load
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.reading import join_inputs
from anydet.geometry import masks
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.report import badges
from anydet.report.marks import CORNERS, SOLID
from anydet.report.view import open_scenes

COMMANDS = CliRunner()


def width(path):
    with Image.open(path) as picture:
        return picture.width


def run(*arguments):
    return COMMANDS.invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    assert run("synth", "--out", folder / "s", "--images", 4, "--format", "coco").exit_code == 0
    made = run(
        "export-predictions", "--adapter", "toy", "--dataset", folder / "s", "--output", folder / "p.json"
    )
    assert made.exit_code == 0
    return folder


@pytest.mark.slow
def test_each_image_gets_an_overlay_of_both_sides_and_a_place_on_the_sheet(scenes, tmp_path):
    shown = run("view", scenes / "p.json", "--dataset", scenes / "s", "--out", tmp_path, "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert len(found["images"]) == len(list((tmp_path / "overlays").glob("*.png"))) == 4
    assert found["sheets"] == [str(tmp_path / "sheet-001.png")]
    alone = run("view", scenes / "p.json", "--images", scenes / "s", "--out", tmp_path / "alone", "--json")
    assert alone.exit_code == 0, alone.output
    for row, other in zip(found["images"], json.loads(alone.stdout)["images"], strict=True):
        assert width(row["overlay"]) > 1.9 * width(other["overlay"])
        assert row["found"] == other["found"]


@pytest.mark.slow
def test_the_worst_image_comes_first(scenes, tmp_path):
    entries = json.loads((scenes / "p.json").read_text())
    truth = json.loads(next((scenes / "s").rglob("instances*.json")).read_text())
    labeled = {image["file_name"] for image in truth["images"]} & {
        next(i["file_name"] for i in truth["images"] if i["id"] == a["image_id"])
        for a in truth["annotations"]
    }
    spoilt = sorted(labeled)[-1]
    for entry in entries:
        if entry["image"] == spoilt:
            entry["detections"] = []
    (tmp_path / "p.json").write_text(json.dumps(entries))
    shown = run(
        "view", tmp_path / "p.json", "--dataset", scenes / "s", "--out", tmp_path / "v", "--worst",
        "--max-images", 1, "--sheet-columns", 0, "--json",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert [row["image"] for row in found["images"]] == [spoilt]
    assert found["images"][0]["f1"] == 0
    missed = found["images"][0]["missed"]
    assert found["images"][0]["mistakes"].startswith(f"{missed} missed (")
    assert found["sheets"] == []


@pytest.mark.slow
def test_marks_and_counts_are_those_of_the_matching_that_scores(scenes, tmp_path):
    entries = json.loads((scenes / "p.json").read_text())
    moved, doubled = entries[0]["detections"], entries[1]["detections"]
    moved[0]["bbox"]["cx"] = (moved[0]["bbox"]["cx"] + 0.5) % 1
    doubled.append({**doubled[0], "score": doubled[0]["score"] * 0.9})
    doubled[1]["class_id"] = (doubled[1]["class_id"] + 1) % 3
    (tmp_path / "p.json").write_text(json.dumps(entries))
    dataset = open_dataset(scenes / "s")
    shown = open_scenes(tmp_path / "p.json", dataset, score_threshold=0.2)
    inputs = join_inputs(dataset, load(tmp_path / "p.json"))
    sure = inputs.detections.take(inputs.detections.scores >= 0.2)
    matched = pair(sure, inputs.ground_truth)
    seen = dict.fromkeys((badges.RIGHT, badges.WRONG, badges.MISSED), 0)
    for place in range(len(shown.order)):
        record, row = dataset[shown.order[place]], shown.rows[place]
        truth, marks = shown.marks(place, shown.predictions(place), record.size_wh[::-1])
        hits = matched.annotations[matched.hits[sure.image_index[matched.hits] == row]]
        here = np.flatnonzero(inputs.ground_truth.image_index == row)
        missed = inputs.ground_truth.labels.boxes_xywh_px[np.setdiff1d(here, hits)]
        right = sure.boxes_xywh_px[matched.hits[sure.image_index[matched.hits] == row]]
        for badge, line, boxes in (
            (badges.RIGHT, SOLID, right),
            (badges.MISSED, CORNERS, missed),
        ):
            drawn = [mark.box_xyxy_px for mark in marks if mark.badge == badge]
            assert np.allclose(sorted(map(list, drawn)), sorted(xywh_to_xyxy(boxes).tolist()))
            assert {mark.line for mark in marks if mark.badge == badge} <= {line}
        assert sum(mark.badge == badges.MISSED for mark in truth) == len(missed)
        for badge in seen:
            seen[badge] += sum(mark.badge == badge for mark in marks)
        counts = shown.summary(place)
        assert counts["right"] == len(right)
        assert counts["missed"] == len(missed)
        assert counts["right"] + counts["wrong"] == sum(sure.image_index == row)
    assert min(seen.values()) > 0
    assert "1 duplicate" in shown.summary(1)["mistakes"]
    assert " for " in shown.summary(1)["mistakes"]


def test_pose_axes_and_states_are_drawn_where_the_camera_is_known(tmp_path):
    Image.fromarray(np.full((400, 600, 3), 90, np.uint8)).save(tmp_path / "a.png")
    box = {"cx": 0.5, "cy": 0.5, "w": 0.3, "h": 0.3}
    plain = {"class_id": 0, "score": 0.9, "bbox": box}
    posed = {**plain, "R": np.eye(3).tolist(), "t": [0, 0, 1.0]}
    camera = {"fx": 500.0, "fy": 500.0, "cx": 300.0, "cy": 200.0}

    def picture(detection):
        entry = {
            "image": "a.png", "image_size": {"width": 600, "height": 400},
            "detections": [detection], "intrinsics": camera,
        }  # fmt: skip
        (tmp_path / "p.json").write_text(json.dumps([entry]))
        shown = run("view", tmp_path / "p.json", "--images", tmp_path / "a.png", "--out", tmp_path / "v",
                    "--states", "intact,damaged")  # fmt: skip
        assert shown.exit_code == 0, shown.output
        return np.array(Image.open(tmp_path / "v" / "overlays" / "a.png"))

    def count(image, color):
        return int((image == np.array(color)).all(axis=2).sum())

    assert count(picture(posed), (213, 94, 0)) > 100 > count(picture(plain), (213, 94, 0))
    assert not np.array_equal(picture({**plain, "state": 1}), picture(plain))


def test_errors_say_what_is_missing(scenes, tmp_path):
    (tmp_path / "p.json").write_text(json.dumps([{"image": "gone.png", "detections": []}]))
    gone = run("view", tmp_path / "p.json", "--dataset", scenes / "s", "--out", tmp_path / "v")
    assert gone.exit_code == 1
    assert "'gone.png' is not in the data set" in gone.stderr
    unlabeled = run("view", scenes / "p.json", "--images", scenes / "s", "--worst", "--out", tmp_path / "v")
    assert unlabeled.exit_code == 1
    assert "has no labels" in unlabeled.stderr
    unnamed = run("view", scenes / "p.json")
    assert unnamed.exit_code == 2
    assert "--images DIR" in unnamed.stderr
    (tmp_path / "gone.png").write_text("no picture")
    broken = run("view", tmp_path / "p.json", "--images", tmp_path, "--out", tmp_path / "v")
    assert broken.exit_code == 1
    assert "cannot be decoded" in broken.stderr
    assert not (tmp_path / "v").exists() or not list((tmp_path / "v").rglob("*.png"))


def write(path, entries, **meta):
    whole = {"schema_version": 1, "predictions": entries, "meta": meta}
    path.write_text(json.dumps(whole if meta else entries))
    return path


def picture(path):
    with Image.open(path) as image:
        return np.array(image)


def count(image, color):
    return int((image == np.array(color)).all(axis=2).sum())


@pytest.fixture
def gray(tmp_path):
    Image.fromarray(np.full((400, 600, 3), 90, np.uint8)).save(tmp_path / "a.png")
    return tmp_path


def entry(detections=(), **fields):
    size = {"width": 600, "height": 400}
    return {"image": "a.png", "image_size": size, "detections": list(detections), **fields}


BOX = {"class_id": 0, "score": 0.9, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.3, "h": 0.3}}


@pytest.mark.slow
def test_the_data_set_that_the_file_names_is_used_where_it_is_still_there(scenes, tmp_path):
    entries = json.loads((scenes / "p.json").read_text())
    named = write(tmp_path / "p.json", entries, dataset={"root": str(scenes / "s"), "split": "val"})
    shown = run("view", named, "--out", tmp_path / "v", "--json")
    assert shown.exit_code == 0, shown.output
    assert ", named by " in shown.stderr
    given = run("view", named, "--dataset", scenes / "s", "--out", tmp_path / "w", "--json")
    assert [r["f1"] for r in json.loads(shown.stdout)["images"]] == [
        r["f1"] for r in json.loads(given.stdout)["images"]
    ]
    gone = run("view", write(tmp_path / "q.json", entries, dataset={"root": "/nowhere/at/all"}))
    assert gone.exit_code == 2
    assert "data set /nowhere/at/all of " in gone.stderr


def test_what_reading_warns_of_is_printed(scenes, tmp_path):
    fewer = write(tmp_path / "p.json", json.loads((scenes / "p.json").read_text())[:2])
    shown = run("view", fewer, "--dataset", scenes / "s", "--out", tmp_path / "v")
    assert shown.exit_code == 0, shown.output
    assert "does not mention 2 of the images" in " ".join(shown.stderr.split())


def test_poses_without_a_camera_are_named_and_one_can_be_passed(gray):
    posed = {**BOX, "R": np.eye(3).tolist(), "t": [0, 0, 1.0]}
    arguments = [
        "view",
        write(gray / "p.json", [entry([posed])]),
        "--images",
        gray / "a.png",
        "--out",
        gray / "v",
    ]
    blind = run(*arguments)
    assert blind.exit_code == 0, blind.output
    assert "1 images have poses but no intrinsics (a.png)" in " ".join(blind.stderr.split())
    assert "--intrinsics FX,FY,CX,CY" in " ".join(blind.stderr.split())
    assert count(picture(gray / "v/overlays/a.png"), (213, 94, 0)) < 10
    seeing = run(*arguments, "--intrinsics", "500,500,300,200")
    assert "intrinsics" not in seeing.stderr
    assert count(picture(gray / "v/overlays/a.png"), (213, 94, 0)) > 100
    assert run(*arguments, "--intrinsics", "500,500").exit_code == 2


def test_states_are_named_by_the_files_meta_unless_the_command_says_otherwise(gray):
    found = [entry([{**BOX, "state": 1}])]

    def shown(path, *more):
        done = run("view", path, "--images", gray / "a.png", "--out", gray / "v", *more)
        assert done.exit_code == 0, done.output
        return picture(gray / "v/overlays/a.png")

    plain, named = write(gray / "p.json", found), write(gray / "q.json", found, states=["intact", "bent"])
    assert not np.array_equal(shown(plain), shown(named))
    assert np.array_equal(shown(named), shown(plain, "--states", "intact,bent"))
    assert np.array_equal(shown(named, "--states", "x,y"), shown(plain, "--states", "x,y"))


def test_hidden_keypoints_semantic_classes_and_the_class_of_the_image_are_shown(gray):
    points = [{"x": 0.45, "y": 0.5, "v": 2}, {"x": 0.55, "y": 0.5, "v": 1}, {"x": 0.5, "y": 0.45, "v": 0}]
    sky = np.zeros((400, 600), bool)
    sky[:100] = True
    whole = {
        "semantic_mask": {"2": {"size": [400, 600], "counts": masks.encode(sky).counts}},
        "classification": {"class_id": 1, "score": 0.8},
    }

    def shown(*detections, **fields):
        path = write(gray / "p.json", [entry(detections, **fields)])
        done = run("view", path, "--images", gray / "a.png", "--out", gray / "v")
        assert done.exit_code == 0, done.output
        return picture(gray / "v/overlays/a.png")

    plain, pointed = shown(BOX), shown({**BOX, "keypoints": points})
    top = int(np.argmax((plain == 90).all(axis=2).sum(axis=1) > 300))
    assert pointed[top + 200, 270].tolist() == [230, 159, 0]
    assert pointed[top + 200, 330].tolist() == [0, 0, 0]
    assert pointed[top + 180, 300].tolist() == [90, 90, 90]
    assert shown(semantic_mask=whole["semantic_mask"]).shape[0] > shown().shape[0] == plain.shape[0]
    assert not np.array_equal(shown(BOX, classification=whole["classification"])[:top], plain[:top])


@pytest.mark.slow
def test_an_image_that_cannot_be_read_is_skipped_on_request(scenes, tmp_path):
    write_coco(SyntheticDataset(3, 0, (64, 48)), tmp_path / "s")
    entries = [{"image": p.name, "detections": []} for p in sorted((tmp_path / "s/images/val").iterdir())]
    (tmp_path / "s/images/val" / entries[1]["image"]).write_text("no picture")
    arguments = [
        "view",
        write(tmp_path / "p.json", entries),
        "--dataset",
        tmp_path / "s",
        "--out",
        tmp_path / "v",
    ]
    stopped = run(*arguments)
    assert stopped.exit_code == 1
    assert "--on-error skip" in stopped.stderr
    skipped = run(*arguments, "--on-error", "skip", "--json")
    assert skipped.exit_code == 0, skipped.output
    assert f"skipped {entries[1]['image']}" in skipped.stderr
    assert [r["image"] for r in json.loads(skipped.stdout)["images"]] == [
        entries[0]["image"],
        entries[2]["image"],
    ]


@pytest.mark.slow
def test_the_example_of_the_help_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in run("view", "--help").output.splitlines()]
    for line in [line for line in lines if line.startswith("anydet ")]:
        done = run(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "view" / "sheet-001.png").exists()
