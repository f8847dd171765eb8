"""Augmentation: random by its generator alone, and right for every label at once."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.training.batches.augment import Augmentation, ColorJitter, Crop, Flip, ScaleJitter
from anydet.training.batches.loading import build_loader
from anydet.training.batches.mosaic import Mosaic
from anydet.training.batches.samples import LABEL_KINDS
from anydet.training.config.settings import TrainSettings
from anydet.types import Poses

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20, deadline=None)
UNPOSED = {"rotations": None, "translations_m": None, "intrinsics": None}
ALL = TrainSettings(hflip_prob=0.5, color_jitter=0.4, scale_jitter=0.5, crop_prob=0.5, mosaic_prob=0.5)


@pytest.fixture(scope="module")
def unposed(labeled):
    return lambda seed, size_wh=(30, 24): replace(labeled(seed, size_wh), **UNPOSED)


@pytest.fixture(scope="module")
def draw(unposed):
    """Another sample, of a shape of its own."""
    return lambda rng: unposed(int(rng.integers(1000)), tuple(rng.integers(12, 50, 2).tolist()))


@pytest.fixture(scope="module")
def changed(draw):
    return lambda augmentation, sample, seed: augmentation(sample, np.random.default_rng(seed), draw)


def states():
    return random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()


@pytest.mark.slow
@quick
@given(seeds, seeds)
def test_the_generator_decides_everything_and_nothing_else_is_touched(
    assert_equal, unposed, changed, seed, choice
):
    augmentation, sample = Augmentation.from_settings(ALL), unposed(seed)
    before = states()
    once = changed(augmentation, sample, choice)
    assert states() == before
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(choice)
        assert_equal(changed(augmentation, sample, choice), once, atol=0)
    assert_equal(sample, unposed(seed), atol=0)


def test_another_generator_decides_otherwise(unposed, changed):
    augmentation, sample = Augmentation.from_settings(ALL), unposed(1)
    images = {changed(augmentation, sample, choice).image.numpy().tobytes() for choice in range(20)}
    assert len(images) == 20


@quick
@given(seeds, seeds)
def test_geometry_keeps_pixels_and_all_labels_together(labeled, project, changed, seed, choice):
    augmentation = Augmentation((ScaleJitter(0.5), Crop(0.7), Flip(0.5)))
    sample = labeled(seed, (60, 48))
    seen = changed(augmentation, sample, choice)
    rows = seen.class_ids
    assert torch.equal(seen.states, rows + 10)
    assert torch.equal(seen.translations_m[:, 2], rows + 1.0)
    unsure = (seen.image > 0) & (seen.image < 255)  # edges that scaling blurs, and gray margins
    assert torch.equal((seen.image > 127)[rows] | unsure[rows], seen.masks | unsure[rows])
    known = seen.keypoints[:, 0, 2] > 0
    there = project(seen.translations_m, seen.intrinsics)[known]
    torch.testing.assert_close(there, seen.keypoints[known, 0, :2].double(), rtol=1e-4, atol=1e-3)


@quick
@given(seeds, st.floats(0.01, 1.0))
def test_scale_jitter_keeps_the_canvas_and_stays_within_its_limits(labeled, seed, strength):
    sample = labeled(seed, (60, 48))
    seen = ScaleJitter(strength)(sample, np.random.default_rng(seed))
    assert seen.size_wh == (60, 48)
    scale = float(seen.intrinsics[0] / sample.intrinsics[0])
    assert 1 / (1 + strength) - 0.02 <= scale <= 1 + strength + 0.02


def test_scales_are_smaller_as_often_as_larger(labeled):
    sample = labeled(0, (60, 48))
    scales = [
        float(ScaleJitter(0.5)(sample, np.random.default_rng(seed)).intrinsics[0] / 55) for seed in range(200)
    ]
    assert 70 < sum(scale > 1 for scale in scales) < 130
    assert max(scales) > 1.4
    assert min(scales) < 0.72


@quick
@given(seeds)
def test_windows_are_between_half_and_all_of_the_image(labeled, seed):
    width, height = Crop(1.0)(labeled(seed), np.random.default_rng(seed)).size_wh
    assert 15 <= width <= 30
    assert 12 <= height <= 24


@pytest.mark.parametrize("step", [Flip, Crop, Mosaic])
def test_probabilities_are_fractions_of_samples(step, unposed, draw):
    sample, rng = unposed(3), np.random.default_rng(0)
    others = (draw,) if step is Mosaic else ()
    done = [step(0.3)(sample, rng, *others) is not sample for _ in range(150)]
    assert 25 < sum(done) < 65
    assert step(0.0)(sample, rng, *others) is sample


@quick
@given(seeds)
def test_colors_change_and_labels_do_not(labeled, assert_equal, seed):
    sample = labeled(seed)
    sample = replace(sample, image=sample.image // 2 + 40)
    seen = ColorJitter(0.5)(sample, np.random.default_rng(seed))
    assert_equal(seen, sample, but=("image",), atol=0)
    assert not torch.equal(seen.image, sample.image)
    assert seen.image.dtype == torch.uint8


def test_a_weak_jitter_changes_colors_a_little(labeled):
    sample = labeled(2)
    sample = replace(
        sample, image=torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 24, 30), np.uint8))
    )
    weak, strong = (
        (ColorJitter(strength)(sample, np.random.default_rng(1)).image.float() - sample.image).abs().mean()
        for strength in (0.02, 0.8)
    )
    assert 0 < weak < 6 < strong


def test_flips_swap_the_names_of_keypoints(labeled, assert_equal, changed):
    sample = labeled(5)
    seen = Flip(1.0, ((1, 2),))(sample, np.random.default_rng(0))
    assert torch.equal(seen.keypoints[:, [0, 2, 1], 1], sample.keypoints[..., 1])
    built = Augmentation.from_settings(TrainSettings(hflip_prob=1.0), [(1, 2)])
    assert_equal(changed(built, sample, 0), seen, atol=0)


def test_settings_that_ask_for_nothing_change_nothing(labeled, changed):
    nothing, sample = Augmentation.from_settings(TrainSettings()), labeled(0)
    assert nothing == Augmentation()
    assert changed(nothing, sample, 0) is sample


@quick
@given(seeds, seeds)
def test_a_mosaic_shows_four_images_with_their_own_labels(unposed, draw, seed, choice):
    drawn = []

    def remember(rng):
        drawn.append(draw(rng))
        return drawn[-1]

    sample = unposed(seed)
    seen = Mosaic(1.0)(sample, np.random.default_rng(choice), remember)
    assert len(drawn) == 3
    assert (seen.size_wh, seen.key, seen.label, seen.intrinsics) == ((30, 24), sample.key, -1, None)
    assert torch.equal(seen.states, seen.class_ids + 10)
    sure = (seen.image == 0) | (seen.image == 255)
    for row, mask in zip(seen.class_ids, seen.masks, strict=True):
        assert ((seen.image[row] == 255) | ~sure[row])[mask].all()
    assert (seen.semantic < 255)[seen.masks.any(dim=0)].all()
    assert (seen.boxes[:, 2:] > seen.boxes[:, :2]).all()
    assert ((seen.boxes >= 0) & (seen.boxes <= torch.tensor([30, 24, 30, 24]))).all()


def test_each_of_the_four_images_is_shown_once(unposed):
    grays = iter((50, 100, 150))

    def plain(gray):
        return replace(unposed(0), image=torch.full((3, 24, 30), gray, dtype=torch.uint8))

    seen = Mosaic(1.0)(plain(200), np.random.default_rng(0), lambda rng: plain(next(grays))).image[0]
    assert sorted(seen.unique().tolist()) == [50, 100, 150, 200]
    assert sorted(seen[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()) == [50, 100, 150, 200]


def test_tiles_without_a_label_are_filled_up(unposed, draw):
    bare = {"masks": None, "keypoints": None, "states": None, "semantic": None}
    seen = Mosaic(1.0)(unposed(1), np.random.default_rng(4), lambda rng: replace(draw(rng), **bare))
    filled = seen.states == -1
    assert filled.any()
    assert not seen.masks[filled].any()
    assert (seen.keypoints[filled] == 0).all()
    assert seen.masks.shape == (len(seen), 24, 30)
    assert (seen.semantic == 255).any()
    without = Mosaic(1.0)(
        replace(unposed(1), **bare), np.random.default_rng(4), lambda rng: replace(draw(rng), **bare)
    )
    assert (without.masks, without.states, without.semantic) == (None, None, None)


def test_samples_with_poses_cannot_be_in_a_mosaic(labeled, draw):
    with pytest.raises(OptionError, match="intrinsics") as caught:
        Mosaic(1.0)(labeled(0), np.random.default_rng(0), draw)
    assert "--mosaic-prob 0" in caught.value.fix


class Posed(SyntheticDataset):
    """Scenes whose objects have poses."""

    def record(self, position):
        record = super().record(position)
        poses = Poses(rotations=np.zeros((len(record.labels), 3, 3)))
        return replace(record, labels=replace(record.labels, poses=poses))


def test_a_mosaic_of_poses_is_refused_before_the_first_batch():
    def build(kinds):
        augment = Augmentation.from_settings(ALL)
        scenes = Posed(3, image_wh=(32, 24))
        return build_loader(scenes, item=len, collate=list, settings=ALL, augment=augment, label_kinds=kinds)

    with pytest.raises(OptionError, match="mosaic"):
        build(LABEL_KINDS)
    assert build(LABEL_KINDS - {"poses"}).batches_per_epoch == 1


@pytest.mark.slow
def test_workers_augment_as_the_loop_itself_would(assert_equal):
    scenes = SyntheticDataset(6, image_wh=(48, 40))

    def batches(workers):
        settings = msgspec.structs.replace(ALL, num_workers=workers)
        loader = build_loader(
            scenes,
            item=lambda sample: sample,
            collate=list,
            settings=settings,
            augment=Augmentation.from_settings(ALL),
        )
        return [sample for epoch in (0, 1) for loaded in loader.batches(epoch) for sample in loaded.batch]

    alone = batches(0)
    assert len(alone) == 12
    for one, other in zip(alone, batches(2), strict=True):
        assert_equal(one, other, atol=0)
