"""States of all generators are kept, restored and kept apart."""

from __future__ import annotations

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.training.numerics.rng import isolated_rng, restore_rng, rng_state, seed_everything


def draw():
    return random.random(), random.gauss(0, 1), np.random.normal(size=3).tolist(), torch.randn(3).tolist()


@pytest.fixture(autouse=True)
def _as_before():
    state = rng_state()
    yield
    restore_rng(state)


def test_a_state_that_was_saved_as_weights_gives_the_same_numbers_again(tmp_path):
    draw()
    torch.save(rng_state(), tmp_path / "rng.pt")
    first = draw()
    restore_rng(torch.load(tmp_path / "rng.pt", weights_only=True))
    assert draw() == first


def test_inside_isolation_numbers_start_at_the_seed_and_outside_nothing_happened():
    seed_everything(1)
    expected = draw()
    seed_everything(1)
    with isolated_rng(5):
        inside = draw()
    assert draw() == expected
    with isolated_rng(5):
        assert draw() == inside
