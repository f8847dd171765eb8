"""A data set in memory equals the one on disk, and reads it once."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np

from anydet.data.dataset.in_memory import InMemory
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.data.scenes.shape_scenes import SyntheticDataset

SCENES = SyntheticMasks(3, 5, (48, 32))


class Counted:
    """A class mask or pixels that know how often they were read."""

    def __init__(self, inner):
        self.inner, self.reads = inner, 0

    def read(self):
        self.reads += 1
        return self.inner.read()


def test_it_has_the_same_images_masks_and_classes():
    kept = InMemory.read(SCENES)
    assert (len(kept), kept.keys, kept.classes) == (3, SCENES.keys, SCENES.classes)
    for ours, theirs in zip(kept, SCENES, strict=True):
        assert (ours.key, ours.extra, ours.size_wh) == (theirs.key, theirs.extra, theirs.size_wh)
        assert np.array_equal(ours.image(), theirs.image())
        assert np.array_equal(ours.class_map(), theirs.class_map())
        assert ours.class_map().dtype == theirs.class_map().dtype
    assert kept.fingerprint() == SCENES.fingerprint()
    assert kept.ground_truth(2).images == SCENES.ground_truth(2).images


def test_pixels_and_masks_are_read_once():
    mask, pixels = Counted(SCENES[0].class_mask), Counted(SCENES[0].pixels)
    kept = InMemory.read([replace(SCENES[0], class_mask=mask, pixels=pixels)])
    for _ in range(2):
        kept[0].image()
        kept[0].class_map()
    assert (mask.reads, pixels.reads) == (1, 1)


def test_boxes_stay_where_there_are_no_masks():
    scenes = SyntheticDataset(2, 0, (32, 32))
    kept = InMemory.read(scenes)
    assert kept[1].class_map() is None
    assert np.array_equal(kept[1].labels.boxes_xywh_px, scenes[1].labels.boxes_xywh_px)


def test_it_goes_to_other_processes():
    again = pickle.loads(pickle.dumps(InMemory.read(SCENES)))
    assert np.array_equal(again[2].image(), SCENES[2].image())
