from __future__ import annotations

import re

import numpy as np
import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.geometry import masks

LABELS = (
    "<label><name>dog</name></label><label><name>person</name><type>skeleton</type></label>"
    "<label><name>nose</name><parent>person</parent></label>"
    "<label><name>tail</name><parent>person</parent></label>"
)


def export(shapes: str = "", *, images: str | None = None, name: str = "a.jpg") -> str:
    one = f'<image id="0" name="{name}" width="40" height="20">{shapes}</image>' if images is None else images
    meta = f"<meta><task><labels>{LABELS}</labels><original_size><width>40</width><height>20</height>"
    return f"<annotations><version>1.1</version>{meta}</original_size></task></meta>{one}</annotations>"


BOX = '<box label="dog" xtl="3.5" ytl="4" xbr="13.5" ybr="9" occluded="0"/>'


@pytest.fixture
def truth_of(put, tmp_path):
    def read(shapes: str):
        return open_dataset(put("annotations.xml", export(shapes))).ground_truth()

    return read


def test_boxes_are_edges_and_classes_those_of_the_task(put, paint, tmp_path):
    paint("images/a.jpg")
    file = put("annotations.xml", export(BOX + '<box label="zebra" xtl="0" ytl="0" xbr="1" ybr="1"/>'))
    for path in (tmp_path, file):
        dataset = open_dataset(path)
        truth = dataset.ground_truth()
        assert truth.labels.boxes_xywh_px.tolist() == [[3.5, 4, 10, 5], [0, 0, 1, 1]]
        assert truth.classes.names == ("dog", "person", "zebra")
        assert truth.sizes_wh.tolist() == [[40, 20]]
        assert dataset[0].image().shape == (20, 40, 3)


def test_polygons_masks_and_turned_boxes_are_segmentations(truth_of):
    truth = truth_of(
        '<polygon label="dog" points="1,2;7,2;7,8"/>'
        '<mask label="dog" rle="1, 2, 1, 2" left="4" top="5" width="3" height="2"/>'
        '<box label="dog" xtl="10" ytl="8" xbr="20" ybr="12" rotation="90"/>'
        '<ellipse label="dog" cx="10" cy="10" rx="6" ry="2" rotation="90"/>'
    )
    polygon, mask, turned, nothing = truth.labels.segmentations
    assert polygon == ((1, 2, 7, 2, 7, 8),)
    shown = np.zeros((20, 40), bool)
    shown[5, 5:7] = shown[6, 5:7] = True
    np.testing.assert_array_equal(masks.decode(mask), shown)
    np.testing.assert_allclose(turned, [[17, 5, 17, 15, 13, 15, 13, 5]])
    assert nothing is None
    np.testing.assert_allclose(
        truth.labels.boxes_xywh_px, [[1, 2, 6, 6], [5, 5, 2, 2], [13, 5, 4, 10], [8, 4, 4, 12]]
    )
    np.testing.assert_allclose(truth.labels.areas, [18, 4, 40, 48])


def test_points_of_skeletons_are_keypoints_in_the_order_of_the_labels(truth_of):
    truth = truth_of(
        '<skeleton label="person"><points label="tail" points="9,8" occluded="1" outside="0"/>'
        '<points label="nose" points="3,4" occluded="0" outside="0"/></skeleton>'
        '<skeleton label="person"><points label="tail" points="1,2" outside="0"/>'
        '<points label="nose" points="30,4" outside="1"/></skeleton>' + BOX
    )
    points = truth.labels.keypoints
    assert points[:2].tolist() == [[[3, 4, 2], [9, 8, 1]], [[0, 0, 0], [1, 2, 2]]]
    assert np.isnan(points[2]).all()
    assert truth.labels.boxes_xywh_px.tolist() == [[3, 4, 6, 4], [1, 2, 0, 0], [3.5, 4, 10, 5]]


def test_subsets_are_splits(put, paint, tmp_path):
    paint("images/train/a.jpg")
    images = "".join(
        f'<image id="{i}" name="{name}.jpg" subset="{subset}" width="40" height="20"/>'
        for i, (name, subset) in enumerate([("a", "train"), ("b", "val"), ("c", "train")])
    )
    put("annotations.xml", export(images=images))
    assert open_dataset(tmp_path).keys == ("b.jpg",)
    train = open_dataset(tmp_path, "train")
    assert (train.keys, train.note) == (("a.jpg", "c.jpg"), "split train (of train, val)")
    assert train[0].image().shape == (20, 40, 3)


def test_tracks_of_a_video_are_frames(put, paint, tmp_path):
    paint("images/frame_000002.jpg")
    shapes = "".join(
        f'<box frame="{frame}" outside="{outside}" xtl="{frame}" ytl="0" xbr="10" ybr="5"/>'
        for frame, outside in ((2, 0), (3, 0), (4, 1))
    )
    put("annotations.xml", export(images=f'<track id="0" label="dog">{shapes}</track>'))
    dataset = open_dataset(tmp_path)
    assert dataset.keys == ("frame_000002.jpg", "frame_000003.png")
    assert dataset.ground_truth().labels.boxes_xywh_px.tolist() == [[2, 0, 8, 5], [3, 0, 7, 5]]
    assert dataset[0].image().shape == (20, 40, 3)


def test_what_is_no_object_is_left_out_and_counted(put, tmp_path):
    odd = (
        '<polyline label="dog" points="1,2;3,4"/><points label="dog" points="1,2"/>'
        '<points label="dog" points="3,2"/>'
        '<box label="dog" xtl="9" ytl="4" xbr="1" ybr="9"/><polygon label="dog" points="1,2;3"/>'
        '<mask label="dog" rle="1, 99" left="0" top="0" width="2" height="2"/>'
        '<mask label="dog" rle="0, 4" left="39" top="0" width="2" height="2"/><box xtl="0"/>'
    )
    file = put("annotations.xml", export(BOX + odd))
    with pytest.warns(AnydetWarning) as caught:
        dataset = open_dataset(file)
    assert len(dataset.ground_truth()) == 1
    said = [str(one.message).removeprefix(f"{file}: ") for one in caught]
    assert (
        "objects of kind polyline, which has no box and no mask: 1 (the first: a.jpg: polyline dog); left out"
        in said
    )
    assert (
        "objects of kind points, which has no box and no mask: 2 (the first: a.jpg: points dog); left out"
        in said
    )
    assert sum(int(re.search(r": (\d+) \(", line)[1]) for line in said) == 8


def test_a_file_without_images_is_refused(put):
    with pytest.raises(DatasetError, match="no images"):
        open_dataset(put("annotations.xml", export(images="")))
    with pytest.raises(DatasetError, match="image 0: no name"):
        open_dataset(put("annotations.xml", export(name="")))
