"""The beginning of a data set is a data set."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from anydet.data.dataset.subset import FirstImages
from anydet.data.scenes.shape_scenes import SyntheticDataset

WHOLE = SyntheticDataset(5, 0, (64, 64), "train")


@pytest.mark.parametrize(("count", "images"), [(1, 1), (3, 3), (5, 5), (99, 5)])
def test_it_has_the_first_images_and_no_more(count, images):
    first = FirstImages(WHOLE, count)
    assert len(first) == images == len(list(first))
    assert first.keys == WHOLE.keys[:images] == tuple(record.key for record in first)
    assert first[-1].key == WHOLE.keys[images - 1]
    assert len(first.ground_truth().images) == images
    assert len(first.ground_truth(2).images) == min(images, 2)
    for outside in (images, -images - 1):
        with pytest.raises(IndexError):
            first[outside]


def test_its_metadata_is_that_of_the_whole():
    first = FirstImages(WHOLE, 3)
    assert (first.root, first.split, first.classes, first.source) == (
        WHOLE.root,
        WHOLE.split,
        WHOLE.classes,
        WHOLE.source,
    )
    assert first.note.endswith("the first 3 of 5")


def test_its_fingerprint_depends_on_how_many_there_are():
    prints = {FirstImages(WHOLE, count).fingerprint() for count in (2, 3, 5)} | {WHOLE.fingerprint()}
    assert len(prints) == 4
    assert FirstImages(WHOLE, 9).fingerprint() == FirstImages(WHOLE, 5).fingerprint()


def test_workers_can_have_it():
    first = pickle.loads(pickle.dumps(FirstImages(WHOLE, 2)))
    np.testing.assert_array_equal(first[1].image(), WHOLE[1].image())
