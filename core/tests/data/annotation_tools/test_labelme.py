from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.geometry import masks

SIZE = {"imageHeight": 20, "imageWidth": 40}


def shape(kind: str, *points: tuple[float, float], label: str = "dog", **more) -> dict:
    return {"label": label, "points": [list(p) for p in points], "group_id": None, "shape_type": kind, **more}


def document(*shapes: dict, image: str = "a.jpg", **more) -> dict:
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
        **SIZE,
        **more,
    }


def png(pixels: np.ndarray) -> str:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format="PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_a_rectangle_is_any_two_opposite_corners_or_four(put, paint, tmp_path):
    paint("a.jpg")
    corners = [(14, 4), (14, 14), (4, 14), (4, 4)]
    put(
        "a.json",
        document(
            *(shape("rectangle", a, b) for a, b in zip(corners, corners[2:], strict=False)),
            shape("rectangle", *corners),
        ),
    )
    dataset = open_dataset(tmp_path)
    assert dataset.ground_truth().labels.boxes_xywh_px.tolist() == [[4, 4, 10, 10]] * 3
    assert dataset[0].labels.segmentations is None
    assert dataset[0].image().shape == (20, 40, 3)


def test_polygons_circles_and_masks_are_masks(put, paint, tmp_path):
    paint("a.jpg")
    cut = np.zeros((3, 4), np.bool_)
    cut[1, 1:] = True
    put(
        "a.json",
        document(
            shape("polygon", (1, 1), (9, 1), (9, 5)),
            shape("circle", (20, 10), (20, 16)),
            # Both corners are inside: 4 x 3 pixels.
            shape("mask", (5, 6), (8, 8), mask=png(cut)),
        ),
    )
    labels = open_dataset(tmp_path)[0].labels
    assert labels.boxes_xywh_px.tolist() == [[1, 1, 8, 4], [14, 4, 12, 12], [6, 7, 3, 1]]
    assert labels.areas[0] == 16
    # int(pi / acos(1 - 1 / 6)) is 5, fewer than twelve corners: the area of a regular 12-gon.
    assert labels.areas[1] == pytest.approx(12 * 36 * 0.5 * np.sin(np.pi / 6))
    assert np.argwhere(masks.decode(labels.segmentations[2])).tolist() == [[7, 6], [7, 7], [7, 8]]


def test_shapes_of_one_label_and_group_are_one_object(put, paint, tmp_path):
    paint("a.jpg")
    low, high = ((1, 1), (4, 1), (4, 4)), ((21, 11), (24, 11), (24, 14))
    put(
        "a.json",
        document(
            shape("polygon", *low, group_id=1),
            shape("polygon", *high, group_id=1),
            shape("polygon", *high, group_id=1, label="cat"),
            shape("polygon", *high),
            shape("rectangle", (0, 0), (2, 2), group_id=2),
            shape("mask", (5, 6), (5, 6), group_id=2, mask=png(np.ones((1, 1), np.bool_))),
        ),
    )
    dataset = open_dataset(tmp_path)
    labels = dataset[0].labels
    assert [dataset.classes.names[i] for i in labels.class_ids] == ["dog", "cat", "dog", "dog"]
    assert labels.boxes_xywh_px.tolist() == [[1, 1, 23, 13], [21, 11, 3, 3], [21, 11, 3, 3], [0, 0, 6, 7]]
    assert len(labels.segmentations[0]) == 2
    assert labels.areas.tolist() == [9, 4.5, 4.5, 5]


def test_what_has_no_area_and_what_is_malformed_is_counted(put, paint, tmp_path):
    paint("a.jpg")
    good = shape("polygon", (1, 1), (9, 1), (9, 5))
    put(
        "a.json",
        document(
            good,
            shape("linestrip", (1, 1), (2, 2), (3, 3)),
            shape("circle", (1, 1)),
            shape("mask", (5, 6), (8, 8), mask="no PNG"),
            shape("polygon", (1, 1), (9, 1), (9, 5), label="__ignore__"),
            flags={"night": True},
        ),
    )
    with pytest.warns(AnydetWarning) as seen:
        dataset = open_dataset(tmp_path)
    said = "\n".join(str(one.message) for one in seen)
    for words in (
        "of kind linestrip, which has no area: 1",
        "of kind circle with",
        "of kind mask with",
        "labeled __ignore__: 1",
        "flags of images: 1",
    ):
        assert words in said
    assert len(dataset.ground_truth()) == 1
    assert len(dataset.oddities) == 2


@pytest.mark.parametrize(
    "image", ["..\\photos\\a.jpg", "C:\\data\\photos\\a.jpg", "/data/me/photos/a.jpg", "../photos/a.jpg"]
)
def test_the_image_is_where_the_file_says_on_any_machine_or_is_called_like_it(put, paint, tmp_path, image):
    paint("photos/a.jpg")
    put("annotations/a.json", document(shape("polygon", (1, 1), (9, 1), (9, 5)), image=image))
    dataset = open_dataset(tmp_path)
    assert dataset.keys == ("photos/a.jpg",)
    assert dataset[0].image().shape == (20, 40, 3)


def test_splits_are_folders_and_classes_have_the_order_of_labels_txt(put, paint, tmp_path):
    for split, label in (("train", "dog"), ("val", "ant")):
        paint(f"{split}/a.jpg")
        put(f"{split}/a.json", document(shape("polygon", (1, 1), (9, 1), (9, 5), label=label)))
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\nant\n")
    for split, class_id in (("train", 0), ("val", 1)):
        dataset = open_dataset(tmp_path, split)
        assert dataset.classes.names == ("dog", "ant")
        assert dataset.ground_truth().labels.class_ids.tolist() == [class_id]
        assert dataset[0].image().shape == (20, 40, 3)


def test_version_3_states_no_size_and_may_begin_with_the_image(put, paint, tmp_path):
    paint("a.jpg")
    content = {"imageData": "A" * 100_000, "lineColor": [0, 255, 0, 128], "imagePath": "a.jpg"}
    put(
        "a.json",
        {**content, "shapes": [{"label": "dog", "points": [[1, 1], [9, 1], [9, 5]], "fill_color": None}]},
    )
    dataset = open_dataset(tmp_path)
    assert dataset.ground_truth().sizes_wh.tolist() == [[-1, -1]]
    assert dataset[0].size_wh == (40, 20)
    assert dataset[0].labels.areas.tolist() == [16]


def test_an_image_inside_of_its_json_alone_is_said(put, tmp_path):
    put("a.json", document(shape("polygon", (1, 1), (9, 1), (9, 5)), imageData="AAAA"))
    with pytest.warns(AnydetWarning, match="nowhere but inside of their JSON file: 1"):
        assert len(open_dataset(tmp_path).ground_truth()) == 1


def test_a_file_that_cannot_be_read_is_left_out_and_all_of_them_are_refused(put, paint, tmp_path):
    paint("a.jpg")
    (tmp_path / "b.json").write_text('{"version": "5", "shapes": [')
    with pytest.raises(DatasetError, match=r"b\.json: not valid JSON"):
        open_dataset(tmp_path)
    put("a.json", document(shape("polygon", (1, 1), (9, 1), (9, 5))))
    with pytest.warns(AnydetWarning, match="whose file of labels cannot be read: 1"):
        assert open_dataset(tmp_path).keys == ("a.jpg",)
