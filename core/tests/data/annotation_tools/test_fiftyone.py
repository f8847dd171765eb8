from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.geometry import masks


def detection(label: object = "dog", box=(0.25, 0.5, 0.25, 0.4), **more) -> dict:
    return {"_cls": "Detection", "label": label, "bounding_box": list(box), **more}


def sample(name: str = "a", *labels: dict, field: str = "ground_truth", tags=(), kind="Detections", **more):
    kept = {"Detections": "detections", "Polylines": "polylines", "Keypoints": "keypoints"}[kind]
    size = {"_cls": "ImageMetadata", "width": 40, "height": 20}
    return {"filepath": f"data/{name}.jpg", "tags": list(tags), "metadata": size,
            field: {"_cls": kind, kept: list(labels)}, **more}  # fmt: skip


@pytest.fixture
def export(put, tmp_path):
    def write(*samples: dict, classes: list[str] | None = None):
        put("metadata.json", {"name": "d", "default_classes": classes or []})
        put("samples.json", {"samples": list(samples)})
        return tmp_path

    return write


def array(mask: np.ndarray) -> dict:
    file = io.BytesIO()
    np.save(file, mask, allow_pickle=False)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(file.getvalue())).decode(), "subType": "00"}}


def test_boxes_are_parts_of_the_image(export, paint, tmp_path):
    paint("data/a.jpg")
    root = export(sample("a", detection(), detection("cat", iscrowd=1)), classes=["zebra", "dog"])
    for path in (root, root / "samples.json"):
        dataset = open_dataset(path)
        truth = dataset.ground_truth()
        assert truth.labels.boxes_xywh_px.tolist() == [[10, 10, 10, 8]] * 2
        assert truth.labels.iscrowd.tolist() == [False, True]
        assert truth.classes.names == ("zebra", "dog", "cat")
        assert dataset.keys == ("a.jpg",)
        assert dataset[0].image().shape == (20, 40, 3)


def test_tags_that_are_called_like_splits_are_splits(export):
    root = export(
        sample("a", tags=["train", "hard"]), sample("b", tags=["validation"]), sample("c", tags=["x"])
    )
    assert open_dataset(root).keys == ("b.jpg",)
    assert open_dataset(root, "train").keys == ("a.jpg",)


def test_masks_cover_their_box(export):
    part = np.array([[True, False], [True, True]])
    labels = open_dataset(export(sample("a", detection(mask=array(part))))).ground_truth().labels
    shown = np.zeros((20, 40), bool)
    shown[10:12, 10:12] = part
    np.testing.assert_array_equal(masks.decode(labels.segmentations[0]), shown)
    assert labels.areas.tolist() == [3]


def test_polylines_and_keypoints(export, tmp_path):
    ring = {"label": "dog", "points": [[[0.1, 0.1], [0.5, 0.1], [0.5, 0.9]]], "closed": True}
    labels = open_dataset(export(sample("a", ring, kind="Polylines"))).ground_truth().labels
    np.testing.assert_allclose(labels.segmentations[0], [[4, 2, 20, 2, 20, 18]])
    point = {"label": "dog", "points": [[0.5, 0.5], [float("nan"), float("nan")], [0.25, 0.1]]}
    labels = open_dataset(export(sample("a", point, kind="Keypoints"))).ground_truth().labels
    assert labels.keypoints.tolist() == [[[20, 10, 2], [0, 0, 0], [10, 2, 2]]]
    assert labels.boxes_xywh_px.tolist() == [[10, 2, 10, 8]]


def test_the_field_of_the_ground_truth_is_the_one_without_confidences(export):
    scored = {"_cls": "Detections", "detections": [detection("cat", confidence=0.5)]}
    labels = sample("a", detection(), field="objects", predictions=scored)
    assert open_dataset(export(labels)).classes.names == ("dog",)
    other = {"_cls": "Detections", "detections": [detection("cat")]}
    with pytest.raises(DatasetError, match="fields objects, others: none is called 'ground_truth'"):
        open_dataset(export({**sample("a", detection(), field="objects"), "others": other}))
    assert len(open_dataset(export({**sample("a", detection()), "others": other})).ground_truth()) == 1


def test_image_detections_are_read_with_the_sizes_of_their_files(put, paint, tmp_path):
    paint("data/a.jpg")
    put("labels.json", {"classes": ["cat", "dog"], "labels": {"a": [detection()]}})
    dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.jpg",)
    assert dataset.classes.names == ("cat", "dog")
    assert dataset.ground_truth().labels.boxes_xywh_px.tolist() == [[10, 10, 10, 8]]


def test_labels_of_image_detections_may_be_indices_into_the_classes(put, paint, tmp_path):
    for name in "ab":
        paint(f"data/{name}.jpg")
    labels = {"a": [detection(1), detection(2.0)], "b": [detection(0), detection("cat"), detection("bird")]}
    put("labels.json", {"classes": ["cat", "dog", "cow"], "labels": labels})
    truth = open_dataset(tmp_path).ground_truth()
    assert truth.classes.names == ("cat", "dog", "cow", "bird")
    assert [truth.classes.names[i] for i in truth.labels.class_ids] == ["dog", "cow", "cat", "cat", "bird"]
    # An entry that is no name keeps its place, so that those behind it keep theirs.
    put("labels.json", {"classes": [None, "dog"], "labels": {"a": [detection(1)]}})
    assert open_dataset(tmp_path).ground_truth().classes.names == ("dog",)


def test_indices_beyond_the_classes_are_counted(put, paint, tmp_path):
    paint("data/a.jpg")
    odd = [detection(label) for label in (2, -1, 0.5, True, None)]
    put("labels.json", {"classes": ["cat", "dog"], "labels": {"a": [detection(1), *odd]}})
    with pytest.warns(AnydetWarning) as caught:
        dataset = open_dataset(tmp_path)
    assert len(dataset.ground_truth()) == 1
    said = [str(one.message).partition(": ")[2].partition(" (the first")[0] for one in caught]
    assert said == [
        "objects whose label is a number that is no index of classes: 3",
        "objects without a label: 2",
    ]


def test_what_is_no_object_is_left_out_and_counted(export, put):
    bomb = base64.b64encode(zlib.compress(bytes(10_000_000))).decode()
    root = export(sample(
        "a", detection(), detection(""), detection(box=(0, 0, -1, 1)), detection(box=(0, 0, "x", 1)),
        detection(mask=bomb),
    ))  # fmt: skip
    with pytest.warns(AnydetWarning) as caught:
        labels = open_dataset(root).ground_truth().labels
    assert labels.segmentations is None
    assert len(labels) == 2
    said = sorted(str(one.message).partition(": ")[2].partition(" (the first")[0] for one in caught)
    assert said == ["objects with a malformed bounding_box or points: 2", "objects without a label: 1"]


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        ([], "no field of detections"),
        ([{}], "no filepath"),
        ([sample("a"), sample("a")], "a.jpg occurs twice"),
    ],
)
def test_what_cannot_be_opened_is_refused(export, samples, problem):
    with pytest.raises(DatasetError, match=problem):
        open_dataset(export(*samples))
