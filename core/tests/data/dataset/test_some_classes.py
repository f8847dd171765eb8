"""Data sets of tasks: what is labeled of them, and that records and columns say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.base import SomeImages
from anydet.data.dataset.columns import columns_of_records
from anydet.data.dataset.in_memory import KeptMask
from anydet.data.dataset.joined import Joined
from anydet.data.dataset.some_classes import RenumberedMask, SomeClasses
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError
from anydet.types import ClassTable, Federation

SCENES = SyntheticDataset(4, 0, (48, 48))
NAMES = SCENES.classes.names
# Not in the order of the data set, and with one that it does not have.
TABLE = ClassTable((NAMES[4], "zebra", NAMES[1], NAMES[0]))


def rows(truth):
    """(image, class, box) of all annotations."""
    labels = truth.labels
    return sorted(
        (truth.images[image], truth.classes.names[c], *box)
        for image, c, box in zip(
            truth.image_index.tolist(), labels.class_ids.tolist(), labels.boxes_xywh_px.tolist(), strict=True
        )
    )


def of_records(dataset):
    found = columns_of_records(((one, one.size_wh) for one in dataset), dataset.classes, dataset.source)
    return rows(found)


@pytest.mark.parametrize(
    "view",
    [
        SomeImages(SCENES, (3, 0, 1)),
        SomeClasses(SCENES, TABLE, frozenset(NAMES[:2])),
        Joined({"a": SCENES, "b": SomeImages(SCENES, (1, 2))}),
        SomeClasses(Joined({"a": SCENES, "b": SCENES}), TABLE, frozenset(TABLE.names)),
    ],
)
def test_columns_say_what_records_say(view):
    truth = view.ground_truth()
    assert truth.images == view.keys == tuple(record.key for record in view)
    assert truth.sizes_wh.shape == (len(view), 2)
    assert rows(truth) == of_records(view) != []
    first = view.ground_truth(2)
    assert rows(first) == [row for row in rows(truth) if row[0] in view.keys[:2]]
    assert view[-1].key == view.keys[-1]


def test_labels_of_some_classes_are_those_of_the_data_set_by_name():
    wanted = frozenset(NAMES[:2])
    view = SomeClasses(SCENES, TABLE, wanted)
    kept = [row for row in rows(SCENES.ground_truth()) if row[1] in wanted]
    assert rows(view.ground_truth()) == kept
    assert view.classes == TABLE
    everything = SomeClasses(SCENES, SCENES.classes, frozenset(NAMES))
    assert rows(everything.ground_truth()) == rows(SCENES.ground_truth())


def test_fingerprints_say_what_is_chosen():
    views = [
        SCENES,
        SomeImages(SCENES, (0, 1)),
        SomeImages(SCENES, (1, 0)),
        SomeClasses(SCENES, TABLE, frozenset(NAMES[:2])),
        SomeClasses(SCENES, TABLE, frozenset(NAMES[:1])),
        SomeClasses(SCENES, SCENES.classes, frozenset(NAMES[:1])),
        Joined({"a": SCENES, "b": SCENES}),
        Joined({"a": SCENES, "c": SCENES}),
    ]
    assert len({view.fingerprint() for view in views}) == len(views)


def test_pixels_of_other_classes_are_unlabeled():
    mask = KeptMask(np.array([[0, 1, 2], [-1, 2, 0]], np.int16))
    found = RenumberedMask(mask, np.array([-1, 5, 0])).read()
    assert found.tolist() == [[-1, 5, 0], [-1, 0, -1]]


def test_masks_and_classes_of_images_go_by_name():
    scenes = SyntheticMasks(4, 0, (64, 64))
    names = scenes.classes.names
    view = SomeClasses(scenes, ClassTable(names[::-1]), frozenset(names[1:]))
    for record, changed in zip(scenes, view, strict=True):
        old, new = record.class_map(), changed.class_map()
        assert (new[old == 0] == -1).all()
        assert (new[old > 0] == len(names) - 1 - old[old > 0]).all()
        shown = record.extra["classification"]["class_id"]
        expected = None if shown == 0 else {"class_id": len(names) - 1 - shown}
        assert changed.extra["classification"] == expected


def test_what_was_looked_for_goes_by_name():
    class Federated(SyntheticDataset):
        def ground_truth(self, max_images=None):
            pairs = np.array([[0, 0], [1, 4], [2, 1]])
            return replace(super().ground_truth(max_images), federation=Federation(pairs, pairs[1:]))

    found = SomeClasses(Federated(3, 0, (48, 48)), TABLE, frozenset(NAMES[:2])).ground_truth().federation
    assert found.absent.tolist() == [[0, 3], [2, 2]]
    assert found.incomplete.tolist() == [[2, 2]]


def test_a_class_beyond_the_table_is_an_error():
    class Broken(SyntheticDataset):
        def ground_truth(self, max_images=None):
            truth = super().ground_truth(max_images)
            return replace(truth, labels=replace(truth.labels, class_ids=truth.labels.class_ids + 90))

    with pytest.raises(DatasetError, match="an annotation has class 9"):
        SomeClasses(Broken(3, 0, (64, 64)), TABLE, frozenset(NAMES)).ground_truth()


def test_data_sets_of_other_classes_are_not_joined():
    other = SomeClasses(SCENES, TABLE, frozenset(NAMES))
    with pytest.raises(DatasetError, match="classes differ between a, b"):
        Joined({"a": SCENES, "b": other}).ground_truth()
