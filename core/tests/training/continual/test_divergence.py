"""Divergences against torch's own, and what they are a mean over."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch.distributions import Bernoulli, Categorical, kl_divergence

from anydet.training.continual.divergence import (
    class_loss,
    confidence,
    feature_loss,
    number_loss,
    row_divergence,
)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(2, 5, 4, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_kinds_are_the_divergences_of_torch(pair, activation, temperature):
    def law(logits):
        return (Categorical if activation == "softmax" else Bernoulli)(logits=logits / temperature)

    def kl(first, second):
        found = kl_divergence(law(first), law(second))
        return temperature**2 * (found if activation == "softmax" else found.sum(-1))

    student, teacher = pair
    expected = {"forward": kl(teacher, student), "reverse": kl(student, teacher)}
    expected["sym"] = (expected["forward"] + expected["reverse"]) / 2
    for kind, rows in expected.items():
        found = row_divergence(student, teacher, activation, temperature=temperature, kind=kind)
        torch.testing.assert_close(found, rows, rtol=1e-4, atol=1e-5)


def test_the_factor_keeps_the_gradient_at_high_temperatures_that_of_squared_logits(pair):
    """Hinton et al. 2015, equation 4: T^2 times the gradient tends to (z - v) / C for centered logits."""
    student, teacher = (one - one.mean(-1, keepdim=True) for one in pair)
    student.requires_grad_()
    row_divergence(student, teacher, "softmax", temperature=1e3, kind="forward").sum().backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 4, rtol=0, atol=0.02)


def test_softmax_rows_are_averaged_and_sigmoid_rows_are_divided_by_the_expected_objects():
    student, teacher = torch.zeros(1, 4, 2), torch.zeros(1, 4, 2)
    teacher[0, 0, 0] = math.log(9)  # a probability of 0.9
    valid = torch.tensor([[True, True, True, False]])
    row = row_divergence(student, teacher, "softmax", temperature=1.0, kind="forward")[0, 0]
    assert class_loss(student, teacher, valid, "softmax") == pytest.approx(float(row) / 3)
    row = row_divergence(student, teacher, "sigmoid", temperature=1.0, kind="forward")[0, 0]
    assert class_loss(student, teacher, valid, "sigmoid") == pytest.approx(float(row) / (0.9 + 0.5 + 0.5))


def test_numbers_count_where_the_teacher_is_sure():
    logits = torch.tensor([[[0.0, 100.0, 0.0], [100.0, 0.0, 0.0], [0.0, 0.0, 100.0]]])
    sure = confidence(logits, "softmax", 0)
    torch.testing.assert_close(sure[0], torch.tensor([[0, 1.0, 0], [0, 0, 0], [0, 0, 1.0]]))
    boxes = torch.zeros(1, 3, 4)
    assert number_loss(boxes + torch.tensor([[1.0], [50.0], [2.0]]), boxes, sure) == pytest.approx(6.0)
    of_classes = torch.zeros(1, 3, 3, 4)
    moved = of_classes.clone()
    moved[0, 0, 1], moved[0, 0, 2], moved[0, 2, 2] = 1.0, 50.0, 2.0
    assert number_loss(moved, of_classes, sure) == pytest.approx(6.0)


def test_features_are_compared_map_by_map():
    maps = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 4, 4)]
    assert feature_loss([maps[0] + 1, maps[1] + 3], maps) == pytest.approx(5.0)
