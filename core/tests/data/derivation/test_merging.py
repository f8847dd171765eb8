from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from core.tests.data.derivation.squares import dataset
from core.tests.data.derivation.test_filtering import boxes, columns

from anydet.data.derivation.merging import merge_datasets, union
from anydet.errors import DatasetError, OptionError
from anydet.types import ClassTable

A = {"1.jpg": [("cat", 5.0), ("dog", 6.0)]}
B = {"2.jpg": [("dog", 7.0), ("bird", 8.0)]}


def test_classes_are_joined_by_name():
    merged = merge_datasets([dataset(A, ("cat", "dog")), dataset(B, ("bird", "dog"))])
    assert merged.dataset.classes.names == ("cat", "dog", "bird")
    assert boxes(merged.dataset) == columns(merged.dataset) == {**A, **B}
    assert merged.notes == ()


def test_names_of_images_that_collide_are_refused_or_get_a_folder():
    two = [dataset(A, root="first"), dataset(A, root="second")]
    with pytest.raises(DatasetError, match=r"first and second both have an image 1\.jpg") as caught:
        merge_datasets(two)
    assert "--prefixes a,b" in str(caught.value)
    assert boxes(merge_datasets(two, ["x", "y"]).dataset) == {"x/1.jpg": A["1.jpg"], "y/1.jpg": A["1.jpg"]}
    with pytest.raises(OptionError, match="1 prefixes"):
        merge_datasets(two, ["x"])


def test_kinds_of_annotations_that_one_lacks_are_said():
    masked = dataset(A, root="masked")
    ring = ((1.0, 2.0, 6.0, 2.0, 6.0, 7.0),)
    labels = replace(masked.table.labels, segmentations=(ring, None), keypoints=np.ones((2, 3, 3)))
    masked = replace(masked, table=replace(masked.table, labels=labels, image_ids=np.array([7])))
    merged = merge_datasets([masked, dataset(B, root="plain")])
    assert merged.notes == (
        "masks: 1 of masked (val), none of plain (val)",
        "keypoints: 2 of masked (val), none of plain (val)",
        "image ids are not of all, or not apart, and are numbered anew",
    )


@pytest.mark.parametrize(
    ("tables", "ids", "lost"),
    [
        ([ClassTable(("a", "b"), (3, 9)), ClassTable(("b", "c"), (9, 4))], (3, 9, 4), False),
        ([ClassTable(("a", "b"), (3, 9)), ClassTable(("b", "c"), (8, 4))], (0, 1, 2), True),
        ([ClassTable(("a",), (3,)), ClassTable(("b",), (3,))], (0, 1), True),
        ([ClassTable(("a", "b")), ClassTable(("b", "a"))], (0, 1), False),
    ],
)
def test_own_ids_of_classes_stay_where_they_are_apart(tables, ids, lost):
    found = union(tables)
    assert (found[0].source_ids, found[1]) == (ids, lost)
