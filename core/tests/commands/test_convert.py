"""``anydet convert``: predictions and data sets from one shape to another, and the losses it lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.contract.encode import encode_entry
from anydet.contract.reading.load import load
from anydet.contract.write import write_predictions
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import write_yolo
from anydet.geometry import masks
from anydet.types import ImagePredictions


def test_the_command_lists_losses_on_stderr_and_prints_json(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    image = ImagePredictions(
        "a.jpg",
        (40, 20),
        np.array([[0.0, 0.0, 40.0, 20.0]]),
        np.array([0.5]),
        np.array([0]),
        masks=(masks.encode(np.ones((20, 40), np.bool_)),),
    )
    write_predictions([encode_entry(image)], path)
    result = CliRunner().invoke(main, ["convert", str(path), str(tmp_path / "p.csv"), "--json"])
    assert result.exit_code == 0, result.output
    assert "CSV cannot hold masks: 1 lost" in result.stderr
    assert json.loads(result.stdout)["lost"]["masks"] == 1
    result = CliRunner().invoke(main, ["convert", str(tmp_path / "none.json"), str(tmp_path / "p.csv")])
    assert result.exit_code == 1
    assert "no such file" in result.stderr


def test_a_file_of_yolozu_is_read(tmp_path: Path) -> None:
    box = {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.1}
    image = {
        "schema_version": 2,
        "image": "a.jpg",
        "orig_w": 640,
        "orig_h": 480,
        "detections": [{"class_id": 80, "score": 0.5, "bbox": box}],
    }
    path, out = tmp_path / "y.json", tmp_path / "out.jsonl"
    path.write_text(json.dumps([image]))
    arguments = ["convert", str(path), str(out), "--from", "yolozu", "--class-map", "one-based"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert load(out).class_ids.tolist() == [79]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_coco_to_yolo_and_back_keeps_images_and_boxes_and_the_command_lists_losses(tmp_path: Path) -> None:
    write_coco(SyntheticDataset(6, seed=3, image_wh=(64, 48)), tmp_path / "coco")
    there = run("convert", tmp_path / "coco", tmp_path / "yolo", "--to", "yolo", "--json")
    assert there.exit_code == 0, there.output
    start = open_dataset(tmp_path / "coco").ground_truth().labels
    kept = start.take(~start.iscrowd)
    assert json.loads(there.stdout)["lost"]["masks"] == len(kept)
    assert "YOLO-pose cannot hold masks" in there.stderr
    back = run("convert", tmp_path / "yolo", tmp_path / "back", "--to", "coco")
    assert back.exit_code == 0, back.output
    end = open_dataset(tmp_path / "back").ground_truth().labels
    np.testing.assert_array_equal(end.class_ids, kept.class_ids)
    np.testing.assert_allclose(end.boxes_xywh_px, kept.boxes_xywh_px, atol=1e-6)
    for image in (tmp_path / "coco" / "images" / "val").iterdir():
        assert (tmp_path / "back" / "images" / "val" / image.name).read_bytes() == image.read_bytes()


@pytest.fixture
def layouts(tmp_path: Path) -> Path:
    """One image with one box, as files of several formats."""
    photo = tmp_path / "images" / "a.png"
    photo.parent.mkdir()
    Image.new("RGB", (40, 20)).save(photo)
    (tmp_path / "labels").mkdir()
    texts = {
        "labels/a.txt": "0 0.25 0.5 0.25 0.5\n",
        "data.yaml": "names: [dog]\nval: images\n",
        "voc.xml": "<annotation><filename>a.png</filename><object><name>dog</name><bndbox><xmin>5</xmin>"
        "<ymin>5</ymin><xmax>15</xmax><ymax>15</ymax></bndbox></object></annotation>",
        "cvat.xml": '<annotations><image name="a.png" width="40" height="20">'
        '<box label="dog" xtl="5" ytl="5" xbr="15" ybr="15"/></image></annotations>',
    }
    size = {"original_width": 40, "original_height": 20, "type": "rectanglelabels", "id": "r"}
    value = {"x": 12.5, "y": 25, "width": 25, "height": 50, "rectanglelabels": ["dog"]}
    tasks = [
        {"data": {"image": "/data/upload/1/a.png"}, "annotations": [{"result": [{**size, "value": value}]}]}
    ]
    document = {
        "images": [{"id": 7, "file_name": "C:\\x\\a.png", "width": 40, "height": 20}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 0, "bbox": [5, 5, 10, 10]}],
        "categories": [{"id": 0, "name": "dog"}],
    }
    texts |= {"tasks.json": json.dumps(tasks), "coco.json": json.dumps(document)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["data.yaml", "voc.xml", "cvat.xml", "tasks.json", "coco.json"])
@pytest.mark.parametrize("layout", ["coco", "yolo", "voc"])
def test_every_file_that_is_a_data_set_is_converted(layouts: Path, name: str, layout: str) -> None:
    images = () if name == "data.yaml" else ("--images", layouts / "images")
    done = run("convert", layouts / name, layouts / "out", "--to", layout, *images)
    assert done.exit_code == 0, done.output
    found = open_dataset(layouts / "out")
    assert found.keys == ("a.png",)
    assert found.classes is not None
    assert found.classes.names == ("dog",)
    assert found.ground_truth().labels.boxes_xywh_px.tolist() == [[5, 5, 10, 10]]
    assert found[0].image().shape == (20, 40, 3)


def test_a_data_set_needs_a_layout_and_predictions_no_images(layouts: Path) -> None:
    done = run("convert", layouts / "data.yaml", layouts / "out")
    assert done.exit_code == 2
    assert "IN is a data set: add --to yolo, yolo-detect, yolo-seg, yolo-pose, coco or voc" in done.output
    (layouts / "p.json").write_text("[]")
    done = run("convert", layouts / "p.json", layouts / "p.csv", "--images", layouts / "images")
    assert done.exit_code == 2
    assert "--images is for data sets" in done.output


REAL = "val2014_100/instances_val2014"


CASES = {
    "boxes": (f"{REAL}_100.json", f"{REAL}_fakebbox100_results.json", "bbox"),
    "masks": (f"{REAL}_100.json", f"{REAL}_fakesegm100_results.json", "segm"),
    "keypoints": ("keypoints/gt_dataset.json", "keypoints/dt_dataset.json", "keypoints"),
}


def printed(*arguments: Any) -> Any:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["keypoints", *(pytest.param(case, marks=pytest.mark.slow) for case in ("boxes", "masks"))]
)
def test_results_come_back_from_every_shape_as_they_were_and_score_the_same(
    case: str, shared_data: Path, tmp_path: Path
) -> None:
    *names, task = CASES[case]
    truth, results = (shared_data / "coco_results" / name for name in names)

    def numbers(path: Path) -> Any:
        arguments = ("--dataset", truth, "--predictions", path, "--iou-type", task, "--json", "-")
        return printed("eval-coco", *arguments)["metrics"]

    place = {image["id"]: i for i, image in enumerate(json.loads(truth.read_text())["images"])}
    before = sorted(json.loads(results.read_text()), key=lambda result: place[result["image_id"]])
    wanted = numbers(results)
    for name in ("p.json", "p.jsonl", "p.parquet"):
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
        there = printed("convert", results, tmp_path / name, "--wrap", "--dataset", truth, "--json")
        assert there["lost"] == {}
        back = printed(
            "convert", tmp_path / name, tmp_path / "r.json", "--to", "coco", "--dataset", truth, "--json"
        )
        assert back["lost"] == {}
        after = json.loads((tmp_path / "r.json").read_text())
        for key in ("image_id", "category_id", "score", "segmentation"):
            assert [r.get(key) for r in after] == [r.get(key) for r in before]
        assert [("bbox" in r) for r in after] == [("bbox" in r) for r in before]
        for key in ("bbox", "keypoints"):
            told = [r[key] for r in before if key in r]
            found = [r[key] for r, theirs in zip(after, before, strict=True) if key in theirs]
            np.testing.assert_allclose(found, told, rtol=1e-12, atol=1e-9)
        assert numbers(tmp_path / name) == pytest.approx(wanted, abs=1e-9)
        assert numbers(tmp_path / "r.json") == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("source", ["data.yaml", "ann.json"])
@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_a_data_set_may_be_any_that_is_read(source: str, layout: str, tmp_path: Path) -> None:
    scenes = SyntheticDataset(3, seed=2, image_wh=(48, 32))
    if source == "data.yaml":
        write_yolo(scenes, tmp_path / "in")
        named, more = tmp_path / "in/data.yaml", []
    else:
        write_coco(scenes, tmp_path / "in")
        named = (tmp_path / "in/annotations/instances_val.json").rename(tmp_path / source)
        more = ["--images", str(tmp_path / "in/images/val")]
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["convert", str(named), str(out), "--to", layout, *more])
    assert result.exit_code == 0, result.output
    wanted, found = scenes.ground_truth(), open_dataset(out).ground_truth()
    assert found.images == wanted.images
    kept = ~wanted.labels.iscrowd if source == "data.yaml" or layout == "yolo" else slice(None)
    np.testing.assert_allclose(found.labels.boxes_xywh_px, wanted.labels.boxes_xywh_px[kept], atol=1e-6)


def test_images_are_of_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[]")
    arguments = ["convert", str(tmp_path / "p.json"), str(tmp_path / "p.csv"), "--images", str(tmp_path)]
    assert "--images is for data sets, and IN holds predictions" in CliRunner().invoke(main, arguments).output
