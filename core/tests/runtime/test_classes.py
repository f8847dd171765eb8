from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.runtime.classes import COCO80, model_classes
from anydet.runtime.errors import ModelError


def test_coco_names_and_ids_are_those_of_the_annotations(shared_data):
    path = shared_data / "coco128" / "annotations" / "instances_train2017.json"
    categories = json.loads(path.read_text("utf-8"))["categories"]
    expected = sorted((c["id"], c["name"]) for c in categories)
    assert list(zip(COCO80.source_ids, COCO80.names, strict=True)) == expected


def test_eighty_classes_are_cocos():
    assert len(COCO80) == 80
    assert model_classes(80, names=None, metadata={}).table is COCO80


def test_another_count_has_no_names():
    assert model_classes(3, names=None, metadata={}).table is None


def test_ninety_one_columns_are_cocos_own_ids():
    classes = model_classes(91, names=None, metadata={})
    np.testing.assert_array_equal(classes.columns, COCO80.source_ids)
    assert classes.table is COCO80


@pytest.mark.parametrize(
    ("columns", "names", "best", "expected"),
    [
        (91, None, 1, "person"),  # rfdetr's own weights: column = COCO's id
        (91, None, 90, "toothbrush"),
        (92, "coco", 90, "toothbrush"),
        (92, "coco", 13, "stop sign"),
        (92, None, 13, None),  # 91 classes of somebody's, and background
        (90, None, 13, None),
        (81, None, 79, "toothbrush"),
    ],
)
def test_a_column_of_rfdetr_has_the_name_of_its_class(build, load, columns, names, best, expected):
    logits = np.full((1, 3, columns), -9.0)
    logits[0, 0, best] = 4
    path = build([np.full((1, 3, 4), 0.5), logits], names=["dets", "labels"])
    adapter = load(path, preset="rfdetr", **({} if names is None else {"names": names}))
    (result,) = adapter.predict([Record("a.png", ImageArray(np.zeros((60, 80, 3), np.uint8)))])
    (class_id,) = result.class_ids
    if expected is None:
        assert adapter.classes is None
        assert class_id == best
    else:
        assert adapter.classes.names[class_id] == expected


def test_names_in_the_file_say_whether_the_last_column_is_background():
    for count in (2, 3):
        found = model_classes(
            count, names=None, metadata={"names": "{0: 'cat', 1: 'dog'}"}, background_last=True
        )
        assert found.table.names == ("cat", "dog")


def test_names_come_from_the_option_as_text_or_file(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("cat\nfire hydrant\n\n", "utf-8")
    for names in ("cat, fire hydrant", str(path)):
        assert model_classes(2, names=names, metadata={}).table.names == ("cat", "fire hydrant")


@pytest.mark.parametrize("names", ["{0: 'cat', 1: 'dog'}", '{"1": "dog", "0": "cat"}', "['cat', 'dog']"])
def test_names_come_from_the_files_metadata(names):
    assert model_classes(2, names=None, metadata={"names": names}).table.names == ("cat", "dog")


def test_the_option_wins_over_the_metadata():
    assert model_classes(1, names="x", metadata={"names": "{0: 'y'}"}).table.names == ("x",)


def test_coco_names_in_the_metadata_bring_cocos_ids():
    stored = str(dict(enumerate(COCO80.names)))
    assert model_classes(80, names=None, metadata={"names": stored}).table is COCO80


def test_coco_is_a_word_for_its_names():
    for count in (None, 80, 91):
        assert model_classes(count, names="coco", metadata={}).table is COCO80
    with pytest.raises(OptionError, match="names=coco gives 80 names, and the model has 3 classes"):
        model_classes(3, names="coco", metadata={})


def test_names_of_the_family_are_used_where_nothing_else_says_them():
    assert model_classes(1, names=None, metadata={}, usual=("face",)).table.names == ("face",)
    assert model_classes(1, names="head", metadata={}, usual=("face",)).table.names == ("head",)
    assert model_classes(2, names=None, metadata={}, usual=("face",)).table is None


def test_a_name_a_line_is_what_paddles_models_have():
    metadata = {"character": "text\ntitle\nfigure"}
    assert model_classes(3, names=None, metadata=metadata).table.names == ("text", "title", "figure")
    with pytest.raises(ModelError, match="has 3 class names"):
        model_classes(2, names=None, metadata=metadata)


@pytest.mark.parametrize("label", [-1, 2, 0.5, np.nan])
def test_labels_of_no_class_are_refused(label):
    classes = model_classes(None, names="a,b", metadata={})
    assert classes.class_ids(np.array([1.0, 0.0])).tolist() == [1, 0]
    with pytest.raises(ModelError, match=r"one of the 2 classes \(0 to 1\)"):
        classes.class_ids(np.array([1.0, label]))


def test_names_that_are_not_as_many_as_the_classes_are_refused(build, load):
    path = build([np.zeros((1, 4 + 1 + 51, 84))], metadata={"names": "{0: 'a', 1: 'b'}"})
    with pytest.raises(ModelError, match="room for 52 classes"):
        load(path, preset="ultralytics")


def test_metadata_reaches_the_adapter(build, load):
    path = build([np.zeros((1, 6, 84))], metadata={"names": "{0: 'cat', 1: 'dog'}", "task": "detect"})
    assert load(path, preset="ultralytics").classes.names == ("cat", "dog")


def raw_head(classes):
    return [np.zeros((1, 4 + classes, 84))]


@pytest.mark.parametrize("names", ["cat; dog", "{0: 'cat', 1: ", "{'a': 'cat'}", "3", "[]"])
def test_names_that_cannot_be_read_are_said_and_not_replaced_by_cocos(names, build, load):
    path = build(raw_head(80), metadata={"names": names})
    adapter = load(path, preset="ultralytics")
    assert adapter.classes is None
    unread, nameless = adapter.notes.warnings
    assert unread.startswith(f"{path}: names in its metadata is no list or dictionary of names")
    assert names.strip() in unread
    assert nameless.endswith("names=FILE, or names=coco for a model trained on COCO")
    told = load(path, preset="ultralytics", names="coco")
    assert told.classes is COCO80
    assert told.notes.warnings == ()


def test_names_that_are_cocos_for_their_number_alone_are_said_to_be(build, load):
    stored = str(dict(enumerate(COCO80.names)))
    (warning,) = load(build(raw_head(80)), preset="ultralytics").notes.warnings
    assert "80 columns" in warning
    assert "--option names=coco if that is right" in warning
    assert load(build(raw_head(80)), preset="ultralytics", names="coco").notes.warnings == ()
    path = build(raw_head(80), metadata={"names": stored})
    assert load(path, preset="ultralytics").notes.warnings == ()


@pytest.mark.parametrize(
    ("preset", "columns", "add"),
    [
        ("rfdetr", 92, ", or names=coco for a model trained on COCO"),
        ("lwdetr", 92, " with 92 names"),
        ("rfdetr", 5, " with 4 names"),
        ("detr", 5, " with 4 names"),
    ],
)
def test_classes_whose_number_is_known_and_names_are_not_are_said_to_be_nameless(
    preset, columns, add, build, load
):
    path = build([np.full((1, 3, 4), 0.5), np.full((1, 3, columns), -9.0)], names=["dets", "labels"])
    (warning,) = load(path, preset=preset).notes.warnings
    assert warning.endswith(f"so predictions carry numbers alone; add --option names=FILE{add}")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("a,b,a", "has 'a' for class 0 and for class 2"),
        ("a,,b", "has no name for class 1"),
        (" , ", "has no name"),
    ],
)
def test_names_that_are_no_names_of_classes_are_refused(names, problem, tmp_path):
    (tmp_path / "names.txt").write_text(names.replace(",", "\n") + "\n\n")
    for given in (names, str(tmp_path / "names.txt")):
        with pytest.raises(OptionError, match=rf"^names=.* {problem}\n") as caught:
            model_classes(3, names=given, metadata={})
        assert caught.value.fix.startswith("give each class a name of its own")


def test_a_comma_or_empty_lines_after_the_last_name_are_no_class(tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n\n\n")
    for given in ("a,b,", str(tmp_path / "names.txt")):
        assert model_classes(2, names=given, metadata={}).table.names == ("a", "b")
