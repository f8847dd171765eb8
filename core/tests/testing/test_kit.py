"""Checks end in outcomes with a reason."""

from __future__ import annotations

import pytest

from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import KINDS
from anydet.plugins.specs import AdapterSpec
from anydet.testing import KITS, AdapterSubject
from anydet.types import AdapterSettings, ImagePredictions

KIT = KITS["adapters"]
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
    return AdapterSubject(SPEC, adapter, AdapterSettings(), folder=folder)


def test_a_failure_an_exit_and_a_skip_become_outcomes_with_a_reason(tmp_path):
    failed = KIT.run_check("one_result_per_record", subject(Exits, tmp_path))
    assert (failed.state, failed.reason) == ("FAIL", "SystemExit: no license")
    assert failed.holds == "Every record gets one result, those without detections too."
    undecided = KIT.run_check("prediction_is_repeatable", subject(Silent, tmp_path))
    assert undecided.state == "skip"
    assert "finds nothing" in undecided.reason


def test_all_checks_run_in_order_each_in_an_empty_folder(tmp_path):
    outcomes = list(KIT.run(subject(Silent, tmp_path)))
    assert [o.check for o in outcomes] == list(KIT.checks)
    assert not [o for o in outcomes if o.state == "FAIL"]
    assert {o.check for o in outcomes if o.state == "skip"} >= {"pixels_come_from_the_record"}


class NeedsALicense(Silent):
    def __init__(self, settings):
        raise RuntimeError("no license")


def test_what_cannot_be_set_up_is_said_once(tmp_path):
    (only,) = KIT.run(subject(NeedsALicense, tmp_path))
    assert (only.check, only.state, only.reason) == ("it_can_be_set_up", "FAIL", "RuntimeError: no license")


def test_there_is_a_kit_for_every_kind_of_plugin():
    assert list(KITS) == list(KINDS)


@pytest.mark.parametrize("kind", KITS)
def test_every_check_says_what_it_holds_in_one_sentence(kind):
    for name, check in KITS[kind].checks.items():
        line = (check.__doc__ or "").splitlines()[0]
        assert line.endswith("."), name
