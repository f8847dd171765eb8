"""The checks as a pytest class."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


SUITE = """
import pytest
from anydet.plugins.adapter import Adapter
from anydet.plugins.specs import AdapterSpec
from anydet.testing import AdapterConformance, AdapterSubject
from anydet.types import AdapterSettings, ImagePredictions

class Quiet(Adapter):
    def predict(self, records):
        return (ImagePredictions.empty(r.key, {size}) for r in records if r.image() is not None)

class TestQuiet(AdapterConformance):
    known_failures = {known}

    @pytest.fixture
    def subject(self, tmp_path):
        spec = AdapterSpec("quiet", "nowhere:Quiet")
        return AdapterSubject(spec, Quiet, AdapterSettings(), folder=tmp_path)
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
