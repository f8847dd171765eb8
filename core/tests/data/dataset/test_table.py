"""Tables of images and annotations: rows of one image, and the columns of the first images."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anydet.data.dataset.columns import boxes_only
from anydet.data.dataset.table import ImageTable, TableDataset
from anydet.types import ClassTable, Federation


class Mask:
    """A class mask of one pixel."""

    def read(self):
        return np.zeros((1, 1), np.int64)


MASK = Mask()


def table(**columns):
    """Three images with 2, 0 and 1 annotations."""
    boxes = np.arange(12.0).reshape(3, 4)
    given = {
        "keys": ("b.jpg", "c.jpg", "a.jpg"),
        "sizes_wh": np.array([[40, 30], [-1, -1], [8, 6]]),
        "labels": boxes_only(np.array([1, 0, 1]), boxes),
        "offsets": np.array([0, 2, 2, 3]),
        "classes": ClassTable(("cat", "dog")),
    }
    return ImageTable(**(given | columns))


def dataset(tmp_path=Path("data"), files=(), **columns):
    return TableDataset(tmp_path, "val", "split val", "a file", tmp_path, table(**columns), files)


def test_a_record_has_the_rows_of_its_image():
    records = list(dataset())
    assert [record.labels.class_ids.tolist() for record in records] == [[1, 0], [], [1]]
    assert [record.stated_wh for record in records] == [(40, 30), None, (8, 6)]
    assert [record.path for record in records] == [Path("data") / key for key in dataset().keys]
    assert [record.extra for record in records] == [{}, {}, {}]
    assert dataset()[-1].key == "a.jpg"
    with pytest.raises(IndexError):
        dataset()[3]


def test_what_has_no_field_in_a_record_is_extra():
    states = np.array([[0, -1], [-2, -2], [-2, 1]])
    found = dataset(
        image_ids=np.array([7, 5, 6]),
        class_ids=np.array([-1, 0, 1]),
        part_states=states,
        state_names=("whole", "broken"),
    )
    assert [record.extra for record in found] == [
        {"image_id": 7, "part_states": {"cat": "whole", "dog": None}},
        {"image_id": 5, "classification": {"class_id": 0}, "part_states": {}},
        {"image_id": 6, "classification": {"class_id": 1}, "part_states": {"dog": "broken"}},
    ]


def test_an_image_that_is_not_annotated_has_no_labels():
    found = dataset(annotated=np.array([True, False, True]))
    assert [record.labels is None for record in found] == [False, True, False]


@pytest.mark.parametrize(("count", "rows"), [(0, 0), (1, 2), (2, 2), (3, 3), (None, 3), (9, 3)])
def test_ground_truth_is_that_of_the_first_images(count, rows):
    pairs = np.array([[2, 0], [0, 1]])
    truth = dataset(image_ids=np.array([7, 5, 6]), federation=Federation(pairs, pairs)).ground_truth(count)
    images = range(3)[:count]
    assert truth.images == dataset().keys[:count]
    assert truth.image_ids.tolist() == [7, 5, 6][:count]
    assert truth.image_index.tolist() == [0, 0, 2][:rows]
    assert truth.labels.class_ids.tolist() == [1, 0, 1][:rows]
    assert truth.sizes_wh.shape == (len(images), 2)
    assert truth.federation.absent.tolist() == [pair for pair in pairs.tolist() if pair[0] in images]
    assert (truth.source, truth.about) == ("a file", None)


def test_columns_of_images_are_there_where_something_is_known_of_one():
    found = dataset(class_ids=np.array([-1, 4, -1]), class_masks=(None, None, MASK))
    assert found.ground_truth(1).about is None
    assert found.ground_truth(2).about.class_ids.tolist() == [-1, 4]
    assert found.ground_truth(2).about.semantic_masks is None
    assert found.ground_truth().about.semantic_masks.sources == (None, None, MASK)


def test_classes_without_names_are_numbered():
    assert dataset(classes=None).ground_truth().classes.names == ("0", "1")


def test_keys_classes_of_images_and_files_make_the_fingerprint(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    prints = [dataset(files=(file,)).fingerprint(), dataset(files=()).fingerprint()]
    prints += [dataset(files=(file,), keys=("b.jpg", "a.jpg", "c.jpg")).fingerprint()]
    prints += [dataset(files=(file,), class_ids=np.array([0, 1, one])).fingerprint() for one in (-1, 0)]
    file.write_text("{} ")
    prints += [dataset(files=(file,)).fingerprint()]
    assert len(set(prints)) == 6


def test_workers_can_have_it():
    again = pickle.loads(pickle.dumps(dataset(class_masks=(None, None, MASK))))
    assert again[2].labels.boxes_xywh_px.tolist() == [[8, 9, 10, 11]]
    assert again[2].class_map().tolist() == [[0]]


def test_ground_truth_of_a_coco_file_imports_nothing_that_only_images_need(put, instances):
    file = put("instances_val.json", instances)
    code = (
        "import sys; from anydet.data.opening import open_dataset;"
        f"assert len(open_dataset({str(file)!r}).ground_truth()) == 3;"
        "heavy = {'PIL', 'yaml', 'rich', 'anydet.data.record.record', 'anydet.data.yolo.dataset'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
