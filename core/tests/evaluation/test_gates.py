"""Bounds: what keeps them, what does not, and how both are written."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from anydet.errors import OptionError
from anydet.evaluation.analysis.comparison import Comparison, Difference
from anydet.evaluation.gates import (
    Gate,
    GateError,
    gate_table,
    hold_drops,
    hold_metrics,
    hold_significance,
    junit,
    require_kept,
)
from anydet.evaluation.tables import Table, markdown


def comparison(difference, p=0.5) -> Comparison:
    one = Difference(0.5, None if difference is None else 0.5 + difference, difference, -1.0, 1.0, p)
    return Comparison({"AP": one, "AP50": one}, {}, 0.95, 100, 0)


@pytest.mark.parametrize(
    ("value", "kept"), [(0.5, True), (0.4999, False), (None, False), (float("nan"), False), (1, True)]
)
def test_a_metric_keeps_its_bound_from_the_bound_on_and_only_where_it_is_defined(value, kept):
    (gate,) = hold_metrics({"AP": 0.5}, {"AP": value, "AR": 0.1})
    assert gate.kept is kept
    assert str(gate).startswith("AP: ")


def test_an_unknown_metric_is_named_with_what_was_meant():
    with pytest.raises(OptionError, match=r"no metric 'AP05' to bound; did you mean 'AP50'\?") as error:
        hold_metrics({"AP05": 0.5}, {"AP": 0.1, "AP50": 0.2})
    assert error.value.fix == "name some of AP, AP50"
    with pytest.raises(OptionError, match=r"did you mean 'AP50'\?"):
        hold_metrics({"ap50": 0.5}, {"AP5": 0.1, "AP50": 0.2})
    with pytest.raises(OptionError, match="no metric 'x'"):
        hold_drops({"x": 0.5}, comparison(0.1))


@pytest.mark.parametrize(
    ("difference", "kept"), [(-0.01, True), (-0.0101, False), (0.3, True), (0.0, True), (None, False)]
)
def test_a_drop_may_be_as_large_as_its_bound(difference, kept):
    assert [gate.kept for gate in hold_drops({"AP50": 0.01}, comparison(difference))] == [kept]


@pytest.mark.parametrize(
    ("difference", "p", "kept"),
    [(-0.1, 0.01, False), (-0.1, 0.05, True), (0.1, 0.01, True), (0.0, 0.01, True), (None, None, False)],
)
def test_only_a_significant_loss_is_worse(difference, p, kept):
    assert hold_significance(0.05, comparison(difference, p)).kept is kept


GATES = [Gate("AP", "at least 0.5", "0.4000", False), Gate("a|b<c>", "at least 0", "1", True)]


def test_all_bounds_that_are_not_kept_are_said_with_exit_code_3():
    require_kept([])
    require_kept(GATES[1:])
    with pytest.raises(GateError, match="1 of 2 bounds not kept") as error:
        require_kept(GATES)
    assert error.value.details == ("AP: 0.4000, wanted at least 0.5",)
    assert error.value.exit_code == 3


def test_junit_has_a_case_for_each_bound():
    root = ElementTree.fromstring(junit("anydet eval-coco", GATES))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["AP at least 0.5", "a|b<c> at least 0"]
    assert [failure.get("message") for failure in suite.iter("failure")] == [str(GATES[0])]


def test_markdown_has_a_row_for_each_bound():
    text = markdown([gate_table(GATES)])
    assert "| AP | at least 0.5 | 0.4000 | NO |" in text
    assert "| a\\|b&lt;c> | at least 0 | 1 | yes |" in text
    assert len(markdown([Table("t", ("class",), (("one\ntwo",),))]).splitlines()) == 5
