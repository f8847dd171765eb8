from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.entropy import confident_rows
from anydet.plugins.adapter import ClassLogits


def logits(activation, background=None):
    values = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 3
    valid = torch.ones(2, 5, dtype=torch.bool)
    valid[1, 3:] = False
    return ClassLogits(values.float().requires_grad_(), valid, activation, background)


def test_softmax_entropy_is_that_of_torchs_distributions():
    found = logits("softmax", background=0)
    rows = confident_rows(found, 0.0)
    expected = torch.distributions.Categorical(logits=found.logits[found.valid]).entropy()
    torch.testing.assert_close(rows.entropy, expected)
    assert rows.largest == pytest.approx(math.log(3))
    assert rows.probabilities.shape == (8, 3)


def test_sigmoid_entropy_is_the_sum_over_classes():
    found = logits("sigmoid")
    rows = confident_rows(found, 0.0)
    expected = torch.distributions.Bernoulli(logits=found.logits[found.valid]).entropy().sum(-1)
    torch.testing.assert_close(rows.entropy, expected)
    assert rows.largest == pytest.approx(math.log(2))


def test_certain_rows_have_no_nan():
    values = torch.tensor([[[1e4, -1e4], [-1e4, 1e4]]], requires_grad=True)
    rows = confident_rows(ClassLogits(values, torch.ones(1, 2, dtype=torch.bool), "sigmoid"), 0.5)
    rows.mean().backward()
    assert rows.entropy.abs().max() == 0
    assert torch.isfinite(values.grad).all()


def test_background_is_not_confident_however_sure():
    values = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
    rows = confident_rows(ClassLogits(values, torch.ones(1, 2, dtype=torch.bool), "softmax", 0), 0.5)
    assert len(rows) == 1
    assert rows.probabilities.argmax() == 0


def test_means_of_images_and_their_distributions():
    found = logits("softmax", background=0)
    rows = confident_rows(found, 0.5)
    entropy, there = rows.of_images()
    for image in range(2):
        own = rows.image == image
        assert bool(there[image]) == bool(own.any())
        if own.any():
            torch.testing.assert_close(entropy[image], rows.entropy[own].mean())
            torch.testing.assert_close(rows.distributions()[image], rows.probabilities[own].mean(0))


def test_an_image_without_confident_rows_counts_for_nothing():
    rows = confident_rows(logits("softmax", background=0), 1.1)
    entropy, there = rows.of_images()
    assert len(rows) == 0
    assert not there.any()
    assert not entropy.any()
    assert float(rows.mean().detach()) == 0
