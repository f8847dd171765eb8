from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet.adaptation.ttt.adaptors import Adaptors
from anydet.adaptation.ttt.selection import Scope
from anydet.errors import OptionError


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 16, 3, padding=2, dilation=2),
        nn.Conv2d(16, 16, 3, groups=4, padding=1),
        nn.Conv2d(16, 8, 1),
    ).eval()


def added(model):
    return {name: parameter for name, parameter in model.named_parameters() if "adaptor" in name}


@pytest.mark.parametrize("side", [16, 17])
def test_new_adaptors_change_nothing_and_old_ones_something(model, side):
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    before = model(images)
    adaptors = Adaptors.insert(model, Scope({}), ratio=8, seed=0)
    assert torch.equal(model(images), before)
    for parameter in added(model).values():
        nn.init.ones_(parameter)
    assert not torch.equal(model(images), before)
    adaptors.remove()
    adaptors.remove()
    assert torch.equal(model(images), before)
    assert not added(model)


def test_they_stand_beside_convolutions_of_the_scope(model):
    adaptors = Adaptors.insert(model, Scope({}, ("2",)), ratio=8, seed=0)
    shapes = [tuple(parameter.shape) for parameter in added(model).values()]
    adaptors.remove()
    assert shapes == [(4, 32, 1, 1), (16, 4, 1, 1)]


def test_a_seed_gives_the_same_ones(model):
    drawn = []
    for seed in (1, 1, 2):
        adaptors = Adaptors.insert(model, Scope({}), ratio=8, seed=seed)
        drawn.append(next(iter(added(model).values())).clone())
        adaptors.remove()
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_scope_without_convolutions_is_an_error(model):
    with pytest.raises(OptionError, match="no convolution"):
        Adaptors.insert(model, Scope({}, ("1",)), ratio=8, seed=0)
