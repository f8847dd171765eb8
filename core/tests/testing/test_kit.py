"""Checks end in outcomes with a reason."""

from __future__ import annotations

from anydet.plugins.adapter import Adapter
from anydet.plugins.specs import AdapterSpec
from anydet.testing import CHECKS, Subject, run_check, run_checks
from anydet.types import AdapterSettings, ImagePredictions

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
