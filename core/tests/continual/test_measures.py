"""Numbers of a matrix: the formulas of the papers, term by term; and intervals over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.continual.measures import MEASURES, Measured, average, backward_transfer, forgetting, learned

NAN = float("nan")


def by_term(r):
    """The four numbers as sums over single entries, tasks counted from 1 as in the papers."""
    count = len(r)

    def at(i, j):
        return r[i - 1, j - 1]

    acc = sum(at(count, j) for j in range(1, count + 1)) / count
    own = sum(at(j, j) for j in range(1, count + 1)) / count
    bwt = sum(at(count, j) - at(j, j) for j in range(1, count)) / (count - 1)
    lost = 0.0
    for j in range(1, count):
        known = [at(step, j) for step in range(1, count) if not np.isnan(at(step, j))]
        lost += max(known) - at(count, j)
    return acc, own, bwt, lost / (count - 1)


@pytest.mark.parametrize("unknown", [False, True])
def test_numbers_are_those_of_the_papers(unknown):
    rng = np.random.default_rng(3)
    matrices = rng.random((5, 4, 4))
    if unknown:  # classes of later tasks
        matrices[:, np.triu_indices(4, 1)[0], np.triu_indices(4, 1)[1]] = NAN
    found = np.stack([measure(matrices) for measure in MEASURES.values()], axis=-1)
    assert found == pytest.approx(np.array([by_term(matrix) for matrix in matrices]))


def test_forgetting_counts_from_the_best_and_transfer_from_the_first():
    matrix = np.array([[0.5, NAN, NAN], [0.7, 0.6, NAN], [0.4, 0.6, 0.2]])
    assert average(matrix) == pytest.approx(0.4)
    assert learned(matrix) == pytest.approx((0.5 + 0.6 + 0.2) / 3)
    assert backward_transfer(matrix) == pytest.approx(-0.05)
    assert forgetting(matrix) == pytest.approx(0.15)


@pytest.mark.filterwarnings("error")
def test_a_single_task_forgets_nothing_that_is_known():
    one = np.array([[0.3]])
    assert average(one) == learned(one) == 0.3
    assert np.isnan(backward_transfer(one))
    assert np.isnan(forgetting(one))


@pytest.mark.filterwarnings("error")
def test_of_joint_training_the_average_alone_is_known():
    matrix = np.array([[NAN, NAN], [0.3, 0.5]])
    assert [float(measure(matrix)) for measure in MEASURES.values()] == pytest.approx(
        [0.4, NAN, NAN, NAN], nan_ok=True
    )


def test_an_interval_is_of_the_mean_over_seeds():
    draws = np.random.default_rng(0).normal(0.4, 0.1, (3, 4000))
    found = Measured.of(np.array([0.3, 0.5, 0.4]), draws, 0.95)
    assert found.value == pytest.approx(0.4)
    assert found.deviation == pytest.approx(0.1)
    # Three independent draws of deviation 0.1 each.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(3), rel=0.05)
    assert found.low < found.value < found.high
    assert found.text == f"0.400 [{found.low:.3f}, {found.high:.3f}] sd 0.100"


def test_what_is_not_known_of_a_seed_is_not_known():
    found = Measured.of(np.array([0.3, NAN]), np.zeros((2, 5)), 0.95)
    assert (found.value, found.low, found.deviation, found.text) == (None, None, None, "n/a")
    assert found.seeds == (0.3, None)
    few = Measured.of(np.array([0.3]), None, 0.95)
    assert (few.value, few.low, few.deviation, few.text) == (0.3, None, None, "0.300")


def test_resamples_without_a_number_are_left_out_and_counted():
    draws = np.array([[0.1, NAN, 0.3, 0.2], [0.2, 0.2, NAN, 0.4]])
    found = Measured.of(np.array([0.2, 0.3]), draws, 0.95)
    assert found.left_out == 2
    assert found.as_dict()["left_out"] == 2
    assert found.low < found.value < found.high
    assert Measured.of(np.array([0.2]), None, 0.95).left_out == 0


@pytest.mark.parametrize(("value", "least"), [(0.01, 0.0), (0.99, 0.0), (-0.99, -1.0)])
def test_an_interval_ends_where_the_number_does(value, least):
    draws = value + np.linspace(-0.3, 0.3, 61)[None]
    found = Measured.of(np.array([value]), draws, 0.95, least=least)
    assert least <= found.low <= value <= found.high <= 1
    assert found.low == least or found.high == 1
