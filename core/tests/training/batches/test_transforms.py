"""Labels follow the pixels, and come back with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from anydet.training.batches.transforms import crop, hflip, letterbox, pad, place_at_random, resize, take

seeds = st.integers(0, 2**32 - 1)
margins = st.tuples(*[st.integers(0, 9)] * 4)
sizes = st.tuples(st.integers(5, 70), st.integers(5, 70))
quick = settings(max_examples=20, deadline=None)
MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))


def window(seed, size_wh):
    """A window inside an image, at least 2 pixels wide and high."""
    rng = np.random.default_rng(seed)
    x, y = (np.sort(rng.choice(side - 1, 2, replace=False)) for side in size_wh)
    return int(x[0]), int(y[0]), int(x[1]) + 2, int(y[1]) + 2


def step(kind, seed, sample):
    rng = np.random.default_rng(seed)
    if kind == "flip":
        return hflip(sample)
    if kind == "crop":
        return crop(sample, window(seed, sample.size_wh))
    if kind == "pad":
        return pad(sample, *rng.integers(0, 9, 4).tolist(), value=0)
    size = tuple(rng.integers(6, 60, 2).tolist())
    if kind == "letterbox":
        return letterbox(sample, size, centered=bool(rng.integers(2)), value=0)
    return resize(sample, size)


def chains(*kinds):
    return st.lists(st.tuples(st.sampled_from(kinds), seeds), min_size=1, max_size=4)


def follow(sample, chain):
    for kind, seed in chain:
        sample = step(kind, seed, sample)
    return sample


@quick
@given(seeds)
def test_mirrored_twice_is_the_sample_itself(labeled, assert_equal, seed):
    sample = labeled(seed)
    once = hflip(sample, [(0, 2)])
    assert_equal(hflip(once, [(0, 2)]), sample)
    assert not torch.equal(once.keypoints, sample.keypoints)


@quick
@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_enlarged_and_back_gives_the_labels_back(labeled, assert_equal, seed, across, down):
    sample = labeled(seed)
    width, height = sample.size_wh
    there = resize(sample, (width * across, height * down))
    assert there.size_wh == (width * across, height * down)
    assert_equal(resize(there, (width, height)), sample, but=("image",))


@quick
@given(seeds, margins)
def test_padded_and_cropped_is_the_sample_itself(labeled, assert_equal, seed, sides):
    sample = labeled(seed)
    left, top, _, _ = sides
    width, height = sample.size_wh
    padded = pad(sample, *sides)
    assert padded.size_wh == (width + left + sides[2], height + top + sides[3])
    assert_equal(crop(padded, (left, top, left + width, top + height)), sample)


@quick
@given(seeds, chains("flip", "crop", "pad"))
def test_masks_and_class_maps_are_what_the_pixels_show(labeled, seed, chain):
    seen = follow(labeled(seed), chain)
    assert torch.equal(seen.image[seen.class_ids] > 0, seen.masks)
    top = torch.full_like(seen.semantic, 255)
    for row, channel in enumerate(seen.image):
        top[channel > 0] = row
    assert torch.equal(seen.semantic, top)


def apart(sample):
    """Largest distance in pixels between boxes and the bounds of their masks, where those show anything."""
    rows = sample.masks.flatten(1).any(dim=1)
    bounds = masks_to_boxes(sample.masks[rows]) + torch.tensor([0, 0, 1, 1])
    return max((bounds - sample.boxes[rows]).abs().flatten().tolist(), default=0)


@quick
@given(seeds, chains("flip", "crop", "pad"))
def test_boxes_are_those_around_the_masks(labeled, seed, chain):
    assert apart(follow(labeled(seed), chain)) == 0


@quick
@given(seeds, chains("flip", "crop", "pad", "resize", "letterbox"))
def test_boxes_and_masks_agree_within_half_a_pixel_of_each_resize(labeled, seed, chain):
    seen, slack = labeled(seed, slopes=False), 0.0
    for kind, choice in chain:
        before, seen = seen, step(kind, choice, seen)
        if kind in {"resize", "letterbox"}:  # enlarging enlarges what an earlier step erred
            growth = [b / a for a, b in zip(before.size_wh, seen.size_wh, strict=True)]
            slack = slack * max(1, *growth) + 0.5
        assert apart(seen) <= slack + 0.001


@quick
@given(seeds, chains("flip", "crop", "pad", "resize", "letterbox"))
def test_a_center_in_space_stays_at_its_pixel(labeled, project, seed, chain):
    seen = follow(labeled(seed), chain)
    labeled_rows = seen.keypoints[:, 0, 2] > 0
    there = project(seen.translations_m, seen.intrinsics)[labeled_rows]
    torch.testing.assert_close(there, seen.keypoints[labeled_rows, 0, :2].double(), rtol=1e-4, atol=1e-3)
    assert (seen.keypoints[~labeled_rows, 0] == 0).all()


@quick
@given(seeds, chains("flip", "crop", "pad", "resize", "letterbox"))
def test_keypoints_stay_at_the_corners_of_boxes_that_are_not_cut(labeled, seed, chain):
    sample = labeled(seed)
    sample = replace(sample, masks=None)
    seen = follow(sample, chain)
    whole = (seen.keypoints[:, 1:, 2] > 0).all(dim=1)
    corners = seen.keypoints[whole][:, 1:, :2]
    boxes = seen.boxes[whole].reshape(-1, 2, 2)
    torch.testing.assert_close(corners.sort(dim=1).values, boxes, rtol=1e-4, atol=1e-3)


@quick
@given(seeds, chains("flip", "crop", "pad", "resize", "letterbox"))
def test_all_columns_speak_of_the_same_objects(labeled, seed, chain):
    sample = labeled(seed)
    seen = follow(sample, chain)
    rows = seen.class_ids
    assert torch.equal(seen.states, rows + 10)
    assert torch.equal(seen.iscrowd, rows == 1)
    assert torch.equal(seen.translations_m[:, 2], rows + 1.0)
    assert len(seen.masks) == len(seen.boxes) == len(seen.keypoints) == len(rows) == len(seen)
    mirrored = sum(kind == "flip" for kind, _ in chain) % 2
    expected = MIRROR @ sample.rotations[rows] @ MIRROR if mirrored else sample.rotations[rows]
    torch.testing.assert_close(seen.rotations, expected)
    assert (seen.key, seen.label, seen.size_wh) == (sample.key, 4, tuple(seen.masks.shape[:0:-1]))


@pytest.mark.slow
@given(seeds)
def test_a_mirrored_object_projects_to_the_mirrored_pixels(labeled, project, seed):
    sample = labeled(seed)
    mirrored = hflip(sample)
    surface = torch.from_numpy(np.random.default_rng(seed).uniform(-0.3, 0.3, (3, 3)))
    there = torch.einsum("nij,nj->ni", sample.rotations, surface) + sample.translations_m
    back = torch.einsum("nij,nj->ni", mirrored.rotations, surface @ MIRROR) + mirrored.translations_m
    expected = project(there, sample.intrinsics)
    expected[:, 0] = sample.size_wh[0] - expected[:, 0]
    torch.testing.assert_close(project(back, mirrored.intrinsics), expected)


def torchvisions(sample, change):
    """Boxes and masks as torchvision's own kernels change them."""
    size_hw = sample.size_wh[::-1]
    boxes = tv_tensors.BoundingBoxes(sample.boxes, format="XYXY", canvas_size=size_hw)
    return change(boxes).as_subclass(torch.Tensor), change(tv_tensors.Mask(sample.masks)).as_subclass(
        torch.Tensor
    )


@quick
@given(seeds, margins, sizes)
def test_torchvision_changes_boxes_and_masks_in_the_same_way(labeled, seed, sides, size):
    sample = labeled(seed)
    nearest = InterpolationMode.NEAREST_EXACT

    def resized(labels):
        if isinstance(labels, tv_tensors.Mask):
            plain = labels.as_subclass(torch.Tensor).to(torch.uint8)
            return functional.resize(plain, list(size[::-1]), interpolation=nearest).bool()
        return functional.resize(labels, list(size[::-1]))

    for ours, theirs in [
        (hflip(sample), functional.horizontal_flip),
        (pad(sample, *sides), lambda labels: functional.pad(labels, list(sides))),
        (resize(sample, size), resized),
    ]:
        boxes, masks = torchvisions(sample, theirs)
        torch.testing.assert_close(ours.boxes, boxes)
        assert torch.equal(ours.masks, masks)


@quick
@given(seeds, seeds)
def test_torchvision_crops_to_the_same_boxes(labeled, seed, place):
    sample = labeled(seed)
    x1, y1, x2, y2 = window(place, sample.size_wh)
    boxes, masks = torchvisions(sample, lambda labels: functional.crop(labels, y1, x1, y2 - y1, x2 - x1))
    whole = crop(replace(sample, masks=None), (x1, y1, x2, y2), min_share=0)
    some = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    assert torch.equal(whole.boxes, boxes[some])
    assert torch.equal(whole.class_ids, sample.class_ids[some])
    assert torch.equal(crop(sample, (x1, y1, x2, y2), min_share=0).masks, masks[masks.flatten(1).any(1)])


@quick
@given(seeds, sizes)
def test_pixels_are_resized_as_torchvision_does(labeled, seed, size):
    sample = labeled(seed)
    expected = functional.resize(sample.image, list(size[::-1]), antialias=True)
    assert torch.equal(resize(sample, size).image, expected)


@pytest.mark.parametrize(("x", "left"), [(7, 1), (8, 0)])
def test_an_object_of_which_too_little_is_left_is_gone(x, left, labeled):
    sample = take(labeled(0, (20, 20)), torch.tensor([0]))
    sample = replace(sample, boxes=torch.tensor([[0.0, 0.0, 10.0, 10.0]]), masks=None)
    assert len(crop(sample, (x, 0, 20, 20))) == left
    assert len(crop(sample, (x, 0, 20, 20), min_share=0.1)) == 1


def test_a_cut_box_shrinks_to_what_is_left_of_its_mask(labeled):
    sample = take(labeled(0, (20, 20)), torch.tensor([0]))
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, :10, :2] = True  # an L: a thin upright, and a foot to the right
    mask[0, 8:10, :10] = True
    sample = replace(sample, boxes=torch.tensor([[0.0, 0.0, 10.0, 10.0]]), masks=mask)
    assert crop(sample, (4, 0, 20, 20)).boxes.tolist() == [[0, 8, 6, 10]]
    assert crop(sample, (0, 0, 20, 20)).boxes.tolist() == [[0, 0, 10, 10]]
    assert len(crop(sample, (4, 0, 20, 8))) == 0
    without = replace(sample, masks=torch.zeros_like(mask))
    assert crop(without, (4, 0, 20, 20)).boxes.tolist() == [[0, 0, 6, 10]]


@pytest.mark.parametrize("xyxy", [(0, 0, 31, 24), (-1, 0, 5, 5), (5, 5, 5, 9), (9, 5, 6, 9)])
def test_a_window_outside_the_image_is_refused(xyxy, labeled):
    with pytest.raises(ValueError, match="not inside"):
        crop(labeled(0), xyxy)


def test_letterboxes_keep_the_shape_and_fill_with_gray(labeled):
    boxed = letterbox(labeled(1, (30, 15)), (40, 40))
    assert boxed.size_wh == (40, 40)
    assert (boxed.image[:, :10] == 114).all()
    assert (boxed.image[:, 30:] == 114).all()
    assert boxed.intrinsics.tolist() == pytest.approx([55 * 4 / 3, 50 * 4 / 3, 14 * 4 / 3, 11 * 4 / 3 + 10])
    corner = letterbox(labeled(1, (30, 15)), (40, 40), centered=False)
    assert (corner.image[:, 20:] == 114).all()
    assert (corner.semantic[20:] == 255).all()


@quick
@given(seeds, sizes)
def test_a_canvas_of_any_size_can_be_filled(labeled, seed, size):
    placed = place_at_random(labeled(seed), size, np.random.default_rng(seed))
    assert placed.size_wh == size
    assert torch.equal(placed.image[placed.class_ids] == 255, placed.masks)


@quick
@given(chains("flip", "crop", "pad", "resize", "letterbox"))
def test_images_without_objects_and_without_other_labels_go_through(labeled, chain):
    empty = take(labeled(0), torch.zeros(3, dtype=torch.bool))
    assert len(follow(empty, chain).masks) == 0
    nothing = dict.fromkeys(
        ["masks", "keypoints", "states", "rotations", "translations_m", "intrinsics", "semantic"]
    )
    seen = follow(replace(labeled(0), **nothing), chain)
    assert all(getattr(seen, name) is None for name in nothing)


@quick
@given(seeds, chains("flip", "crop", "pad", "resize", "letterbox"))
def test_the_sample_itself_is_never_changed(labeled, assert_equal, seed, chain):
    sample = labeled(seed)
    follow(sample, chain)
    assert_equal(sample, labeled(seed), atol=0)
