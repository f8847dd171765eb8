"""Parity of files: what passes, what fails, and what the result says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

import anydet
from anydet.columns import concatenate
from anydet.crosscheck.histograms import histogram
from anydet.crosscheck.quantities import Quantity
from anydet.crosscheck.tolerances import Tolerances
from anydet.errors import ContractError, OptionError
from anydet.geometry import masks
from anydet.types import ImagePredictions

helpers = import_module("core.tests.crosscheck.conftest")
with_row = helpers.with_row


@pytest.fixture
def verdict(file_of, results):
    """Parity of the results and of what ``change`` makes of them."""

    def of(change, meta_a=None, meta_b=None, **more):
        a = file_of("a.json", results, **(meta_a or {}))
        b = file_of("b.json", change(list(results)), **(meta_b or {}))
        return anydet.parity(a, b, **more)

    return of


def first(change):
    """Change the first image alone."""
    return lambda results: [change(results[0]), *results[1:]]


def test_a_file_is_the_same_as_itself(verdict):
    parity = verdict(lambda results: results)
    assert parity.ok
    assert parity.reason == "parity holds: 15 pairs on 3 images within tolerances"
    names = {one.name for one in (*parity.quantities, *parity.image_quantities)}
    assert names == {
        *("box", "score", "state", "state scores", "mask", "keypoint", "keypoint score"),
        *("rotation", "translation", "depth", "image class", "image class score", "semantic mask", "camera"),
    }
    assert all(one.values.max() == 0 for one in parity.quantities)
    json.dumps(parity.as_dict(), allow_nan=False)


def test_the_order_of_images_and_detections_does_not_matter(verdict, results):
    twins = [concatenate([one, one.take(np.array([0, 0]))]) for one in results]

    def shuffled(results):
        rng = np.random.default_rng(0)
        return [one.take(rng.permutation(len(one))) for one in reversed(results)]

    assert verdict(shuffled).ok
    assert verdict(lambda _: shuffled(twins), resamples=0).reason.startswith(
        "parity fails: 6 detections only in "
    )


def test_twins_with_other_states_find_their_partners(file_of, results):
    one = results[0].take(np.array([0, 0]))
    one = replace(one, states=np.array([0, 1]), state_scores=None)
    paths = file_of("a.json", [one]), file_of("b.json", [one.take(np.array([1, 0]))])
    assert anydet.parity(*paths).ok


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: with_row(r, 1, boxes_xyxy_px=r.boxes_xyxy_px[1] + [0.2, 0, 0.2, 0]), "box up to 0.2 px"),
        (lambda r: with_row(r, 1, scores=r.scores[1] + 0.01), "score up to 0.01"),
        (lambda r: with_row(r, 1, states=(r.states[1] + 1) % 3), "state differs in 1"),
        (lambda r: with_row(r, 1, state_scores=[0.2, 0.3, 0.5]), "state scores up to 0"),
        (lambda r: with_row(r, 1, keypoints=r.keypoints[1] + [0.3, 0.4, 0]), "keypoint up to 0.5 px"),
        (lambda r: replace(r, keypoints=None), "keypoint on one side alone in 5"),
        (lambda r: replace(r, masks=None), "mask on one side alone in 5"),
        (lambda r: replace(r, masks=(r.masks[1], *r.masks[1:])), "mask up to"),
        (
            lambda r: replace(
                r, poses=replace(r.poses, translations_m=r.poses.translations_m + np.array([0, 0, 0.01]))
            ),
            "translation up to 0.01 m",
        ),
        (lambda r: replace(r, poses=replace(r.poses, log_z=r.poses.log_z + 0.1)), "depth up to 0.1"),
        (lambda r: replace(r, poses=replace(r.poses, rotations=r.poses.rotations[::-1])), "rotation up to"),
        (lambda r: replace(r, classification=replace(r.classification, class_id=2)), "image class differs"),
        (lambda r: replace(r, semantic_mask={0: r.masks[1], 1: r.masks[1]}), "semantic mask up to"),
        (lambda r: replace(r, classification=None), "image class on one side alone"),
    ],
)
def test_whatever_is_beyond_its_tolerance_fails_and_is_named(verdict, change, reason):
    parity = verdict(first(change))
    assert not parity.ok
    assert reason in parity.reason
    assert parity.joined.a.images[parity.worst_images(1)[0]] == "0.jpg"


def test_a_moved_an_extra_and_a_missing_detection_each_fail(verdict):
    moved = verdict(first(lambda r: with_row(r, 1, boxes_xyxy_px=[0, 0, 5, 5])))
    extra = verdict(first(lambda r: concatenate([r, with_row(r.take(np.array([1])), 0, scores=0.55)])))
    missing = verdict(first(lambda r: r.take(np.array([0, 1, 2, 3]))))
    assert [one.ok for one in (moved, extra, missing)] == [False] * 3
    assert (len(moved.only_a), len(moved.only_b)) == (1, 1)
    assert (len(extra.only_a), len(extra.only_b)) == (0, 1)
    assert (len(missing.only_a), len(missing.only_b)) == (1, 0)
    assert "1 detection only in" in missing.reason
    other = verdict(first(lambda r: with_row(r, 1, class_ids=(r.class_ids[1] + 1) % 3)))
    assert (len(other.only_a), len(other.only_b)) == (1, 1)


def test_tolerances_are_the_largest_differences_that_pass(verdict):
    change = first(
        lambda r: with_row(r, 1, boxes_xyxy_px=r.boxes_xyxy_px[1] + 0.3, scores=r.scores[1] + 0.02)
    )
    assert verdict(change, tolerances=Tolerances(box_px=0.3, score=0.02)).ok
    assert not verdict(change, tolerances=Tolerances(box_px=0.29, score=0.02)).ok
    assert not verdict(change, tolerances=Tolerances(box_px=0.3, score=0.019)).ok
    with pytest.raises(OptionError, match="tolerance box_px"):
        Tolerances(box_px=-1)


EXPORT = {"export_settings": {"score_threshold": 0.05, "max_detections": 100}}


def at_scores(key, scores):
    count = len(scores)
    boxes = np.arange(count)[:, None] * 20.0 + [0, 0, 10, 10]
    return ImagePredictions(key, (1000, 1000), boxes, np.array(scores), np.zeros(count, np.int64))


def test_a_detection_at_the_threshold_of_the_other_file_may_lack_a_partner(file_of):
    both, alone = [at_scores("0.jpg", [0.5])], [at_scores("0.jpg", [0.5, 0.0505])]
    parity = anydet.parity(file_of("a.json", both, **EXPORT), file_of("b.json", alone, **EXPORT))
    assert parity.ok
    assert len(parity.excused_b) == 1
    assert "1 detection without partner at the score threshold" in parity.reason
    written = parity.as_dict()
    assert written["settings"]["score_threshold"] == 0.05
    assert written["settings"]["score_band"] == 0.001
    assert written["counts"]["excused"] == {"a": 0, "b": 1}
    strict = anydet.parity(parity.joined.names[0], parity.joined.names[1], score_band=0.0)
    assert not strict.ok


def test_without_a_stated_threshold_nothing_is_excused(file_of):
    both, alone = [at_scores("0.jpg", [0.5])], [at_scores("0.jpg", [0.5, 0.0005])]
    assert not anydet.parity(file_of("a.json", both), file_of("b.json", alone)).ok


def test_the_last_of_a_full_image_may_be_another_one(file_of):
    meta = {"export_settings": {"score_threshold": 0.001, "max_detections": 2}}
    a = at_scores("0.jpg", [0.5, 0.3000, 0.0])
    b = at_scores("0.jpg", [0.5, 0.0, 0.3004])
    kept = [one.take(np.flatnonzero(one.scores > 0)) for one in (a, b)]
    parity = anydet.parity(file_of("a.json", kept[:1], **meta), file_of("b.json", kept[1:], **meta))
    assert parity.ok
    assert (len(parity.excused_a), len(parity.excused_b)) == (1, 1)
    roomy = {"export_settings": {"score_threshold": 0.001, "max_detections": 3}}
    assert not anydet.parity(file_of("a.json", kept[:1], **roomy), file_of("b.json", kept[1:], **roomy)).ok


def test_a_pair_across_the_threshold_is_compared(file_of):
    paths = file_of("a.json", [at_scores("0.jpg", [0.31])]), file_of("b.json", [at_scores("0.jpg", [0.29])])
    assert "score up to 0.02" in anydet.parity(*paths, score_threshold=0.3).reason
    assert anydet.parity(*paths, score_threshold=0.4).below == 1


def test_images_of_one_file_alone_are_an_error_unless_it_is_said_what_they_are(file_of, results):
    paths = file_of("a.json", results), file_of("b.json", results[:2])
    with pytest.raises(ContractError, match=r"no result of 1 image .* 2\.jpg"):
        anydet.parity(*paths)
    assert anydet.parity(*paths, missing="skip").ok
    assert "5 detections only in" in anydet.parity(*paths, missing="empty").reason


def test_classes_are_joined_by_name(file_of, results):
    bare = {"classification": None, "semantic_mask": None}
    turned = [replace(one, class_ids=2 - one.class_ids, **bare) for one in results]
    plain = [replace(one, **bare) for one in results]
    names = ["ant", "bee", "cat"]
    a = file_of("a.json", plain, classes=names)
    assert anydet.parity(a, file_of("b.json", turned, classes=names[::-1])).ok
    assert not anydet.parity(a, file_of("b.json", turned, classes=names)).ok


def test_masks_differ_by_one_minus_their_iou(file_of, results):
    painted = np.zeros((80, 100), np.bool_)
    painted[10:20, 10:20] = True
    whole = masks.encode(painted)
    painted[10:12, 10:20] = False
    one, other = (
        replace(results[0].take(np.array([0])), masks=(mask,)) for mask in (whole, masks.encode(painted))
    )
    paths = file_of("a.json", [one]), file_of("b.json", [other])
    parity = anydet.parity(*paths, tolerances=Tolerances(mask=0.19))
    assert next(q for q in parity.quantities if q.name == "mask").values == pytest.approx([0.2])
    assert not parity.ok
    assert anydet.parity(*paths, tolerances=Tolerances(mask=0.21)).ok


def test_histograms_count_every_pair_once(verdict):
    parity = verdict(first(lambda r: replace(r, scores=r.scores + np.array([0, 1e-5, 1e-3, 0.02, 0.05]))))
    figure = next(f for f in parity.figures if f.name == "score-difference")
    assert sum(bar.value for bar in figure.bars) == 15
    within = sum(bar.value for bar in figure.bars if bar.secondary)
    assert within == 13
    assert figure.bars[0].name == "0"


def test_nothing_that_was_compared_is_no_parity(file_of, results):
    bare = [replace(ImagePredictions.empty(one.image, one.size_wh)) for one in results]
    paths = file_of("a.json", bare), file_of("b.json", bare)
    assert "nothing was compared, neither side has a detection" in anydet.parity(*paths).reason
    scored = [at_scores("0.jpg", [0.2])]
    paths = file_of("c.json", scored), file_of("d.json", scored)
    parity = anydet.parity(*paths, score_threshold=0.9)
    assert not parity.ok
    assert "1 and 1 detections are all below the score threshold of 0.9" in parity.reason


def test_what_one_side_alone_states_is_no_large_difference():
    values = np.array([0.0, 0.002, np.inf, np.nan, np.inf])
    found = histogram(Quantity("mask", "", 0.01, values))
    assert found.labels[-1] == "on one side alone"
    assert found.counts == (1, *found.counts[1:-1], 2)
    assert sum(found.counts) == 4
    assert not any(label.startswith(">") for label in found.labels)
    assert found.lines()[-1].endswith("x")
