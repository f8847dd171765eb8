from __future__ import annotations

import numpy as np
import pytest

from anydet.data.annotation_tools.label_studio import decode_brush
from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.geometry import masks

SIZE = {"original_width": 40, "original_height": 20}


def region(value: dict, kind: str = "rectanglelabels", **more) -> dict:
    return {"id": "r", "type": kind, "to_name": "image", **SIZE, "value": value, **more}


def rectangle(x=10.0, y=20.0, width=25.0, height=50.0, label="dog", rotation=0) -> dict:
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return region({**box, "rectanglelabels": [label]})


def task(*regions: dict, image: str = "/data/upload/4/0a1b2c3d-a.jpg", number: int = 1) -> dict:
    annotations = [{"id": 7, "was_cancelled": False, "result": list(regions)}]
    return {"id": number, "data": {"image": image}, "annotations": annotations, "total_annotations": 1}


def encode_brush(alpha: np.ndarray) -> list[int]:
    """Label Studio's code of an RGBA image with this last channel: blocks that repeat, else single values."""
    values = np.repeat(alpha.reshape(-1, 1), 4, axis=1).ravel().tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        end = place
        while end < len(values) and values[end] == values[place]:
            end += 1
        count = end - place
        which, width = next((i, w) for i, w in enumerate((3, 4, 8, 16)) if count <= 1 << w)
        # Blocks of one value are written as they are, to have both kinds.
        bits += ("0" if count == 4 else "1") + f"{which:02b}{count - 1:0{width}b}"
        bits += f"{values[place]:08b}" * (count if count == 4 else 1)
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_rectangles_are_percents_and_the_image_is_found_by_its_tail(put, paint, tmp_path):
    paint("images/0a1b2c3d-a.jpg")
    file = put("export.json", [task(rectangle(), rectangle(label="cat"))])
    for path in (tmp_path, file):
        dataset = open_dataset(path)
        truth = dataset.ground_truth()
        assert truth.labels.boxes_xywh_px.tolist() == [[4, 4, 10, 10]] * 2
        assert truth.classes.names == ("cat", "dog")
        assert truth.sizes_wh.tolist() == [[40, 20]]
        assert dataset.keys == ("0a1b2c3d-a.jpg",)
        assert dataset[0].image().shape == (20, 40, 3)


def test_original_files_are_found_without_the_hash_of_the_upload(put, paint, tmp_path):
    paint("photos/a.jpg")
    file = put("export.json", [task(rectangle())])
    assert open_dataset(file, images=tmp_path / "photos").keys == ("a.jpg",)


def test_json_min_is_read(put, tmp_path):
    regions = [{**r["value"], **SIZE} for r in (rectangle(), rectangle(x=0))]
    file = put(
        "min.json", [{"id": 1, "image": "/data/local-files/?d=x/a.jpg", "label": regions, "annotator": 1}]
    )
    truth = open_dataset(file).ground_truth()
    assert truth.labels.boxes_xywh_px.tolist() == [[4, 4, 10, 10], [0, 4, 10, 10]]


def test_polygons_turned_rectangles_ellipses_and_brushes(put):
    alpha = np.zeros((20, 40), np.uint8)
    alpha[3:7, 5:9] = 255
    alpha[10, 10] = 255  # a block of four values, which is written as it is
    file = put("export.json", [task(
        region({"points": [[0, 0], [50, 0], [50, 100]], "polygonlabels": ["dog"]}, "polygonlabels"),
        rectangle(x=50, y=50, rotation=90),
        region({"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "ellipselabels": ["dog"]}, "ellipselabels"),
        region({"format": "rle", "rle": encode_brush(alpha), "brushlabels": ["dog"]}, "brushlabels"),
    )])  # fmt: skip
    labels = open_dataset(file).ground_truth().labels
    np.testing.assert_allclose(
        labels.boxes_xywh_px, [[0, 0, 20, 20], [10, 10, 10, 10], [16, 9, 8, 2], [5, 3, 6, 8]]
    )
    polygon, turned, ellipse, brush = labels.segmentations
    assert polygon == ((0, 0, 20, 0, 20, 20),)
    np.testing.assert_allclose(turned, [[20, 10, 20, 20, 10, 20, 10, 10]])
    assert ellipse is None
    np.testing.assert_array_equal(masks.decode(brush), alpha > 0)


def test_a_shape_and_its_label_may_be_two_entries(put):
    box = region({"x": 10, "y": 20, "width": 25, "height": 50}, "rectangle")
    label = region({"x": 10, "y": 20, "width": 25, "height": 50, "labels": ["dog"]}, "labels")
    del label["value"]["x"], label["value"]["y"], label["value"]["width"], label["value"]["height"]
    truth = open_dataset(put("export.json", [task(box, label)])).ground_truth()
    assert truth.labels.boxes_xywh_px.tolist() == [[4, 4, 10, 10]]
    assert truth.classes.names == ("dog",)


def names_and_boxes(dataset):
    truth = dataset.ground_truth()
    names = [truth.classes.names[i] for i in truth.labels.class_ids]
    return list(zip(names, truth.labels.boxes_xywh_px.tolist(), strict=True))


BOTH = [("cat", [4, 4, 10, 10]), ("dog", [4, 4, 10, 10])]


def test_a_region_with_several_labels_is_an_object_for_each_and_counted(put):
    several = rectangle()
    several["value"]["rectanglelabels"] = ["cat", "dog", "cat"]
    in_full = put("export.json", [task(several), task(rectangle(), image="b.jpg", number=2)])
    regions = [{**several["value"], **SIZE}]
    minimal = put("min.json", [{"id": 1, "image": "a.jpg", "label": regions, "annotator": 1}])
    for file in (in_full, minimal):
        said = (
            r"regions with several labels: 1 \(the first: .*\(cat, dog\)\); read as an object for each label"
        )
        with pytest.warns(AnydetWarning, match=said):
            dataset = open_dataset(file)
        assert names_and_boxes(dataset)[:2] == BOTH
        # Projects may allow it: it is no fault.
        assert dataset.oddities == ()


def test_several_labels_may_be_entries_of_their_own(put):
    box = region({"x": 10, "y": 20, "width": 25, "height": 50}, "rectangle")
    labels = [region({"labels": [name]}, "labels") for name in ("cat", "dog")]
    file = put("export.json", [task(box, *labels)])
    with pytest.warns(AnydetWarning, match="regions with several labels: 1"):
        assert names_and_boxes(open_dataset(file)) == BOTH


def test_what_is_not_taken_is_counted(put):
    second = task(rectangle(), image="b.jpg", number=2)
    cancelled = {"was_cancelled": True, "result": []}
    second["annotations"] = [cancelled, *second["annotations"] * 2]
    skipped = {**task(image="c.jpg", number=3), "annotations": [cancelled]}
    text = {**task(number=4), "data": {"text": "hello"}}
    odd = [
        region({"x": 1, "y": 1, "width": 1, "keypointlabels": ["dog"]}, "keypointlabels"),
        {**rectangle(label=""), "id": "s"},
        rectangle(width=-3),
        region({"rle": [1, 2, 3], "brushlabels": ["dog"]}, "brushlabels"),
        {**rectangle(), "original_width": None},
        region({"choices": ["yes"]}, "choices"),
    ]
    file = put("export.json", [task(rectangle(), *odd, image="a.jpg"), second, skipped, text])
    with pytest.warns(AnydetWarning) as caught:
        dataset = open_dataset(file)
    assert dataset.keys == ("a.jpg", "b.jpg")
    said = sorted(str(one.message).removeprefix(f"{file}: ").partition(" (the first")[0] for one in caught)
    assert said == [
        "annotations of an image of which another one is taken: 1",
        "images without an annotation: 1",
        "images without an image file in their task: 1",
        "objects of type brush with malformed numbers: 1",
        "objects of type choices, which has no box and no mask: 1",
        "objects of type keypointlabels, which has no box and no mask: 1",
        "objects of type rectangle with malformed numbers: 1",
        "objects without a label: 1",
        "objects without original_width or original_height: 1",
    ]
    assert len(dataset.ground_truth()) == 2


@pytest.mark.parametrize(
    "code", [[], [255] * 4, [0, 0, 12, 128, *[0] * 4], [0, 0, 12, 128, *[255] * 40], ["x"]]
)
def test_a_broken_brush_is_no_mask(code):
    assert decode_brush(code, (40, 20)) is None


def test_a_split_that_is_wanted_is_refused(put):
    with pytest.raises(DatasetError, match="no splits"):
        open_dataset(put("export.json", [task(rectangle())]), "val")
