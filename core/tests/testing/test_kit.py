"""The kit around the checks: outcomes, comparison, and the pytest class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.plugins.adapter import Adapter
from anydet.plugins.specs import AdapterSpec
from anydet.testing import CHECKS, Subject, run_check, run_checks
from anydet.testing.comparison import Tolerance, first_difference
from anydet.types import AdapterSettings, ImagePredictions, Poses

pytest_plugins = ["pytester"]

SPEC = AdapterSpec("silent", "nowhere:Silent")


class Silent(Adapter):
    """Finds nothing in any image."""

    def predict(self, records):
        for record in records:
            height, width = record.image().shape[:2]
            yield ImagePredictions.empty(record.key, (width, height))


class Exits(Adapter):
    def predict(self, records):
        raise SystemExit("no license")


def subject(adapter, folder):
    return Subject(SPEC, adapter, AdapterSettings(), folder)


def test_a_failure_an_exit_and_a_skip_become_outcomes_with_a_reason(tmp_path):
    failed = run_check("one_result_per_record", subject(Exits, tmp_path))
    assert (failed.state, failed.reason) == ("FAIL", "SystemExit: no license")
    assert failed.holds == "Every record gets one result, those without detections too."
    undecided = run_check("prediction_is_repeatable", subject(Silent, tmp_path))
    assert undecided.state == "skip"
    assert "finds nothing" in undecided.reason


def test_all_checks_run_in_order_each_in_an_empty_folder(tmp_path):
    outcomes = list(run_checks(subject(Silent, tmp_path)))
    assert [o.check for o in outcomes] == list(CHECKS)
    assert not [o for o in outcomes if o.state == "FAIL"]
    assert {o.check for o in outcomes if o.state == "skip"} >= {"pixels_come_from_the_record"}


def test_every_check_says_what_it_holds_in_one_sentence():
    for name, check in CHECKS.items():
        line = (check.__doc__ or "").splitlines()[0]
        assert line.endswith("."), name


def predictions(rng, rows):
    corners = rng.uniform(0, 50, (rows, 2))
    return ImagePredictions(
        "a.png",
        (64, 48),
        np.concatenate([corners, corners + rng.uniform(1, 9, (rows, 2))], axis=1),
        rng.uniform(0.1, 1.0, rows),
        rng.integers(0, 3, rows),
        keypoints=rng.uniform(0, 50, (rows, 2, 3)),
        poses=Poses(log_z=rng.normal(size=rows)),
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_order_of_detections_and_differences_below_the_tolerance_do_not_count(seed, rows):
    rng = np.random.default_rng(seed)
    a = predictions(rng, rows)
    b = a.take(rng.permutation(rows))
    b = replace(b, boxes_xyxy_px=b.boxes_xyxy_px + 5e-5, scores=b.scores - 5e-6)
    assert first_difference([a], [b], Tolerance()) == ""


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from(["box", "score", "class", "row", "z"]))
def test_any_real_change_is_found_in_both_directions(seed, rows, what):
    rng = np.random.default_rng(seed)
    a = predictions(rng, rows)
    row = rng.integers(rows)
    bump = np.zeros(rows)
    bump[row] = 1.0
    b = {
        "box": replace(a, boxes_xyxy_px=a.boxes_xyxy_px + bump[:, None] * 1e-3),
        "score": replace(a, scores=a.scores - bump * 1e-4),
        "class": replace(a, class_ids=a.class_ids + bump.astype(np.int64)),
        "row": a.take(np.delete(np.arange(rows), row)),
        "z": replace(a, poses=Poses(log_z=a.poses.log_z + bump * 0.1)),
    }[what]
    assert first_difference([a], [b], Tolerance()).startswith("a.png: ")
    assert first_difference([b], [a], Tolerance()).startswith("a.png: ")


def test_a_detection_at_the_score_floor_may_be_there_or_not():
    a = predictions(np.random.default_rng(0), 3)
    a = replace(a, scores=np.array([0.5, 0.4, 0.001]))
    assert first_difference([a], [a.take(np.arange(2))], Tolerance(), floor=0.001) == ""
    assert first_difference([a], [a.take(np.arange(2))], Tolerance(), floor=0.0)


SUITE = """
import pytest
from anydet.plugins.adapter import Adapter
from anydet.plugins.specs import AdapterSpec
from anydet.testing import AdapterConformance, Subject
from anydet.types import AdapterSettings, ImagePredictions

class Quiet(Adapter):
    def predict(self, records):
        return (ImagePredictions.empty(r.key, {size}) for r in records if r.image() is not None)

class TestQuiet(AdapterConformance):
    known_failures = {known}

    @pytest.fixture
    def subject(self, tmp_path):
        return Subject(AdapterSpec("quiet", "nowhere:Quiet"), Quiet, AdapterSettings(), tmp_path)
"""


@pytest.mark.parametrize(
    ("size", "known", "outcome"),
    [
        ("(7, 7)", {}, {"failed": 1}),
        ("(7, 7)", {"sizes_are_those_of_the_images": "not yet"}, {"xfailed": 1}),
        ("r.size_wh", {"sizes_are_those_of_the_images": "not yet"}, {"failed": 1}),
        ("r.size_wh", {"sizes_are_right": "no such check"}, {"failed": 1}),
    ],
)
def test_known_failures_are_strict_and_must_name_checks(pytester, size, known, outcome):
    pytester.makepyfile(test_quiet=SUITE.format(size=size, known=known))
    result = pytester.runpytest("-q", "-k", "sizes_are_those or known_failures", "-p", "no:cacheprovider")
    counts = result.parseoutcomes()
    assert {key: counts.get(key, 0) for key in outcome} == outcome
