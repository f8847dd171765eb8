"""Changed data sets: the same bytes whoever reads them when, and another hash where anything differs."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.subset import FirstImages
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.scenarios.changed import ChangedDataset
from anydet.scenarios.changes import HandheldJitter, LowLight, Occlusion, Rotation, Scale
from anydet.types import Intrinsics, Labels

SCENES = SyntheticDataset(6, 3, (160, 120))
CHANGES = [LowLight(), Occlusion(), Scale(0.5), Scale(2.0), Rotation(15.0), HandheldJitter(2.0, 0.5)]
SEEDED = [LowLight(), Occlusion(), HandheldJitter(2.0)]
named = pytest.mark.parametrize("change", CHANGES, ids=repr)


@named
def test_images_depend_on_neither_their_order_nor_threads_nor_the_number_of_them(change):
    dataset = ChangedDataset(SCENES, change)
    first = [dataset[position].image() for position in range(6)]
    order = random.Random(0).sample(range(6), 6)
    with ThreadPoolExecutor(4) as pool:
        again = dict(
            zip(order, pool.map(lambda at: ChangedDataset(SCENES, change)[at].image(), order), strict=True)
        )
    for position, image in enumerate(first):
        assert image.shape == SCENES[position].image().shape
        np.testing.assert_array_equal(again[position], image)
    few = ChangedDataset(FirstImages(SCENES, 3), change)
    np.testing.assert_array_equal(few[2].image(), first[2])


@named
def test_the_source_is_left_as_it_is(change):
    before = SCENES[1].image().copy()
    assert (ChangedDataset(SCENES, change)[1].image() != before).any()
    np.testing.assert_array_equal(SCENES[1].image(), before)


@named
def test_labels_of_records_are_those_of_the_ground_truth(change):
    dataset = ChangedDataset(SCENES, change)
    truth = dataset.ground_truth()
    assert truth.images == dataset.keys == SCENES.keys
    for position in range(len(dataset)):
        rows = truth.image_index == position
        labels = dataset[position].labels
        np.testing.assert_array_equal(labels.boxes_xywh_px, truth.labels.boxes_xywh_px[rows])
        np.testing.assert_array_equal(labels.iscrowd, truth.labels.iscrowd[rows])
        np.testing.assert_array_equal(labels.keypoints, truth.labels.keypoints[rows])
    few = dataset.ground_truth(2)
    assert len(few.images) == 2
    np.testing.assert_array_equal(few.labels.boxes_xywh_px, truth.labels.boxes_xywh_px[truth.image_index < 2])


def test_the_hash_is_of_all_that_decides_the_images_and_of_nothing_else():
    datasets = [ChangedDataset(SCENES, change) for change in CHANGES]
    datasets += [ChangedDataset(SCENES, replace(change, seed=1)) for change in SEEDED]
    datasets += [
        ChangedDataset(SCENES, Scale(0.5), least_visible=0.5),
        ChangedDataset(ChangedDataset(SCENES, Scale(0.5)), Scale(0.5)),
        ChangedDataset(SyntheticDataset(6, 4, (160, 120)), Scale(0.5)),
        ChangedDataset(FirstImages(SCENES, 3), Scale(0.5)),
    ]
    found = [dataset.fingerprint() for dataset in datasets]
    assert len({*found, SCENES.fingerprint()}) == len(found) + 1
    again = SyntheticDataset(6, 3, (160, 120))
    assert [ChangedDataset(again, change).fingerprint() for change in CHANGES] == found[: len(CHANGES)]


@pytest.mark.parametrize("change", SEEDED, ids=repr)
def test_another_seed_and_another_key_give_another_image(change):
    image, labels = np.full((40, 60, 3), 200, np.uint8), SCENES[1].labels
    gray = np.tile(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (40, 1, 3))
    image = gray if isinstance(change, HandheldJitter) else image
    labels = _boxes([[10.0, 10.0, 30.0, 20.0]])
    of = {
        (seed, key): replace(change, seed=seed).image(image, key, labels, None)
        for seed in (0, 1)
        for key in ("a", "b")
    }
    assert len({found.tobytes() for found in of.values()}) == 4


def test_light_is_linear_in_linear_light():
    """A tenth of the light of a gray field, as the standard's formula has it, within the noise's mean."""
    image = np.full((100, 100, 3), 200, np.uint8)
    dark = LowLight(light=0.1, white_electrons=1e6, read_noise_electrons=0.0).image(
        image, "a", _boxes([]), None
    )
    linear = 0.1 * ((200 / 255 + 0.055) / 1.055) ** 2.4
    assert abs(dark.mean() - 255 * (1.055 * linear ** (1 / 2.4) - 0.055)) < 0.5
    # With a gain of 1 / light, images are as bright as before, and noisier the less light there is.
    spread = [
        LowLight(light=light, gain=1 / light).image(image, "a", _boxes([]), None).astype(float)
        for light in (0.5, 0.05)
    ]
    assert all(abs(one.mean() - 200) < 2 for one in spread)
    assert spread[1].std() > 2 * spread[0].std()


@pytest.mark.parametrize("fraction", [0.1, 0.3, 1.0])
def test_a_patch_covers_the_fraction_of_its_box(fraction):
    image, labels = np.zeros((300, 400, 3), np.uint8), _boxes([[50.0, 40.0, 200.0, 150.0]])
    covered = (Occlusion(fraction).image(image, "a", labels, None) > 0).any(axis=-1)
    assert not covered[:40].any()
    assert not covered[190:].any()
    assert not covered[:, :50].any()
    assert not covered[:, 250:].any()
    assert abs(covered.sum() / (200 * 150) - fraction) < 0.02


def test_crowds_are_not_covered():
    labels = replace(_boxes([[5.0, 5.0, 20.0, 20.0]]), iscrowd=np.array([True]))
    image = np.zeros((40, 40, 3), np.uint8)
    assert not Occlusion().image(image, "a", labels, None).any()


def test_a_positive_rotation_is_counterclockwise_for_the_eye():
    image = np.zeros((101, 101, 3), np.uint8)
    image[48:53, 85:95] = 255  # right of the middle
    turned = Rotation(90.0).image(image, "a", _boxes([]), None)
    assert turned[5:17, 45:56, 0].max() == 255  # above it


def test_a_shutter_that_is_open_for_no_time_does_not_blur():
    image = SCENES[1].image()
    camera = Intrinsics(150.0, 150.0, 80.0, 60.0)
    still, blurred = (HandheldJitter(2.0, e).image(image, "a", _boxes([]), camera) for e in (0.0, 1.0))
    np.testing.assert_array_equal(still, HandheldJitter(2.0).warp("a", (160, 120), camera).image(image))
    sharpness = [np.abs(np.diff(one[30:90, 40:120].astype(float), axis=1)).mean() for one in (still, blurred)]
    assert sharpness[1] < sharpness[0]


def _boxes(boxes):
    array = np.array(boxes, np.float64).reshape(-1, 4)
    return Labels(
        np.zeros(len(array), np.int64), array, array[:, 2] * array[:, 3], np.zeros(len(array), bool)
    )
