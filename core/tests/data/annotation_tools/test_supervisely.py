from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.geometry import masks

META = {
    "classes": [
        {"title": "dog", "shape": "any"},
        {"title": "cat", "shape": "rectangle"},
        {"title": "pose", "shape": "graph",
         "geometry_config": {"nodes": {"n1": {"label": "nose"}, "n0": {"label": "tail"}}}},
    ]
}  # fmt: skip


def shape(kind: str, title: str = "dog", **values) -> dict:
    return {"classTitle": title, "geometryType": kind, **values}


def points(*exterior: list[float], interior: list | None = None) -> dict:
    return {"points": {"exterior": list(exterior), "interior": interior or []}}


RECTANGLE = shape("rectangle", "cat", **points([13, 9], [3, 4]))


def annotation(*objects: dict) -> dict:
    return {"size": {"height": 20, "width": 40}, "objects": list(objects), "tags": []}


def bitmap(mask: np.ndarray, mode: str) -> str:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if mode == "RGBA":
        image = Image.merge("RGBA", [Image.new("L", image.size, 9)] * 3 + [image])
    file = io.BytesIO()
    image.convert(mode).save(file, "PNG")
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def test_rectangles_are_edges_and_datasets_splits(put, paint, tmp_path):
    paint("val/img/a.jpg")
    put("meta.json", META)
    put("val/ann/a.jpg.json", annotation(RECTANGLE))
    put("train/ann/b.jpg.json", annotation())
    dataset = open_dataset(tmp_path)
    truth = dataset.ground_truth()
    assert (dataset.keys, dataset.note) == (("a.jpg",), "split val (of train, val)")
    assert truth.labels.boxes_xywh_px.tolist() == [[3, 4, 10, 5]]
    assert truth.classes.names == ("dog", "cat", "pose")
    assert truth.labels.class_ids.tolist() == [1]
    assert truth.sizes_wh.tolist() == [[40, 20]]
    assert dataset[0].image().shape == (20, 40, 3)
    assert open_dataset(tmp_path / "meta.json", "train").keys == ("b.jpg",)


@pytest.mark.parametrize("mode", ["L", "RGBA", "1", "P"])
def test_polygons_bitmaps_and_graphs(put, tmp_path, mode):
    part = np.array([[1, 0, 1], [1, 1, 1]], bool)
    square = points([2, 2], [12, 2], [12, 12], [2, 12], interior=[[[4, 4], [8, 4], [8, 8], [4, 8]]])
    graph = {"n0": {"loc": [9, 8]}, "n1": {"loc": [3, 4], "disabled": True}}
    put("meta.json", META)
    put("ds/ann/a.jpg.json", annotation(
        shape("polygon", **points([1, 2], [7, 2], [7, 8])),
        shape("polygon", **square),
        shape("bitmap", bitmap={"data": bitmap(part, mode), "origin": [5, 6]}),
        shape("graph", "pose", nodes=graph),
    ))  # fmt: skip
    labels = open_dataset(tmp_path).ground_truth().labels
    polygon, holed, drawn, _ = labels.segmentations
    assert polygon == ((1, 2, 7, 2, 7, 8),)
    assert masks.area(holed) == labels.areas[1] == 100 - 16
    shown = np.zeros((20, 40), bool)
    shown[6:8, 5:8] = part
    np.testing.assert_array_equal(masks.decode(drawn), shown)
    assert labels.boxes_xywh_px.tolist() == [[1, 2, 6, 6], [2, 2, 10, 10], [5, 6, 3, 2], [3, 4, 6, 4]]
    assert labels.keypoints[3].tolist() == [[3, 4, 1], [9, 8, 2]]


def test_a_bitmap_over_the_edge_is_cut(put, tmp_path):
    put("meta.json", META)
    data = bitmap(np.ones((4, 4), bool), "L")
    put("ds/ann/a.jpg.json", annotation(
        shape("bitmap", bitmap={"data": data, "origin": [-2, 18]}),
        shape("bitmap", bitmap={"data": data, "origin": [38, -3]}),
    ))  # fmt: skip
    boxes = open_dataset(tmp_path).ground_truth().labels.boxes_xywh_px
    assert boxes.tolist() == [[0, 18, 2, 2], [38, 0, 2, 1]]


def test_what_is_no_object_is_left_out_and_counted(put, tmp_path):
    put("meta.json", META)
    bomb = base64.b64encode(zlib.compress(bytes(100_000))).decode()
    put("ds/ann/a.jpg.json", annotation(
        RECTANGLE, shape("line", **points([1, 2], [3, 4])), shape("rectangle", **points([1, 2])),
        shape("bitmap", bitmap={"data": bomb, "origin": [0, 0]}), shape("rectangle", ""), {},
        shape("bitmap", bitmap={"data": bitmap(np.ones((2, 2), bool), "L"), "origin": [400, 0]}),
    ))  # fmt: skip
    with pytest.warns(AnydetWarning) as caught:
        assert len(open_dataset(tmp_path).ground_truth()) == 1
    said = sorted({str(one.message).partition(": ")[2].partition(" (the")[0] for one in caught})
    assert said == [
        "objects of type bitmap with malformed values, or beyond their image: 2",
        "objects of type line, which has no box and no mask: 1",
        "objects of type rectangle with malformed values, or beyond their image: 1",
        "objects without a classTitle: 2",
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "problem"), [("{", "not valid JSON"), ("[]", "no objects")])
def test_a_broken_file_is_named(put, tmp_path, content, problem):
    put("meta.json", META)
    file = put("ds/ann/a.jpg.json", content)
    with pytest.raises(DatasetError, match=problem) as caught:
        open_dataset(tmp_path)
    assert str(file) in str(caught.value)
    put("ds/ann/b.jpg.json", annotation(RECTANGLE))
    said = rf"images whose JSON file cannot be read: 1 \(the first: .*{problem}.*\); left out"
    with pytest.warns(AnydetWarning, match=said):
        dataset = open_dataset(tmp_path)
    assert dataset.keys == ("b.jpg",)
    assert [one.count for one in dataset.oddities] == [1]


def test_a_project_without_classes_is_refused(put, tmp_path):
    put("meta.json", {"classes": []})
    put("ds/ann/a.jpg.json", annotation())
    with pytest.raises(DatasetError, match="no classes"):
        open_dataset(tmp_path)
