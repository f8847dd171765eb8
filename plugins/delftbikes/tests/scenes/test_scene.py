from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.data.dataset.part_states import PART_STATES
from anydet.evaluation.confusion import Confusion
from anydet_delftbikes.parts import PARTS, STATES
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_delftbikes.scenes.parts import BEHIND_FRAME, DRAWINGS, ON_STEER
from anydet_delftbikes.scenes.scene import (
    ABSENT,
    DAMAGED,
    HIDDEN,
    INTACT,
    OCCLUDED,
    SEEN,
    build_scene,
    paint_scene,
)
from anydet_delftbikes.scenes.strokes import coverage, look

SCENES = [build_scene(5, index) for index in range(40)]
WHOLE = replace(
    build_scene(5, 0, (200, 150)),
    drawn=dict.fromkeys(PARTS, INTACT),
    occluders=(),
    hidden=frozenset(),
    unboxed=frozenset(),
)
"""A bicycle of which every part is there, whole and seen."""


@cache
def paint(scene):
    return paint_scene(scene, np.random.default_rng(0)).astype(int)


def drawn_as(scene, part, condition):
    """The same bicycle with one part in another condition."""
    return replace(scene, drawn={**scene.drawn, part: condition})


def box_of(scene, part):
    return scene.labels().boxes_xywh_px[PARTS.index(part)].astype(int)


def changed(one, other):
    """Pixels that differ by more than rounding."""
    return np.abs(paint(one) - paint(other)).max(axis=2) > 8


def inside(mask, box, slack=2):
    """How many of the set pixels are in a box, and how many outside."""
    x, y, width, height = box
    window = mask[max(0, y - slack) : y + height + slack, max(0, x - slack) : x + width + slack]
    return int(window.sum()), int(mask.sum() - window.sum())


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_inside_its_box_and_nowhere_when_absent(part):
    there = changed(WHOLE, drawn_as(WHOLE, part, ABSENT))
    box = box_of(WHOLE, part)
    within, without = inside(there, box)
    assert within > 20
    assert without == 0 or part == "steer"  # whose handles stay in the picture, and are drawn over it
    rows, columns = np.nonzero(there)
    if part not in BEHIND_FRAME and part not in {"steer", "chain", "back_hand_break", "front_handbreak"}:
        assert np.ptp(columns) + 1 >= 0.7 * box[2]
        assert np.ptp(rows) + 1 >= 0.7 * box[3]


@pytest.mark.parametrize("part", PARTS)
def test_damage_shows_within_the_box_of_the_damaged_part(part):
    broken = drawn_as(WHOLE, part, DAMAGED)
    there = changed(WHOLE, broken)
    assert there.sum() > 15
    both = np.array([box_of(WHOLE, part), box_of(broken, part)])
    if part == "steer":  # what is mounted on it goes with it
        both = np.array([box_of(scene, other) for scene in (WHOLE, broken) for other in (*ON_STEER, part)])
    low, high = both[:, :2].min(axis=0), (both[:, :2] + both[:, 2:]).max(axis=0)
    assert inside(there, (*low, *(high - low)))[1] == 0


@pytest.mark.parametrize("part", PARTS)
def test_boxes_are_tight_around_what_is_drawn(part):
    mask = np.asarray(coverage(WHOLE.strokes(part), WHOLE.size_wh)) > 0
    rows, columns = np.nonzero(mask)
    x, y, width, height = box_of(WHOLE, part)
    assert abs(columns.min() - x) <= 3
    assert abs(columns.max() + 1 - x - width) <= 3
    assert abs(rows.min() - y) <= 3
    assert abs(rows.max() + 1 - y - height) <= 3


@pytest.mark.slow
def test_what_is_occluded_is_under_the_occluders_and_the_rest_does_not():
    for scene in SCENES:
        covered = np.asarray(coverage(scene.occluders, scene.size_wh)) > 0
        for part in PARTS:
            mask = np.asarray(coverage(scene.strokes(part), scene.size_wh)) > 0
            fraction = covered[mask].mean()
            assert fraction >= HIDDEN if scene.state(part) == OCCLUDED else fraction <= SEEN


def test_occluders_change_pixels_only_where_they_are():
    scene = next(scene for scene in SCENES if scene.occluders)
    there = changed(scene, replace(scene, occluders=()))
    covered = np.asarray(coverage(scene.occluders, scene.size_wh)) > 0
    near = np.pad(covered, 3)
    grown = np.any([np.roll(near, (a, b), (0, 1)) for a in range(-3, 4) for b in range(-3, 4)], axis=0)[
        3:-3, 3:-3
    ]
    assert not (there & ~grown).any()
    assert there[covered].mean() > 0.5


def test_boxes_are_in_the_image_and_are_large_enough_to_see():
    for scene in SCENES:
        boxes = scene.labels().boxes_xywh_px
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= scene.size_wh).all()
        assert boxes[:, 2:].min() >= 6


def test_states_are_shared_out_about_as_in_the_data_set():
    states = np.array([[scene.state(part) for part in PARTS] for scene in SCENES])
    fractions = np.bincount(states.ravel(), minlength=4) / states.size
    published = np.array([0.604, 0.061, 0.197, 0.137])
    assert np.abs(fractions - published).max() < 0.04
    assert all(len(np.unique(states[:, PARTS.index(part)])) >= 3 for part in PARTS)


def test_always_answering_intact_is_what_a_model_has_to_beat():
    states = np.array([scene.state(part) for scene in SCENES for part in PARTS])
    counts = np.zeros((4, 5), np.int64)
    counts[:, INTACT] = np.bincount(states, minlength=4)
    majority = Confusion(counts)
    assert majority.balanced_accuracy == 0.25
    assert 0.17 < majority.macro_f1 < 0.21


def test_most_absent_parts_have_a_box_and_the_others_count_for_presence():
    absent = sum(
        scene.drawn[part] == ABSENT and part not in scene.hidden for scene in SCENES for part in PARTS
    )
    unboxed = sum(len(scene.unboxed) for scene in SCENES)
    assert 0.1 < unboxed / absent < 0.3
    index = next(i for i, scene in enumerate(SCENES) if scene.unboxed)
    record = SyntheticBikes(40, 5)[index]
    assert len(record.labels) == len(PARTS) - len(SCENES[index].unboxed)
    assert all(record.extra[PART_STATES][part] == "absent" for part in SCENES[index].unboxed)


def test_nothing_is_mounted_on_a_steer_that_is_not_there():
    without = [scene for scene in SCENES if scene.drawn["steer"] == ABSENT]
    assert without
    assert all(scene.drawn[part] == ABSENT for scene in without for part in ON_STEER)


def test_bicycles_look_both_ways_and_have_frames_of_several_kinds():
    backs = [scene.strokes("back_wheel")[0].points[0, 0] for scene in SCENES]
    fronts = [scene.strokes("front_wheel")[0].points[0, 0] for scene in SCENES]
    assert {bool(a < b) for a, b in zip(backs, fronts, strict=True)} == {True, False}
    assert len({scene.bicycle.step for scene in SCENES}) == 3
    assert len({scene.bicycle.paint.frame for scene in SCENES}) > 30


@pytest.mark.slow
def test_a_bicycle_is_the_same_whatever_the_number_and_differs_by_seed_and_index():
    few, many = SyntheticBikes(3, 9, (80, 60)), SyntheticBikes(300, 9, (80, 60))
    assert np.array_equal(few[2].image(), many[2].image())
    assert few.keys == many.keys[:3]
    pictures = {SyntheticBikes(2, seed, (80, 60))[i].image().tobytes() for seed in (0, 1) for i in (0, 1)}
    assert len(pictures) == 4


def test_records_paint_on_access_and_survive_pickling():
    record = pickle.loads(pickle.dumps(SyntheticBikes(10, 5)))[3]
    assert len(pickle.dumps(record)) < 20_000
    assert np.array_equal(pickle.loads(pickle.dumps(record)).image(), record.image())
    assert record.size_wh == (320, 240)


@pytest.mark.slow
def test_ground_truth_is_that_of_the_records_and_names_states():
    dataset = SyntheticBikes(3, 5)
    truth = dataset.ground_truth(2)
    assert truth.images == dataset.keys[:2]
    assert truth.state_names == STATES
    assert truth.labels.states.tolist() == [*dataset[0].labels.states, *dataset[1].labels.states]
    assert SyntheticBikes(3, 5).fingerprint() == dataset.fingerprint() != SyntheticBikes(3, 6).fingerprint()


@pytest.mark.parametrize("size_wh", [(64, 48), (90, 200), (400, 300)])
def test_other_sizes_hold_the_whole_bicycle(size_wh):
    scene = build_scene(1, 1, size_wh)
    boxes = scene.labels().boxes_xywh_px
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= size_wh).all()
    assert paint(scene).shape == (size_wh[1], size_wh[0], 3)


@given(st.lists(st.floats(-0.2, 0.2), min_size=8, max_size=8))
def test_a_view_takes_corners_to_their_targets(shifts):
    source = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]])
    target = 100 * (source + np.reshape(shifts, (4, 2)))
    found = np.column_stack([source, np.ones(4)]) @ look(source, target).homography.T
    assert np.allclose(found[:, :2] / found[:, 2:], target, atol=1e-6)


def test_every_part_is_drawn():
    assert set(DRAWINGS) == set(PARTS)
