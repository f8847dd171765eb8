from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.snapshot import Modes, Snapshot, named_tensors


@pytest.fixture
def model():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    module.register_buffer("unsaved", torch.tensor([float("nan"), 1.0]), persistent=False)
    return module.eval()


def test_all_tensors_come_back_bit_for_bit(model):
    before = {name: value.clone() for name, value in named_tensors(model)}
    kept = Snapshot.of(model)
    with torch.no_grad():
        for _, value in named_tensors(model):
            value.fill_(7)
    kept.restore(model)
    for name, value in named_tensors(model):
        assert torch.equal(value, before[name]) or (name == "unsaved" and torch.isnan(value[0])), name


def test_a_snapshot_of_some_leaves_the_others(model):
    kept = Snapshot.of(model, ["0.bias"])
    with torch.no_grad():
        model[0].bias.fill_(1)
        model[0].weight.fill_(1)
    kept.restore(model)
    assert not model[0].bias.eq(1).any()
    assert model[0].weight.eq(1).all()


def test_a_swap_gives_what_was_there(model):
    first = Snapshot.of(model, ["0.bias"])
    with torch.no_grad():
        model[0].bias.fill_(3)
    second = first.swap(model)
    assert torch.equal(model[0].bias, first.tensors["0.bias"])
    second.restore(model)
    assert model[0].bias.eq(3).all()


def test_modes_and_gradients_come_back(model):
    model[0].weight.requires_grad_(requires_grad=False)
    modes = Modes.of(model)
    model.train()
    model.requires_grad_(requires_grad=True)
    model[0].bias.grad = torch.ones(2)
    modes.restore(model)
    assert not any(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, True, True]
    assert model[0].bias.grad is None
