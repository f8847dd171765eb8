"""Each check of scenes catches bad scenes of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.scenes.shape_scenes import SyntheticDataset, write_coco_shapes
from anydet.plugins.manager import Plugins
from anydet.testing.checks.scenes import CHECKS, SceneSubject


def changed(change):
    @dataclass(frozen=True, slots=True)
    class Changed(SyntheticDataset):
        def record(self, position):
            return change(self, SyntheticDataset.record(self, position))

    return Changed


def paints(scenes, record):
    """The first pixel is random."""
    image = record.image().copy()
    image[0, 0] = np.random.default_rng().integers(0, 255, 3)
    return replace(record, pixels=ImageArray(image))


def counts(scenes, record):
    """The first pixel has the number of scenes."""
    image = record.image().copy()
    image[0, 0] = scenes.count
    return replace(record, pixels=ImageArray(image))


def moves(scenes, record):
    labels = record.labels
    return replace(record, labels=replace(labels, boxes_xywh_px=labels.boxes_xywh_px + 50))


def one_scene(count, seed, image_wh, split):
    return SyntheticDataset(1, seed, image_wh, split)


def another_size(count, seed, image_wh, split):
    return SyntheticDataset(count, seed, (64, 64), split)


def half_written(dataset, out):
    write_coco_shapes(replace(dataset, count=dataset.count - 1), out)


def repainted(dataset, out):
    write_coco_shapes(replace(dataset, seed=5), out)


def shifted(dataset, out):
    write_coco_shapes(changed(moves)(dataset.count, dataset.seed, dataset.image_wh), out)


GOOD = SyntheticDataset
WRITER = {"coco": write_coco_shapes}
BAD = [
    ("count_size_and_split_are_those_requested", one_scene, WRITER, "give count scenes"),
    ("count_size_and_split_are_those_requested", another_size, WRITER, "paint in image_wh"),
    ("the_same_seed_gives_the_same_scenes", (changed(paints)), WRITER, "the second time"),
    (
        "the_same_seed_gives_the_same_scenes",
        lambda n, s, wh, split: SyntheticDataset(n, 0, wh, split),
        WRITER,
        "draw from the seed",
    ),
    ("the_count_changes_no_scene", (changed(counts)), WRITER, "with a larger count"),
    ("labels_are_in_the_image_and_the_class_table", (changed(moves)), WRITER, "cut them"),
    ("what_is_written_reopens", GOOD, {"coco": half_written}, "4 scenes written, 3 read"),
    ("what_is_written_reopens", GOOD, {"coco": repainted}, "other pixels"),
    ("what_is_written_reopens", GOOD, {"coco": shifted}, "boxes differ"),
    ("what_is_written_reopens", GOOD, {"cocoa": write_coco_shapes}, "no registered data set format"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_good_scenes_pass(check, tmp_path):
    CHECKS[check](SceneSubject(GOOD, WRITER, Plugins([]), folder=tmp_path))


def test_every_check_has_bad_scenes():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "writers", "message"), BAD)
def test_a_check_catches_its_bad_scenes(check, bad, writers, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](SceneSubject(bad, writers, Plugins([]), folder=tmp_path))
