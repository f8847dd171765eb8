from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.evaluation.matched_protocol import ProtocolOptions
from anydet.evaluation.open_images import OpenImagesEvaluator
from anydet.evaluation.open_images_files import read_image_labels
from anydet.geometry.boxes import area_xywh
from anydet.types import DetectionColumns

HEAD = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsInside\n"
CAR, DOG, TREE = "/m/0k4j", "/m/0bt9lr", "/m/07j7r"
NAMES = f"{DOG},Dog\n{CAR},Car\n"
LABELS = "ImageID,Source,LabelName,Confidence\n"


def box(image, label, group=0, edges="0.25,0.75,0.5,1"):
    return f"{image},xclick,{label},1,{edges},0,-1,{group},0\n"


@pytest.fixture
def folder(put, paint, tmp_path):
    for name in ("a", "b", "c"):
        paint(f"validation/{name}.jpg")
    put("class-descriptions-boxable.csv", NAMES)
    put(
        "validation-annotations-bbox.csv",
        HEAD + box("b", CAR) + box("a", DOG, group=1) + box("elsewhere", DOG) + box("b", DOG),
    )
    put(
        "validation-annotations-human-imagelabels-boxable.csv",
        f"{LABELS}a,verification,{CAR},0\na,verification,{DOG},1\nc,verification,{CAR},1\nelsewhere,,{DOG},0\n",
    )
    return tmp_path


def test_boxes_names_groups_and_verified_labels_are_read(folder):
    with pytest.warns(AnydetWarning, match=r"boxes of images that are not in the folder: 1"):
        truth = open_dataset(folder).ground_truth()
    assert truth.images == ("a.jpg", "b.jpg", "c.jpg")
    assert truth.classes.names == ("Dog", "Car")
    assert truth.classes.own_ids == (DOG, CAR)
    assert truth.image_index.tolist() == [0, 1, 1]
    assert truth.labels.class_ids.tolist() == [0, 1, 0]
    assert truth.labels.boxes_xywh_px.tolist() == [[10, 10, 20, 10]] * 3
    assert truth.labels.iscrowd.tolist() == [True, False, False]
    assert truth.federation.absent.tolist() == [[0, 1]]
    assert truth.federation.incomplete.tolist() == [[2, 1]]


@pytest.mark.filterwarnings("ignore::anydet.errors.AnydetWarning")
def test_the_protocol_gives_the_same_with_labels_of_the_folder_and_of_the_option(folder):
    truth = open_dataset(folder).ground_truth()
    boxes = np.repeat([[10.0, 10.0, 20.0, 10.0]], 6, axis=0)
    detections = DetectionColumns(
        truth.images,
        truth.sizes_wh,
        np.repeat(np.arange(3), 2),
        np.tile([0, 1], 3),
        boxes,
        np.linspace(0.4, 0.9, 6),
        area_xywh(boxes),
    )
    labels = read_image_labels(folder / "validation-annotations-human-imagelabels-boxable.csv", truth.classes)

    def precisions(truth, **options):
        evaluator = OpenImagesEvaluator(truth.classes, ProtocolOptions(parents={"Dog": ("Car",)}, **options))
        evaluator.add(detections, truth)
        return evaluator.result().metrics

    assert precisions(truth) == precisions(replace(truth, federation=None), image_labels=labels)
    assert precisions(truth) != precisions(replace(truth, federation=None))


@pytest.mark.parametrize(
    ("boxes", "images"),
    [
        ("oidv6-train-annotations-bbox.csv", "train"),
        ("annotations/train-annotations-bbox.csv", "images/train"),
        ("train/labels/detections.csv", "train/data"),
        ("train-annotations-bbox.csv", "train_0"),
        ("boxes.csv", "images"),
    ],
)
def test_all_places_of_files_are_found(put, paint, tmp_path, boxes, images):
    paint(f"{images}/a.jpg")
    put(boxes, HEAD + box("a", TREE))
    put("oidv7-class-descriptions-boxable.csv", f"LabelName,DisplayName\n{CAR},Car\n")
    dataset = open_dataset(tmp_path)
    assert dataset.split == ("" if boxes == "boxes.csv" else "train")
    assert dataset[0].image().shape == (20, 40, 3)
    assert dataset.classes.names == ("Car", TREE)
    assert len(open_dataset(tmp_path / boxes, images=tmp_path / images)) == 1


def test_splits_are_chosen_and_malformed_lines_counted(put, paint, tmp_path):
    paint("train/a.jpg")
    paint("test/b.jpg")
    put("train-annotations-bbox.csv", HEAD + box("a", CAR) + box("a", CAR, edges="0.7,0.2,0,1") + "a,x\n")
    put("test-annotations-bbox.csv", HEAD + box("b", CAR))
    assert open_dataset(tmp_path, "test").keys == ("b.jpg",)
    with pytest.warns(AnydetWarning, match=r"not a label and four edges: 2 .*bbox.csv:3"):
        assert len(open_dataset(tmp_path, "train").ground_truth()) == 1


def test_boxes_without_their_images_say_how_to_name_the_folder(put, paint, tmp_path):
    put("validation-annotations-bbox.csv", HEAD + box("a", CAR))
    with pytest.raises(DatasetError, match="no images") as caught:
        open_dataset(tmp_path)
    assert "--images" in caught.value.fix
    paint("validation/other.jpg")
    with pytest.raises(DatasetError, match="none of its images"):
        open_dataset(tmp_path)
