from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from anydet.adaptation.ttt.statistics import NormStatistics


def images(count, seed=0):
    return 3 + 2 * torch.randn(count, 4, 5, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, FrozenBatchNorm2d])
def test_statistics_move_as_torchs_own_do(kind):
    norm = kind(4).eval()
    reference = nn.BatchNorm2d(4, momentum=0.3).train()
    statistics = NormStatistics({"norm": norm}, 0.3, batch_size=8)
    for seed in range(3):
        reference(images(8, seed))
        with statistics.following():
            norm(images(8, seed))
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
    torch.testing.assert_close(norm.running_var, reference.running_var)


def test_a_norm_normalizes_by_what_the_prediction_will_use():
    norm = nn.BatchNorm2d(4).eval()
    with NormStatistics({"norm": norm}, 0.3, 8).following():
        adapted = norm(images(8))
    assert torch.equal(adapted, norm(images(8)))


def test_a_batch_that_comes_in_parts_weighs_as_much_as_one():
    whole, parts = nn.BatchNorm2d(4).eval(), nn.BatchNorm2d(4).eval()
    same = images(1).expand(8, -1, -1, -1)
    with NormStatistics({"norm": whole}, 0.3, 8).following():
        whole(same)
    with NormStatistics({"norm": parts}, 0.3, 8).following():
        parts(same[:3])
        parts(same[3:])
    torch.testing.assert_close(parts.running_mean, whole.running_mean)


def test_momentum_0_and_the_end_of_the_block_leave_them_alone():
    norm = nn.BatchNorm2d(4).eval()
    still, following = NormStatistics({"norm": norm}, 0.0, 8), NormStatistics({"norm": norm}, 0.3, 8)
    with still.following():
        norm(images(8))
    with following.following():
        pass
    norm(images(8))
    assert torch.equal(norm.running_mean, torch.zeros(4))


def test_gradients_of_an_earlier_part_survive_the_next_one():
    norm = nn.BatchNorm2d(4).eval()
    with NormStatistics({"norm": norm}, 0.3, 8).following():
        loss = norm(images(4)).square().mean() + norm(images(4, 1)).square().mean()
    loss.backward()
    assert torch.isfinite(norm.weight.grad).all()


def test_the_shift_is_the_divergence_of_normal_distributions():
    norm = nn.BatchNorm2d(4, eps=1e-12).eval()
    values = images(64)
    with NormStatistics({"norm": norm}, 0.0, 8).measuring() as shifts:
        norm(values)
    rows = values.transpose(0, 1).flatten(1)
    batch = torch.distributions.Normal(rows.mean(1), rows.std(1))
    expected = torch.distributions.kl_divergence(batch, torch.distributions.Normal(0.0, 1.0)).mean()
    assert shifts["norm"] == pytest.approx(float(expected), rel=1e-5)
