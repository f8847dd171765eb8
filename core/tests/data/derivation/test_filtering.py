from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from core.tests.data.derivation.squares import NAMES, dataset, many_images
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.data.derivation.filtering import Criteria, filter_dataset
from anydet.errors import DatasetError, OptionError

IMAGES = {
    "day/1.jpg": [("cat", 2.0), ("dog", 50.0)],
    "day/2.jpg": [("bird", 10.0)],
    "night/3.jpg": [],
}

criteria = st.builds(
    Criteria,
    classes=st.none() | st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
    least_px=st.sampled_from([0.0, 400.0]),
    most_px=st.sampled_from([900.0, 8100.0]),
    images=st.sampled_from([None, "a/*", "[ab]/*"]),
    empty=st.booleans(),
)


def boxes(found):
    return {
        record.key: [
            (found.classes.names[class_id], side)
            for class_id, (_, _, side, _) in zip(
                record.labels.class_ids, record.labels.boxes_xywh_px.tolist(), strict=True
            )
        ]
        for record in found
    }


def columns(found):
    truth = found.ground_truth()
    kept = {key: [] for key in truth.images}
    for image, class_id, box in zip(
        truth.image_index, truth.labels.class_ids, truth.labels.boxes_xywh_px.tolist(), strict=True
    ):
        kept[truth.images[image]].append((truth.classes.names[class_id], box[2]))
    return kept


def expected(images, wanted):
    """The same, image by image and in the words of the option."""
    kept = {}
    for key, objects in images.items():
        if wanted.images is not None and key[0] not in wanted.images:
            continue
        stay = [
            (name, side)
            for name, side in objects
            if (wanted.classes is None or name in wanted.classes)
            and wanted.least_px <= side * side <= wanted.most_px
        ]
        if stay or wanted.empty:
            kept[key] = stay
    return kept


@pytest.mark.slow
@settings(max_examples=40)
@given(images=many_images, wanted=criteria)
def test_what_stays_is_what_meets_all_criteria_and_a_second_time_changes_nothing(images, wanted):
    kept = expected(images, wanted)
    if not kept:
        with pytest.raises((DatasetError, OptionError)):
            filter_dataset(dataset(images), wanted)
        return
    once = filter_dataset(dataset(images), wanted)
    assert boxes(once.dataset) == columns(once.dataset) == kept
    assert once.dataset.classes.names == tuple(
        n for n in NAMES if wanted.classes is None or n in wanted.classes
    )
    # Every annotation that is gone was counted, on the images that are named.
    named = sum(len(o) for key, o in images.items() if wanted.images is None or key[0] in wanted.images)
    gone = sum(count for what, count in once.dropped.items() if what.startswith("annotations"))
    assert named - gone == sum(map(len, kept.values()))
    assert len(images) - sum(n for what, n in once.dropped.items() if what.startswith("images")) == len(kept)
    twice = filter_dataset(once.dataset, wanted)
    assert boxes(twice.dataset) == kept
    assert twice.dropped == {}


def test_each_thing_that_goes_is_counted_by_its_reason():
    wanted = Criteria(classes=("dog", "cat"), least_px=100.0, images="day/*", empty=False)
    found = filter_dataset(dataset(IMAGES), wanted)
    assert found.dropped == {
        "images that are not named": 1,
        "annotations of class 'bird'": 1,
        "annotations smaller than 100 px": 1,
        "images that are left without annotations": 1,
    }
    assert boxes(found.dataset) == {"day/1.jpg": [("dog", 50.0)]}


def test_classes_are_numbered_anew_and_keep_the_ids_of_their_source():
    found = filter_dataset(dataset(IMAGES), Criteria(dropped_classes=("cat",))).dataset
    assert (found.classes.names, found.classes.source_ids) == (("dog", "bird"), (1, 2))
    assert np.concatenate([record.labels.class_ids for record in found]).tolist() == [0, 1]


def test_images_of_a_list_are_found_by_name_path_or_stem(tmp_path: Path):
    file = tmp_path / "list.txt"
    file.write_text("day/1.jpg\n./images/val/night/3.jpg\n\nday\\2\nday/9.jpg\n")
    found = filter_dataset(dataset(IMAGES), Criteria(images=str(file)))
    assert found.dataset.keys == tuple(IMAGES)
    assert found.unknown == ("day/9.jpg",)
    file.write_text("other\n")
    with pytest.raises(OptionError, match="none of its 1 line names an image"):
        filter_dataset(dataset(IMAGES), Criteria(images=str(file)))


def test_a_class_or_pattern_that_is_not_there_is_refused():
    with pytest.raises(OptionError, match=r"no class 'cats' .*did you mean 'cat'"):
        filter_dataset(dataset(IMAGES), Criteria(classes=("cats",)))
    with pytest.raises(OptionError, match="no image is called like 'dusk/"):
        filter_dataset(dataset(IMAGES), Criteria(images="dusk/*"))
    with pytest.raises(DatasetError, match="no image is left of 3 images"):
        filter_dataset(dataset(IMAGES), Criteria(least_px=1e5, empty=False))
