"""Files laid over each other: images, sizes, classes, states and keypoints, joined or refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.adaptation.ensemble.members import lay_over
from anydet.contract.reading.load import load
from anydet.data.opening import open_dataset
from anydet.errors import ContractError
from anydet.geometry import masks
from anydet.types import Classification, ImagePredictions

SIZE = (100, 80)


def result(key, boxes, scores, class_ids, size_wh=SIZE, **more):
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return ImagePredictions(
        key, size_wh, corners, np.array(scores, np.float64), np.array(class_ids, np.int64), **more
    )


A = result("a.jpg", [[1, 2, 30, 40]], [0.9], [0])


def laid(*paths, **more):
    return lay_over([load(path) for path in paths], (1.0,) * len(paths), **more)


def found(members):
    """Image -> results of each file."""
    return {key: [one for _, one in members.image(at)] for at, key in enumerate(members.images)}


def test_images_join_by_key_then_by_path_then_by_name_and_others_follow(file_of):
    a = file_of("a.json", result("val/1.jpg", [], [], []), result("val/2.jpg", [], [], []))
    b = file_of("b.json", *(result(key, [], [], []) for key in ("3.jpg", "2.jpg", "./val/1.jpg")))
    members = laid(a, b)
    assert members.images == ("val/1.jpg", "val/2.jpg", "3.jpg")
    assert [member.rows.tolist() for member in members.files] == [[0, 1, -1], [2, 1, 0]]
    assert [at.tolist() for at in members.lacking()] == [[2], []]
    assert [one.image for one in found(members)["val/1.jpg"]] == ["val/1.jpg", "val/1.jpg"]


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (("x/1.jpg", "y/1.jpg"), ("1.jpg",), r"image '1.jpg' may be any of 'x/1.jpg', 'y/1.jpg'"),
        (("x/1.jpg",), ("1.jpg", "y/1.jpg"), r"'1.jpg' and 'y/1.jpg' are both 'x/1.jpg'"),
    ],
)
def test_ambiguous_images_are_refused(file_of, ours, theirs, message):
    a = file_of("a.json", *(result(key, [], [], []) for key in ours))
    b = file_of("b.json", *(result(key, [], [], []) for key in theirs))
    with pytest.raises(ContractError, match=message):
        laid(a, b)


def test_sizes_come_from_whoever_states_them_and_must_agree(file_of, tmp_path):
    silent = tmp_path / "silent.json"
    box = {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.1}
    entry = {"image": "a.jpg", "detections": [{"class_id": 0, "score": 0.5, "bbox": box}]}
    silent.write_text(json.dumps([entry]), "utf-8")
    ours, theirs = found(laid(silent, file_of("a.json", A)))["a.jpg"]
    np.testing.assert_allclose(ours.boxes_xyxy_px, [[40, 36, 60, 44]])
    assert ours.size_wh == theirs.size_wh == (100, 80)
    with pytest.raises(ContractError, match=r"its size is needed, and no file states it"):
        laid(silent, silent)
    other = file_of("b.json", result("a.jpg", [[1, 2, 3, 4]], [0.9], [0], size_wh=(80, 100)))
    with pytest.raises(
        ContractError, match=r"b.json says 80 x 100 pixels, .*a.json 100 x 80 \(1 such image\)"
    ):
        laid(file_of("a.json", A), other)


def test_classes_join_by_name_and_files_without_names_have_the_ids_of_the_others(file_of):
    a = file_of("a.json", result("a.jpg", [[1, 2, 3, 4]], [0.9], [0]), classes=["cat", "dog"])
    whole = Classification(1, 0.75, (0.25, 0.75))
    semantic = {0: masks.encode(np.ones((80, 100), np.bool_))}
    swapped = result(
        "a.jpg", [[1, 2, 3, 4]] * 2, [0.9, 0.8], [0, 1], classification=whole, semantic_mask=semantic
    )
    b = file_of("b.json", swapped, classes=["dog", "cat"])
    c = file_of("c.json", result("a.jpg", [[1, 2, 3, 4]], [0.9], [1]))
    members = laid(a, b, c)
    assert members.classes == ("cat", "dog")
    first, second, third = found(members)["a.jpg"]
    assert (first.class_ids.tolist(), second.class_ids.tolist(), third.class_ids.tolist()) == (
        [0],
        [1, 0],
        [1],
    )
    assert second.classification == Classification(0, 0.75, (0.75, 0.25))
    assert list(second.semantic_mask) == [1]


@pytest.mark.parametrize(
    ("names", "class_id", "message"),
    [
        (["cat", "cow"], 0, r"classes differ: only in .*b.json cow, only in .*a.json dog"),
        (["cat", "dog", "cow"], 0, r"classes differ: only in .*b.json cow, only in .*a.json none"),
        (["cat"], 0, r"classes differ: only in .*b.json none, only in .*a.json dog"),
        (["cat", "cat"], 0, r"classes differ"),
        (["dog", "cat"], 2, r"b.json: class id 2, and .*b.json names 2 classes"),
        (None, 2, r"b.json: class id 2, and .*a.json names 2 classes"),
    ],
)
def test_classes_that_do_not_fit_are_refused_with_their_names(file_of, names, class_id, message):
    a = file_of("a.json", A, classes=["cat", "dog"])
    named = {} if names is None else {"classes": names}
    b = file_of("b.json", result("a.jpg", [[1, 2, 3, 4]], [0.9], [class_id]), **named)
    with pytest.raises(ContractError, match=message):
        laid(a, b)


def test_states_and_keypoints_must_be_the_same_ones(file_of):
    a = file_of("a.json", A, states=["intact", "damaged"])
    with pytest.raises(ContractError, match=r"meta.states differ: intact, damaged in .*a.json, whole in .*b"):
        laid(a, file_of("b.json", A, states=["whole"]))
    assert laid(a, file_of("b.json", A)).states == ("intact", "damaged")
    points = [
        result("a.jpg", [[1, 2, 3, 4]], [0.9], [0], keypoints=np.full((1, count, 3), 0.5))
        for count in (5, 17)
    ]
    with pytest.raises(ContractError, match=r"detections have 5 keypoints in .*5.json, 17 in .*17.json"):
        laid(file_of("5.json", points[0]), file_of("a.json", A), file_of("17.json", points[1]))
    names = [file_of(f"{i}.json", A, extra={"keypoint_names": [name]}) for i, name in enumerate("ab")]
    with pytest.raises(ContractError, match=r"keypoint_names differ: a in .*0.json, b in .*1.json"):
        laid(*names)


def test_scores_that_are_no_confidences_are_refused(tmp_path):
    truth = {
        "images": [{"id": 7, "file_name": "7.jpg", "width": 100, "height": 80}],
        "annotations": [],
        "categories": [{"id": 3, "name": "cat"}],
    }
    results = [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 12.5}]
    (tmp_path / "truth.json").write_text(json.dumps(truth), "utf-8")
    (tmp_path / "results.json").write_text(json.dumps(results), "utf-8")
    known = open_dataset(tmp_path / "truth.json").ground_truth
    raw = load(tmp_path / "results.json", None, known)
    with pytest.raises(ContractError, match=r"results.json: .*score: 12.5 is not in \[0, 1\]"):
        lay_over([raw], (1.0,), known)
