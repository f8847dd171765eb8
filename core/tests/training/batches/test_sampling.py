"""Batches are those of one process, whatever the number of processes."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from anydet.training.batches.sampling import EpochSampler

counts, sizes, worlds = st.integers(1, 40), st.integers(1, 5), st.integers(1, 4)


def flat(lists):
    return list(chain.from_iterable(lists))


def indices(sampler):
    return [[index for _, index in batch] for batch in sampler]


@given(counts, sizes, worlds)
def test_processes_together_see_the_batches_of_one_process(count, size, world):
    one = indices(EpochSampler(count, size * world, seed=3))
    ranks = [indices(EpochSampler(count, size, seed=3, rank=rank, world=world)) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    for whole, *parts in zip(one, *ranks, strict=True):
        together = flat(parts)
        assert together[: len(whole)] == whole
        assert len({len(part) for part in parts}) == 1
        assert len(together) - len(whole) < world


@given(counts, sizes, worlds)
def test_validation_sees_each_image_once_and_in_order(count, size, world):
    ranks = [EpochSampler(count, size, rank=rank, world=world, train=False) for rank in range(world)]
    batches = [batch for sampler in ranks for batch in indices(sampler)]
    assert flat(batches) == list(range(count))
    assert all(0 < len(batch) <= size for batch in batches)
    assert [len(sampler) for sampler in ranks] == [len(list(sampler)) for sampler in ranks]


@given(counts, sizes, st.integers(0, 50))
def test_starting_inside_an_epoch_gives_the_rest_of_it(count, size, start):
    sampler = EpochSampler(count, size)
    sampler.seek(4)
    whole = list(sampler)
    assert len(whole) == len(sampler)
    sampler.seek(4, start)
    assert list(sampler) == whole[start:]


def test_each_epoch_has_an_order_of_its_own_that_the_seed_decides():
    orders = [EpochSampler(50, 2, seed=seed).order(epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert all((np.sort(order) == np.arange(50)).all() for order in orders)
    assert (EpochSampler(50, 7, seed=1, rank=1, world=2).order(1) == orders[3]).all()


def test_without_shuffling_the_order_is_the_data_sets():
    assert flat(indices(EpochSampler(7, 3, shuffle=False))) == list(range(7))
