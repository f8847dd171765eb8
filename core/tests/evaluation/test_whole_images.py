"""Semantic masks and classes of whole images: evaluators, and how they come from files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anydet.contract.columns import to_columns, to_images
from anydet.data.dataset.columns import no_labels
from anydet.data.dataset.image_subset import take_images
from anydet.errors import DatasetError, EvaluationError
from anydet.evaluation.image_class import image_class_evaluator
from anydet.evaluation.reading import read_inputs
from anydet.evaluation.semantic import semantic_evaluator
from anydet.geometry import masks
from anydet.types import (
    Classification,
    ClassTable,
    DetectionColumns,
    GroundTruthColumns,
    ImageColumns,
    ImagePredictions,
    Intrinsics,
)

NAMES = ("sky", "road", "tree", "car")


def columns_about(found, true, count=None, names=NAMES):
    """Images without any object, and predictions for them as a whole."""
    count = count or len(next(iter(true.values())))
    images = tuple(f"{i}.png" for i in range(count))
    sizes, none = np.full((count, 2), -1, np.int64), np.zeros(0)
    integers = none.astype(np.int64)
    detections = DetectionColumns(images, sizes, integers, integers, np.zeros((0, 4)), none, none)
    truth = GroundTruthColumns(images, sizes, integers, no_labels(), ClassTable(names), "test")
    return replace(detections, about=ImageColumns(**found)), replace(truth, about=ImageColumns(**true))


def coded(class_map):
    return {int(one): masks.encode(class_map == one) for one in np.unique(class_map) if one not in (-1, 255)}


def made_maps():
    """Three pairs of true and found class maps; 255 is unlabeled."""
    for n in range(3):
        y, x = np.mgrid[:40, :50]
        true = (x * 7 + y * 3 + n * 5) // 11 % 4
        found = np.where((x + y + n) % 5 == 0, (true + 1) % 4, true)
        yield np.where(x * y % 7 == 0, 255, true), found


def semantic_columns(pairs):
    true, found = zip(*pairs, strict=True)
    return columns_about(
        {"semantic_masks": tuple(one if one is None else coded(one) for one in found)},
        {"semantic_masks": tuple(one if one is None else coded(one) for one in true)},
    )


def evaluate(build, columns):
    evaluator = build(columns[1])
    assert evaluator.applies(*columns) is None
    evaluator.add(*columns)
    return evaluator.result()


def test_pixels_have_the_numbers_of_torchmetrics():
    """Made with torchmetrics 1.9.0 on ``made_maps``.

    ``MulticlassJaccardIndex(4, average="macro", ignore_index=255)`` and ``average="weighted"``,
    ``MulticlassF1Score`` (macro), ``MulticlassAccuracy`` (micro and macro).
    """
    metrics = evaluate(semantic_evaluator, semantic_columns(list(made_maps()))).metrics
    assert metrics["mIoU"] == pytest.approx(0.66661918, abs=1e-6)
    assert metrics["frequency_weighted_IoU"] == pytest.approx(0.66663665, abs=1e-6)
    assert metrics["Dice"] == pytest.approx(0.79992992, abs=1e-6)
    assert metrics["pixel_accuracy"] == pytest.approx(0.79995334, abs=1e-6)
    assert metrics["mean_pixel_accuracy"] == pytest.approx(0.79993141, abs=1e-6)


def test_half_of_a_class_taken_for_another_has_the_numbers_that_follow_from_it():
    true = np.zeros((10, 10), np.int64)
    true[5:] = 1
    found = np.array(true)
    found[5:, :5] = 0
    result = evaluate(semantic_evaluator, semantic_columns([(true, found)]))
    assert result.metrics["mIoU"] == pytest.approx((50 / 75 + 25 / 50) / 2)
    assert result.metrics["Dice"] == pytest.approx((100 / 125 + 50 / 75) / 2)
    assert result.metrics["pixel_accuracy"] == pytest.approx(0.75)
    assert result.tables[0].rows[1][:3] == ("road", 50, 25)
    assert result.tables[1].rows[1] == ("road", 25, 25, 0, 0)


def test_pixels_predicted_to_be_nothing_are_wrong_and_those_not_labeled_do_not_count():
    true = np.zeros((4, 4), np.int64)
    true[0] = 255
    found = np.zeros((4, 4), np.int64)
    found[1] = -1
    found[0] = 3
    result = evaluate(semantic_evaluator, semantic_columns([(true, found), (true, None), (None, found)]))
    assert result.metrics["pixel_accuracy"] == pytest.approx(8 / 24)
    assert result.metrics["mIoU"] == pytest.approx(8 / 24)
    assert result.tables[1].header[-1] == "nothing"
    assert result.protocol == {"images_with_class_mask": 2, "pixels": 24}


def test_masks_of_another_size_or_of_instances_are_refused_by_image():
    with pytest.raises(EvaluationError, match=r"image 0\.png: its class masks are 5 x 4 and 6 x 4 pixels"):
        evaluate(semantic_evaluator, semantic_columns([(np.zeros((4, 5)), np.zeros((4, 6)))]))
    with pytest.raises(EvaluationError, match=r"image 0\.png: class 4000 in a class mask"):
        evaluate(semantic_evaluator, semantic_columns([(np.full((4, 5), 4000), np.zeros((4, 5)))]))


def made_classes():
    """True classes and scores of 60 images."""
    y, c = np.arange(60), np.arange(7)
    true = y * 3 // 2 % 7
    right = c[None] == ((true + (y % 3 == 0)) % 7)[:, None]
    return true, ((y[:, None] * 13 + c[None] * 29) % 31) / 31 + 0.6 * right


def test_classes_of_images_have_the_numbers_of_torchmetrics():
    """Made with torchmetrics 1.9.0 on ``made_classes``.

    ``MulticlassAccuracy(7)`` with ``average="micro"``, "macro", and "micro" with ``top_k=5``;
    ``MulticlassF1Score(7, average="macro")``.
    """
    true, scores = made_classes()
    found = {"class_ids": scores.argmax(axis=1), "class_scores": scores}
    metrics = evaluate(image_class_evaluator, columns_about(found, {"class_ids": true})).metrics
    assert metrics["accuracy"] == pytest.approx(0.55, abs=1e-6)
    assert metrics["balanced_accuracy"] == pytest.approx(0.54960322, abs=1e-6)
    assert metrics["macro_f1"] == pytest.approx(0.54584289, abs=1e-6)
    assert metrics["top5_accuracy"] == pytest.approx(0.81666667, abs=1e-6)


def test_images_without_a_prediction_are_wrong_and_those_without_a_class_do_not_count():
    found = {"class_ids": np.array([0, -1, 2, 1])}
    result = evaluate(image_class_evaluator, columns_about(found, {"class_ids": np.array([0, 1, -1, 9])}))
    assert result.metrics["accuracy"] == pytest.approx(1 / 3)
    assert result.metrics["top5_accuracy"] is None
    assert [row[0] for row in result.tables[0].rows] == [*NAMES, "4", "5", "6", "7", "8", "9"]


@pytest.mark.parametrize("build", [semantic_evaluator, image_class_evaluator])
def test_how_images_are_split_changes_nothing(build):
    true, scores = made_classes()
    maps = list(made_maps())
    found = {"class_ids": scores.argmax(axis=1)[:3], "class_scores": scores[:3]}
    detections, truth = semantic_columns(maps)
    detections = replace(detections, about=replace(detections.about, **found))
    truth = replace(truth, about=replace(truth.about, class_ids=true[:3]))
    whole = build(truth)
    whole.add(detections, truth)
    halves = [build(truth), build(truth)]
    for image in (2, 0, 1):
        halves[image % 2].add(*take_images(detections, truth, np.array([image])))
    halves[0].merge(halves[1])
    assert halves[0].result().as_dict() == whole.result().as_dict()
    halves[0].add(*take_images(detections, truth, np.array([1])))
    with pytest.raises(EvaluationError, match="was added 2 times"):
        halves[0].result()
    whole.reset()
    with pytest.raises(EvaluationError, match="no image was added"):
        whole.result()


def test_reasons_not_to_apply_are_given():
    detections, truth = semantic_columns(list(made_maps()))
    semantic, classes = semantic_evaluator(truth), image_class_evaluator(truth)
    assert (
        semantic.applies(replace(detections, about=None), truth) == "the predictions have no semantic masks"
    )
    assert semantic.applies(detections, replace(truth, about=None)) == "the data set has no class masks"
    assert classes.applies(detections, truth) == "the data set has no classes of whole images"
    known = replace(truth, about=replace(truth.about, class_ids=np.zeros(3, np.int64)))
    assert classes.applies(detections, known) == "the predictions have no classes of whole images"


def test_images_become_columns_and_columns_images():
    mask = masks.encode(np.eye(4, dtype=np.bool_))
    empty = ImagePredictions.empty("a.png", (4, 4))
    images = [
        empty,
        replace(
            empty,
            image="b.png",
            classification=Classification(2, 0.5, (0.2, 0.3, 0.5)),
            semantic_mask={1: mask},
            intrinsics=Intrinsics(5.0, 6.0, 7.0, 8.0),
        ),
        replace(empty, image="c.png", classification=Classification(1, 0.25)),
    ]
    columns = to_columns(images)
    back = list(to_images(columns))
    for field in ("classification", "semantic_mask", "intrinsics"):
        assert [getattr(one, field) for one in back] == [getattr(one, field) for one in images]
    assert to_columns([empty]).about is None


@pytest.fixture
def yolo_set(tmp_path):
    """A YOLO data set of three images with class masks, cameras and classes in sidecars."""
    for folder in ("images/val", "labels/val", "masks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("names: [sky, road, tree, car]\nval: images/val\n")
    for i, (true, _) in enumerate(made_maps()):
        Image.new("RGB", (50, 40)).save(tmp_path / f"images/val/{i}.png")
        Image.fromarray(true.astype(np.uint8)).save(tmp_path / f"masks/{i}.png")
        sidecar = {
            "mask_path": f"masks/{i}.png",
            "intrinsics": {"fx": 5, "fy": 6, "cx": 7, "cy": 8 + i},
            "classification": {"class_id": i},
        }
        if i < 2:
            (tmp_path / f"labels/val/{i}.json").write_text(json.dumps(sidecar))
    return tmp_path


def write_predictions(path, names, order):
    entries = []
    for i, (_, found) in enumerate(made_maps()):
        semantic = {str(order[k]): {"size": [40, 50], "counts": m.counts} for k, m in coded(found).items()}
        entries.append(
            {
                "image": f"{i}.png",
                "image_size": {"width": 50, "height": 40},
                "detections": [],
                "classification": {"class_id": order[1], "score": 0.75},
                "semantic_mask": semantic,
                "intrinsics": {"fx": 1, "fy": 1, "cx": 1, "cy": i},
            }
        )
    path.write_text(json.dumps({"predictions": entries[::-1], "meta": {"classes": names}}))
    return path


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 0, 1)])
def test_files_give_the_same_numbers_whatever_order_their_classes_are_in(yolo_set, order):
    names = [NAMES[order.index(i)] for i in range(4)]
    inputs = read_inputs(yolo_set, write_predictions(yolo_set / "predictions.json", names, order))
    columns = inputs.detections, inputs.ground_truth
    expected = evaluate(semantic_evaluator, semantic_columns([*list(made_maps())[:2], (None, None)]))
    assert evaluate(semantic_evaluator, columns).as_dict() == expected.as_dict()
    classes = evaluate(image_class_evaluator, columns)
    assert classes.metrics["accuracy"] == pytest.approx(0.5)
    assert classes.tables[1].rows[0] == ("sky", 0, 1, 0, 0)
    np.testing.assert_array_equal(inputs.ground_truth.about.cameras[:2], [[5, 6, 7, 8], [5, 6, 7, 9]])
    assert np.isnan(inputs.ground_truth.about.cameras[2]).all()
    np.testing.assert_array_equal(inputs.detections.about.cameras[:, 3], [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"classification": 3}, r"image 0\.png: classification: 3 is not a class"),
        ({"classification": {"class_id": True}}, "is not a class"),
    ],
)
def test_a_malformed_class_of_an_image_is_refused(yolo_set, change, problem):
    (yolo_set / "labels/val/0.json").write_text(json.dumps(change))
    with pytest.raises(DatasetError, match=problem):
        read_inputs(yolo_set, write_predictions(yolo_set / "predictions.json", list(NAMES), (0, 1, 2, 3)))


def test_class_masks_in_colors_or_broken_ones_are_refused_by_file(yolo_set):
    predictions = write_predictions(yolo_set / "predictions.json", list(NAMES), (0, 1, 2, 3))
    Image.new("RGB", (50, 40)).save(yolo_set / "masks/1.png")
    inputs = read_inputs(yolo_set, predictions)
    with pytest.raises(DatasetError, match=r"1\.png: a class mask has one number a pixel, this image has 3"):
        evaluate(semantic_evaluator, (inputs.detections, inputs.ground_truth))
    (yolo_set / "masks/1.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match=r"1\.png: cannot be read as an image"):
        evaluate(semantic_evaluator, (inputs.detections, inputs.ground_truth))
