"""Rates of confusion counts against counting one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.evaluation.confusion import Confusion

pairs = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), max_size=40)


def rates_one_by_one(rows, one):
    hits = sum(t == p == one for t, p in rows)
    true = sum(t == one for t, _ in rows)
    found = sum(p == one for _, p in rows)
    wrong = sum(p == one != t for t, p in rows)
    return {
        "recall": hits / true if true else None,
        "precision": hits / found if found else None,
        "f1": 2 * hits / (true + found) if true + found else None,
        "iou": hits / (true + wrong) if true + wrong else None,
    }


@given(pairs)
def test_rates_are_those_of_counting_one_by_one(rows):
    true, found = np.array(rows, np.int64).reshape(-1, 2).T
    counts = Confusion.of(true, found, 4)
    known = [(t, p) for t, p in rows if t >= 0]
    expected = [rates_one_by_one(known, one) for one in range(4)]
    for name in ("recall", "precision", "f1", "iou"):
        want = [np.nan if row[name] is None else row[name] for row in expected]
        np.testing.assert_allclose(getattr(counts, name), want, rtol=1e-15)
    right = sum(t == p for t, p in known)
    assert counts.accuracy == pytest.approx(right / len(known) if known else None)
    recalls = [row["recall"] for row in expected if row["recall"] is not None]
    assert counts.balanced_accuracy == pytest.approx(np.mean(recalls) if recalls else None)
    scores = [row["f1"] for row in expected if row["f1"] is not None]
    assert counts.macro_f1 == pytest.approx(np.mean(scores) if scores else None)


@pytest.mark.slow
@given(pairs, pairs)
def test_counts_add_up(left, right):
    def count(rows):
        true, found = np.array(rows, np.int64).reshape(-1, 2).T
        return Confusion.of(true, found, 4)

    np.testing.assert_array_equal(count(left).plus(count(right)).counts, count(left + right).counts)


def test_always_saying_the_most_frequent_class_has_the_majority_accuracy():
    true = np.array([0, 0, 0, 1, 2])
    assert Confusion.of(true, np.array([2, 2, 2, 2, 2]), 3).majority == pytest.approx(0.6)
    assert Confusion.of(true, np.zeros(5, np.int64), 3).accuracy == pytest.approx(0.6)
    assert Confusion.empty(3).accuracy is None


def test_the_table_has_a_column_for_nothing_only_where_it_was_predicted():
    counts = Confusion.of(np.array([0, 1]), np.array([0, 0]), 2)
    assert counts.table("t", ("a", "b")).header == ("true", "a", "b")
    assert counts.table("t", ("a", "b")).rows == (("a", 1, 0), ("b", 1, 0))
    lost = counts.plus(Confusion.of(np.array([1]), np.array([-1]), 2))
    assert lost.table("t", ("a", "b")).rows == (("a", 1, 0, 0), ("b", 1, 0, 1))
    assert lost.rates("t", ("a", "b"), "state").rows[1][:3] == ("b", 2, 0)
