"""A predictions file is opened once, whatever its shape and whatever is done with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anydet.contract.checking.repair import repair
from anydet.contract.checking.validate import validate
from anydet.contract.columns import read_images
from anydet.contract.conversion.convert import convert
from anydet.contract.reading.load import load
from anydet.contract.write import write_predictions
from anydet.data.opening import open_dataset
from anydet.evaluation.reading import read_inputs

ENTRY = b"""{"image": "a.jpg", "image_size": {"width": 40, "height": 20}, "detections":
[{"class_id": 0, "score": 0.5, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.5, "h": 0.5}}]}""".replace(b"\n", b"")
RESULT = {"image_id": 7, "category_id": 3, "bbox": [10.0, 5.0, 20.0, 10.0], "score": 0.5}
CONTRACT = ["list.json", "wrapped.json", "map.json", "lines.jsonl", "rows.parquet"]


@pytest.fixture
def dataset(tmp_path):
    truth = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 20}],
        "categories": [{"id": 3, "name": "disc"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 10], "area": 200}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return open_dataset(tmp_path / "truth.json")


@pytest.fixture
def predictions(tmp_path, monkeypatch):
    """Writes a file of a name; the second value counts how often it was opened after that."""
    path_open, opened = Path.open, []

    def counting(path, *args, **options):
        opened.append(path)
        return path_open(path, *args, **options)

    def write(name):
        if name.endswith(".parquet"):
            parquet = pytest.importorskip("pyarrow.parquet")
            by_path = parquet.ParquetFile
            monkeypatch.setattr(parquet, "ParquetFile", lambda file, **how: by_path(handle(file), **how))
        path = tmp_path / name
        if name == "coco.json":
            path.write_text(json.dumps([RESULT]))
        elif name == "map.json":
            path.write_text(json.dumps({"a.jpg": json.loads(ENTRY)["detections"]}))
        else:
            write_predictions([ENTRY], path, meta={"adapter": "toy"}, wrap=name == "wrapped.json")
        monkeypatch.setattr(Path, "open", counting)
        return path, lambda: opened.count(path)

    return write


def handle(file):
    """What pyarrow may read from without opening anything by itself."""
    assert not isinstance(file, str | Path)
    return file


@pytest.mark.parametrize("name", [*CONTRACT, "coco.json"])
def test_evaluation_opens_it_once(name, predictions, dataset):
    path, opened = predictions(name)
    assert read_inputs(dataset, path).detections.boxes_xywh_px.tolist() == [[10, 5, 20, 10]]
    assert opened() == 1


@pytest.mark.parametrize("name", [*CONTRACT, "coco.json"])
def test_validation_opens_it_once(name, predictions, dataset):
    path, opened = predictions(name)
    assert validate(path, dataset).ok
    assert opened() == 1


@pytest.mark.parametrize("name", [*CONTRACT, "coco.json"])
@pytest.mark.parametrize("output", ["out.jsonl", "out.csv"])
def test_conversion_opens_it_once(name, output, predictions, dataset, tmp_path):
    path, opened = predictions(name)
    truth = dataset.ground_truth()
    assert convert(path, tmp_path / output, truth=truth).detections == 1
    assert opened() == 1


@pytest.mark.parametrize("name", CONTRACT)
def test_loading_repairing_and_going_through_its_images_open_it_once_each(name, predictions, tmp_path):
    path, opened = predictions(name)
    assert len(load(path)) == 1
    assert opened() == 1
    assert repair(path, tmp_path / "mended.json") == []
    assert opened() == 2
    assert [len(image) for image in read_images(path, sizes_wh={"a.jpg": (40, 20)})] == [1]
    assert opened() == 3


def test_a_file_that_is_refused_was_opened_once_too(predictions):
    path, opened = predictions("lines.jsonl")
    path.write_bytes(ENTRY.replace(b'"score": 0.5', b'"score": 1.5') + b"\n")
    writing = opened()
    assert len(validate(path).errors) == 1
    assert opened() == writing + 1
