from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from anydet_fasterrcnn_multitask.state_loss import StateLoss, balanced_weights

LOGITS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
STATES = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3])


def test_cross_entropy_is_torchs():
    assert torch.equal(StateLoss()(LOGITS, STATES), functional.cross_entropy(LOGITS, STATES))


def test_balanced_is_the_mean_over_states_of_the_mean_over_their_regions():
    loss = StateLoss("balanced", torch.bincount(STATES).tolist())(LOGITS, STATES)
    means = [functional.cross_entropy(LOGITS[s == STATES], STATES[s == STATES]) for s in range(4)]
    torch.testing.assert_close(loss, torch.stack(means).mean())


def test_focal_is_torchvisions_where_there_are_two_states():
    logit = LOGITS[:, 0]
    states = (STATES > 0).long()
    loss = StateLoss("focal")(torch.stack([torch.zeros_like(logit), logit], 1), states)
    expected = sigmoid_focal_loss(logit, states.float(), alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", ["cross_entropy", "balanced", "focal"])
def test_no_region_costs_nothing_and_leaves_a_gradient(kind):
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = StateLoss(kind, [1, 1, 1, 1])(logits, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None


def test_weights_are_no_part_of_a_state_dictionary():
    assert StateLoss("balanced", [3, 1, 0, 0]).state_dict() == {}


@pytest.mark.slow
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_balanced_weights_give_every_state_that_occurs_the_same_sum(counts):
    weights = balanced_weights(counts)
    totals = weights * torch.tensor(counts)
    occurring = torch.tensor(counts) > 0
    assert (weights[~occurring] == 0).all()
    if occurring.any():
        expected = torch.full((int(occurring.sum()),), sum(counts) / int(occurring.sum()))
        torch.testing.assert_close(totals[occurring], expected)
