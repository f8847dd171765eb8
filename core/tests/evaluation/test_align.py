from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from anydet.contract.reading.load import load
from anydet.errors import ContractError, EvaluationError
from anydet.evaluation.align import align
from anydet.types import ClassTable, GroundTruthColumns, Labels

KEYS = ("a/1.jpg", "a/2.jpg", "b/1.jpg")


def ground_truth(count=3, names=("cat", "dog"), sizes=((100, 50), (100, 50), (100, 50))):
    """One cat an image."""
    boxes = np.array([[10.0, 10.0, 20.0, 20.0]] * count)
    labels = Labels(np.zeros(count, np.int64), boxes, boxes[:, 2] * boxes[:, 3], np.zeros(count, np.bool_))
    return GroundTruthColumns(
        KEYS[:count], np.array(sizes[:count]), np.arange(count), labels, ClassTable(tuple(names)), "test"
    )


@pytest.fixture
def written(tmp_path):
    """Writes a predictions file of (image, class ids, image_size) and reads it back."""

    def write(*images, classes=None, states=None):
        box = {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.4}
        entries = [
            {
                "image": image,
                "detections": [{"class_id": c, "score": 0.5, "bbox": box} for c in class_ids],
                **({"image_size": dict(zip(("width", "height"), size, strict=True))} if size else {}),
            }
            for image, class_ids, size in images
        ]
        path = tmp_path / "predictions.json"
        named = {"classes": classes, "states": states}
        meta = {key: list(names) for key, names in named.items() if names}
        path.write_text(json.dumps({"predictions": entries, "meta": meta}))
        return load(path)

    return write


def test_detections_come_over_the_data_sets_images_in_pixels(written):
    aligned = align(written(("b/1.jpg", [1], None), ("a/1.jpg", [0, 0], (100, 50))), ground_truth(), KEYS)
    found = aligned.detections
    assert found.images == KEYS
    assert found.image_index.tolist() == [2, 0, 0]
    assert found.class_ids.tolist() == [1, 0, 0]
    np.testing.assert_allclose(found.boxes_xywh_px, [[40, 15, 20, 20]] * 3)
    assert aligned.missing == ("a/2.jpg",)


def test_a_size_that_contradicts_the_data_set_names_image_and_both_sizes(written):
    with pytest.raises(
        EvaluationError, match=r"image a/2.jpg: .* say 50 x 100 pixels, the data set 100 x 50"
    ):
        align(written(("a/2.jpg", [0], (50, 100))), ground_truth(), KEYS)


def test_a_size_that_only_the_predictions_state_is_used(written):
    unknown = ground_truth(sizes=((-1, -1),) * 3)
    aligned = align(written(("a/1.jpg", [0], (100, 50))), unknown, KEYS)
    np.testing.assert_allclose(aligned.detections.boxes_xywh_px, [[40, 15, 20, 20]])
    assert aligned.ground_truth.sizes_wh.tolist() == [[100, 50], [-1, -1], [-1, -1]]


def test_a_size_that_nobody_states_is_an_error_that_names_the_image(written):
    with pytest.raises(ContractError, match=r"image a/1.jpg: its size is needed"):
        align(written(("a/1.jpg", [0], None)), ground_truth(sizes=((-1, -1),) * 3), KEYS)


def test_classes_are_joined_by_name_where_both_sides_have_names(written):
    aligned = align(written(("a/1.jpg", [0, 1, 0], None), classes=("dog", "cat")), ground_truth(), KEYS)
    assert aligned.detections.class_ids.tolist() == [1, 0, 1]


def test_names_that_differ_are_an_error_that_shows_both_lists(written):
    with pytest.raises(EvaluationError) as caught:
        align(written(("a/1.jpg", [0], None), classes=("dog", "bird")), ground_truth(), KEYS)
    assert "only in the data set 'cat'" in caught.value.problem
    assert "only in the predictions 'bird'" in caught.value.problem
    assert caught.value.details == ("  data set:    cat, dog", "  predictions: dog, bird")


def test_ids_beyond_the_table_are_an_error_that_names_them(written):
    with pytest.raises(EvaluationError, match=r"does not have: 7, 89 \(2 detections, first in image a/2.jpg"):
        align(written(("a/1.jpg", [0], None), ("a/2.jpg", [1, 7, 89], None)), ground_truth(), KEYS)


def test_ids_beyond_the_files_own_names_are_an_error(written):
    with pytest.raises(
        EvaluationError, match=r"the predictions' own list of names \(meta.classes\) does not have: 2"
    ):
        align(written(("a/1.jpg", [2], None), classes=("dog", "cat")), ground_truth(), KEYS)


def test_without_names_in_the_data_set_the_table_grows_to_the_predictions(written):
    nameless = ground_truth(names=("0",))
    raw = written(("a/1.jpg", [0, 3], None))
    assert align(raw, nameless, KEYS, named_classes=False).ground_truth.classes.names == ("0", "1", "2", "3")
    named = written(("a/1.jpg", [0, 1], None), classes=("dog", "cat"))
    assert align(named, nameless, KEYS, named_classes=False).ground_truth.classes.names == ("dog", "cat")


def test_an_image_that_the_data_set_does_not_have_is_an_error_that_names_it(written):
    with pytest.raises(ContractError, match=r"'a/9.jpg' is not in the data set"):
        align(written(("a/9.jpg", [0], None)), ground_truth(), KEYS)


def test_a_limit_drops_predictions_of_the_other_images_but_not_unknown_ones(written):
    raw = written(("a/1.jpg", [0], None), ("b/1.jpg", [0, 1], None))
    aligned = align(raw, ground_truth(1), KEYS)
    assert aligned.detections.image_index.tolist() == [0]
    assert aligned.surplus == 1
    with pytest.raises(ContractError, match="not in the data set"):
        align(written(("a/1.jpg", [0], None), ("a/9.jpg", [0], None)), ground_truth(1), KEYS)


def test_a_limit_does_not_make_an_ambiguous_name_unique(written):
    with pytest.raises(ContractError, match=r"'1.jpg' may be any of 'a/1.jpg', 'b/1.jpg'"):
        align(written(("1.jpg", [0], None)), ground_truth(1), KEYS)


def test_repeated_class_names_are_joined_by_id_only_where_the_lists_are_equal(written):
    twice = replace(ground_truth(), classes=ClassTable(("cat", "cat")))
    same = written(("a/1.jpg", [1], None), classes=("cat", "cat"))
    assert align(same, twice, KEYS).detections.class_ids.tolist() == [1]
    with pytest.raises(EvaluationError, match="class names differ"):
        align(written(("a/1.jpg", [0], None), classes=("cat",)), twice, KEYS)


def test_states_have_the_names_of_the_data_set_or_else_of_the_predictions(written):
    image = ("a/1.jpg", [0], None)
    named = replace(ground_truth(), state_names=("new", "worn"))
    assert align(written(image), named, KEYS).ground_truth.state_names == ("new", "worn")
    predictions = written(image, states=("new", "worn"))
    for truth in (named, ground_truth()):
        assert align(predictions, truth, KEYS).ground_truth.state_names == ("new", "worn")
    with pytest.raises(EvaluationError, match=r"new, worn in the data set, worn, new in .*predictions\.json"):
        align(written(image, states=("worn", "new")), named, KEYS)
