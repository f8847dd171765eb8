"""What is drawn on the source image is where ``undo`` puts what is seen on the derived one."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import (
    Crop,
    HorizontalFlip,
    QuarterTurns,
    Resize,
    VerticalFlip,
    mirrored_pairs,
)
from anydet.geometry import masks, rotations
from anydet.types import ImagePredictions, Intrinsics, Poses

WIDTH, HEIGHT = 48, 36
FLIPS = {"hflip": HorizontalFlip(), "vflip": VerticalFlip()}
MOVES = {**FLIPS, "rot90": QuarterTurns(1), "rot180": QuarterTurns(2), "rot270": QuarterTurns(3)}


@st.composite
def chains(draw, kinds=(*MOVES, "resize", "crop")):
    """A record and up to four transforms on it; resizes are whole multiples, so that edges stay edges."""
    source = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    record = Record("a", ImageArray(source), camera=Intrinsics(40, 45, 20, 17))
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=4)):
        width, height = record.size_wh
        if kind in MOVES:
            record = record.derive(MOVES[kind])
        elif kind == "resize":
            scale = draw(st.sampled_from([(1, 2), (2, 1), (2, 3)]))
            record = record.derive(Resize((width * scale[0], height * scale[1])))
        else:
            x = draw(st.integers(0, width // 3))
            y = draw(st.integers(0, height // 3))
            size = (draw(st.integers(width // 2, width - x)), draw(st.integers(height // 2, height - y)))
            record = record.derive(Crop(x, y, size))
    return record


@st.composite
def rectangles(draw):
    """x1, y1, x2, y2 of whole pixels in the source image."""
    x1, y1 = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
    return x1, y1, draw(st.integers(x1 + 1, WIDTH)), draw(st.integers(y1 + 1, HEIGHT))


@st.composite
def any_transforms(draw, record):
    """The record with up to three more transforms, of any size at all."""
    for kind in draw(st.lists(st.sampled_from([*MOVES, "resize", "crop"]), max_size=3)):
        width, height = record.size_wh
        if kind in MOVES:
            record = record.derive(MOVES[kind])
        elif kind == "resize":
            record = record.derive(Resize((draw(st.integers(1, 300)), draw(st.integers(1, 300)))))
        else:
            x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            size = (draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))
            record = record.derive(Crop(x, y, size))
    return record


def box_seen(box, record, derived):
    """A box on the image of a record, as it stands on that of a record derived from it."""
    width, height = record.size_wh
    x1, y1, x2, y2 = box
    for transform in derived.transforms[len(record.transforms) :]:
        if isinstance(transform, HorizontalFlip):
            x1, x2 = width - x2, width - x1
        elif isinstance(transform, VerticalFlip):
            y1, y2 = height - y2, height - y1
        elif isinstance(transform, QuarterTurns):
            for side, _ in islice(cycle([(width, height), (height, width)]), transform.turns):
                x1, y1, x2, y2 = y1, side - x2, y2, side - x1
        elif isinstance(transform, Crop):
            x1, x2, y1, y2 = (
                x1 - transform.x_px,
                x2 - transform.x_px,
                y1 - transform.y_px,
                y2 - transform.y_px,
            )
        else:
            across, down = transform.size_wh[0] / width, transform.size_wh[1] / height
            x1, x2, y1, y2 = x1 * across, x2 * across, y1 * down, y2 * down
        width, height = transform.size((width, height))
    return [x1, y1, x2, y2]


def seen(record, rectangle):
    """Mask of a rectangle painted on the source and looked at through the record; pixels are exact."""
    x1, y1, x2, y2 = rectangle
    painted = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    painted[y1:y2, x1:x2] = 255
    for transform in record.transforms:
        if isinstance(transform, Resize):  # enlarge without blur, as the transform's filter blurs edges
            ratio_y, ratio_x = (b // a for a, b in zip(painted.shape, transform.size_wh[::-1], strict=False))
            painted = painted.repeat(ratio_y, axis=0).repeat(ratio_x, axis=1)
        else:
            painted = transform.image(painted)
    return painted[..., 0] > 127


def detection(record, mask, **columns):
    ys, xs = np.nonzero(mask)
    box = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]
    return ImagePredictions(
        "a", record.size_wh, np.array(box, np.float64), np.ones(1), np.zeros(1, np.int64), **columns
    )


def source_window(record):
    """Mask of the source pixels that the record still shows."""
    everything = np.ones((record.size_wh[1], record.size_wh[0]), np.bool_)
    whole = ImagePredictions.empty("a", record.size_wh)
    one = ImagePredictions(
        "a",
        whole.size_wh,
        np.zeros((1, 4)),
        np.ones(1),
        np.zeros(1, np.int64),
        masks=(masks.encode(everything),),
    )
    return masks.decode(record.undo(one).masks[0])


@settings(max_examples=60, deadline=None)
@given(chains(), rectangles())
def test_boxes_and_masks_come_back_to_what_was_painted(record, rectangle):
    mask = seen(record, rectangle)
    assert mask.shape == record.size_wh[::-1]
    if not mask.any():
        return
    back = record.undo(detection(record, mask, masks=(masks.encode(mask),)))
    x1, y1, x2, y2 = rectangle
    painted = np.zeros((HEIGHT, WIDTH), np.bool_)
    painted[y1:y2, x1:x2] = True
    assert back.size_wh == (WIDTH, HEIGHT)
    whole_pixels = not any(isinstance(t, Crop) for t in record.transforms)
    if whole_pixels:  # a crop after a resize may cut a source pixel in two
        assert np.array_equal(masks.decode(back.masks[0]), painted)
        np.testing.assert_allclose(back.boxes_xyxy_px[0], rectangle, atol=1e-9)
    else:
        visible = painted & source_window(record)
        difference = masks.decode(back.masks[0]) ^ visible
        assert not difference.any()
        ys, xs = np.nonzero(visible)
        if len(xs):
            tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_allclose(back.boxes_xyxy_px[0], tight, atol=1)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_results_come_back_to_the_record_that_a_view_derived_from(data):
    """Also where that record is a derived one itself, as those of a corrupted or sliced data set are."""
    source = Record("a", ImageArray(np.zeros((75, 101, 3), np.uint8)), camera=Intrinsics(40, 45, 20, 17))
    record = data.draw(any_transforms(source))
    derived = data.draw(any_transforms(record))
    box = [3.25, 4.5, 20.75, 31.0]
    found = ImagePredictions(
        "a", derived.size_wh, np.array([box_seen(box, record, derived)]), np.ones(1), np.zeros(1, np.int64)
    )
    back = derived.undo(found, to=record)
    assert back.size_wh == record.size_wh
    assert back.boxes_xyxy_px[0] == pytest.approx(box, abs=1e-6)
    assert back.intrinsics in {None, record.intrinsics}


def test_a_half_size_image_comes_back_whole_although_its_size_was_rounded():
    record = Record("a", ImageArray(np.zeros((75, 101, 3), np.uint8)))
    derived = record.derive(Resize((50, 38)))
    assert derived.undo(ImagePredictions.empty("a", (50, 38)), to=record).size_wh == (101, 75)


@settings(max_examples=60, deadline=None)
@given(chains(), st.integers(0, 2**32 - 1))
def test_keypoints_follow_the_boxes_corners(record, seed):
    corners = np.random.default_rng(seed).random((3, 2, 2)) * 20
    corners.sort(axis=1)
    keypoints = np.concatenate([corners, np.full((3, 2, 1), 0.7)], axis=2)
    predictions = ImagePredictions(
        "a", record.size_wh, corners.reshape(3, 4), np.ones(3), np.zeros(3, np.int64), keypoints=keypoints
    )
    back = record.undo(predictions)
    found = np.sort(back.keypoints[..., :2], axis=1).reshape(3, 4)
    np.testing.assert_allclose(found, back.boxes_xyxy_px, atol=1e-9)
    assert (back.keypoints[..., 2] == 0.7).all()


@settings(max_examples=60, deadline=None)
@given(chains(), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 9))
def test_cameras_see_a_point_where_undo_brings_it_from(record, x, y, z):
    """Project a 3-D point with the derived camera; undoing the pixel gives the source camera's projection."""
    camera, derived = record.camera, record.intrinsics
    u, v = np.array([x, y]) @ axes_of(record).T
    there = np.array([u * derived.fx / z + derived.cx, v * derived.fy / z + derived.cy])
    keypoints = np.array([[[*there, 1.0]]])
    predictions = ImagePredictions(
        "a", record.size_wh, np.zeros((1, 4)), np.ones(1), np.zeros(1, np.int64), keypoints=keypoints
    )
    here = record.undo(predictions).keypoints[0, 0, :2]
    np.testing.assert_allclose(
        here, [x * camera.fx / z + camera.cx, y * camera.fy / z + camera.cy], atol=1e-6
    )


def axes_of(record):
    """(2, 2) where the source's x and y go on the record's image."""
    axes = np.eye(2)
    for transform in record.transforms:
        if transform in FLIPS.values():
            axes = np.diag([-1, 1] if isinstance(transform, HorizontalFlip) else [1, -1]) @ axes
        for _ in range(transform.turns if isinstance(transform, QuarterTurns) else 0):
            axes = np.array([[0, 1], [-1, 0]]) @ axes
    return axes


@settings(max_examples=60, deadline=None)
@given(chains(), st.integers(0, 2**32 - 1))
def test_poses_come_back_bit_for_bit_and_from_a_mirror_without_rotations(record, seed):
    rng = np.random.default_rng(seed)
    matrices = rotations.rot6d_to_matrix(rng.normal(size=(2, 6)))
    translations = rng.normal(size=(2, 3))
    axes = np.eye(3)
    axes[:2, :2] = axes_of(record)
    turned = axes @ matrices
    poses = Poses(
        rot6d=rotations.matrix_to_rot6d(turned),
        rotations=turned,
        translations_m=translations @ axes.T,
        log_z=np.ones(2),
        log_sigma_rot=np.zeros(2),
    )
    predictions = ImagePredictions(
        "a", record.size_wh, np.zeros((2, 4)), np.ones(2), np.zeros(2, np.int64), poses=poses
    )
    back = record.undo(predictions).poses
    assert np.array_equal(back.translations_m, translations)
    assert (back.log_z == 1).all()
    if any(transform in FLIPS.values() for transform in record.transforms):
        assert (back.rotations, back.rot6d, back.log_sigma_rot) == (None, None, None)
    else:
        assert np.array_equal(back.rotations, matrices)
        assert np.array_equal(back.rot6d, rotations.matrix_to_rot6d(matrices))


@pytest.mark.parametrize("flip", FLIPS.values())
def test_poses_that_are_rotations_alone_are_none_in_a_mirror(flip):
    record = Record("a", ImageArray(np.zeros((10, 20, 3), np.uint8))).derive(flip)
    poses = Poses(rotations=np.eye(3)[None])
    predictions = ImagePredictions("a", (20, 10), np.zeros((1, 4)), np.ones(1), np.zeros(1, int), poses=poses)
    assert record.undo(predictions).poses is None


def test_mirrored_keypoints_swap_names_and_visibility():
    record = Record("a", ImageArray(np.zeros((10, 20, 3), np.uint8))).derive(HorizontalFlip(((0, 1),)))
    predictions = ImagePredictions(
        "a",
        (20, 10),
        np.zeros((1, 4)),
        np.ones(1),
        np.zeros(1, np.int64),
        keypoints=np.array([[[1.0, 2, 0.1], [3, 4, 0.2], [5, 6, 0.3]]]),
        keypoint_visibility=np.array([[0, 1, 2]]),
    )
    back = record.undo(predictions)
    np.testing.assert_allclose(back.keypoints[0], [[17, 4, 0.2], [19, 2, 0.1], [15, 6, 0.3]])
    assert back.keypoint_visibility.tolist() == [[1, 0, 2]]


def test_offsets_of_poses_scale_and_mirror_with_the_image():
    record = Record("a", ImageArray(np.zeros((10, 20, 3), np.uint8)))
    poses = Poses(offsets_px=np.array([[4.0, 6.0]]), k_delta=np.array([[0.1, 0.2, 3.0, 5.0]]))
    predictions = ImagePredictions("a", (40, 30), np.zeros((1, 4)), np.ones(1), np.zeros(1, int), poses=poses)
    assert record.derive(Resize((40, 30))).undo(predictions).poses.offsets_px.tolist() == [[2, 2]]
    mirrored = record.derive(HorizontalFlip()).undo(predictions).poses
    assert mirrored.offsets_px.tolist() == [[-4, 6]]
    assert mirrored.k_delta.tolist() == [[0.1, 0.2, -3, 5]]
    turned = record.derive(QuarterTurns(1)).undo(predictions).poses
    assert turned.offsets_px.tolist() == [[-6, 4]]
    assert turned.k_delta.tolist() == [[0.2, 0.1, -5, 3]]


def test_principal_point_corrections_scale_with_the_image():
    record = Record("a", ImageArray(np.zeros((10, 20, 3), np.uint8))).derive(Resize((40, 30)))
    poses = Poses(k_delta=np.array([[0.1, 0.2, 4.0, 6.0]]))
    predictions = ImagePredictions("a", (40, 30), np.zeros((1, 4)), np.ones(1), np.zeros(1, int), poses=poses)
    assert record.undo(predictions).poses.k_delta.tolist() == [[0.1, 0.2, 2.0, 2.0]]


def test_semantic_masks_come_back_whole():
    record = Record("a", ImageArray(np.zeros((10, 20, 3), np.uint8))).derive(Crop(5, 2, (10, 6)))
    mask = np.zeros((6, 10), np.bool_)
    mask[1:3, 4:] = True
    predictions = ImagePredictions.empty("a", (10, 6))
    predictions = ImagePredictions(
        "a",
        (10, 6),
        predictions.boxes_xyxy_px,
        predictions.scores,
        predictions.class_ids,
        semantic_mask={3: masks.encode(mask)},
    )
    back = masks.decode(record.undo(predictions).semantic_mask[3])
    assert back.shape == (10, 20)
    assert np.array_equal(back[2:8, 5:15], mask)
    assert back.sum() == mask.sum()


@pytest.mark.parametrize(
    ("transform", "size"),
    [
        (Resize((7, 5)), (7, 5)),
        (Crop(1, 2, (3, 4)), (3, 4)),
        (HorizontalFlip(), (20, 10)),
        (VerticalFlip(), (20, 10)),
        (QuarterTurns(1), (10, 20)),
        (QuarterTurns(2), (20, 10)),
    ],
)
def test_sizes_are_those_of_the_pixels(transform, size):
    image = transform.image(np.zeros((10, 20, 3), np.uint8))
    assert (image.shape[1], image.shape[0]) == transform.size((20, 10)) == size


def test_left_and_right_keypoints_are_found_by_name():
    assert mirrored_pairs(("nose", "Left_eye", "right_eye", "left_ear", "tail_right")) == ((1, 2),)
    assert mirrored_pairs(()) == ()


def test_a_crop_of_full_width_shares_no_memory_with_its_source():
    source = np.zeros((10, 20, 3), np.uint8)
    assert not np.shares_memory(Crop(0, 0, (20, 5)).image(source), source)
