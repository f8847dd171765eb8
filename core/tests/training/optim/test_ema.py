from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet.errors import OptionError, TrainingError
from anydet.training.optim.ema import Ema


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.linear(x))


def train(model, ema, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.rand(8, 3, generator=generator)).pow(2).sum().backward()
        optimizer.step()
        ema.update(model)


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_weights_and_buffers_are_averaged_and_counts_are_copied():
    model = Net()
    ema = Ema(model, 0.25)
    expected = None
    for step in range(4):
        train(model, ema, 1, seed=step)
        now, decay = bits(model), (0, 2 / 11, 0.25, 0.25)[step]
        expected = (
            now
            if expected is None
            else {
                name: decay * expected[name] + (1 - decay) * now[name]
                if now[name].is_floating_point()
                else now[name]
                for name in now
            }
        )
    torch.testing.assert_close(ema.weights(), expected)
    assert ema.weights()["norm.num_batches_tracked"].item() == 4
    assert not torch.equal(ema.weights()["norm.running_mean"], model.norm.running_mean)


def test_nothing_is_left_of_the_first_weights_after_far_fewer_steps_than_the_decay_reaches_back():
    model = Net()
    ema = Ema(model, 0.999)
    with torch.no_grad():
        model.norm.running_var.fill_(1.0)
        ema.update(model)
        model.norm.running_var.fill_(0.004)
    for _ in range(100):
        ema.update(model)
    torch.testing.assert_close(ema.weights()["norm.running_var"], model.norm.running_var)


def test_the_average_is_lent_in_place_and_the_very_same_bits_come_back():
    model = Net()
    ema = Ema(model, 0.5)
    train(model, ema, 3)
    before, places = bits(model), [tensor.data_ptr() for tensor in model.state_dict().values()]
    with pytest.raises(KeyError), ema.applied(model):  # noqa: PT012  # what is lent is looked at inside
        assert same(bits(model), ema.weights())
        assert [tensor.data_ptr() for tensor in model.state_dict().values()] == places
        raise KeyError
    assert same(bits(model), before)
    assert not same(before, ema.weights())


def test_a_resumed_average_has_the_same_bits(tmp_path):
    model = Net()
    ema = Ema(model, 0.9)
    train(model, ema, 2)
    torch.save([model.state_dict(), ema.state_dict()], tmp_path / "saved.pt")
    train(model, ema, 2, seed=1)
    twin = Net()
    resumed = Ema(twin, 0.9)
    for part, state in zip(
        (twin, resumed), torch.load(tmp_path / "saved.pt", weights_only=True), strict=True
    ):
        part.load_state_dict(state)
    train(twin, resumed, 2, seed=1)
    assert same(resumed.weights(), ema.weights())


def test_an_average_is_saved_under_the_names_of_torchs_own():
    model = Net()
    ema = Ema(model, 0.9)
    train(model, ema, 2)
    expected = ema._averaged.state_dict()
    assert list(ema.state_dict()) == list(expected)
    assert same(ema.state_dict(), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_average_loaded_from_the_cpu_moves_to_the_model():
    model = Net()
    ema = Ema(model, 0.9)
    train(model, ema, 2)
    saved = copy.deepcopy(ema.state_dict())
    ema = Ema(model.cuda(), 0.9)
    ema.load_state_dict(saved)
    assert {tensor.device.type for tensor in ema.weights().values()} == {"cuda"}
    with ema.applied(model):
        assert model.linear.weight.is_cuda


def test_a_checkpoint_without_an_average_or_with_another_models_is_refused():
    ema = Ema(Net(), 0.9)
    with pytest.raises(OptionError, match="no average") as caught:
        ema.load_state_dict(None)
    assert "--use-ema" in caught.value.fix
    with pytest.raises(TrainingError, match=r"average of weights.*linear\.weight"):
        ema.load_state_dict({"n_averaged": torch.tensor(0), "module.other": torch.zeros(1)})


def test_a_model_that_cannot_be_copied_is_refused():
    model = Net()
    model.file = open(__file__)  # noqa: SIM115, PTH123  # a file cannot be copied
    with model.file, pytest.raises(OptionError, match="Net cannot be copied") as caught:
        Ema(model, 0.9)
    assert "--use-ema" in caught.value.fix


def test_the_average_itself_does_not_learn():
    assert not any(p.requires_grad for p in Ema(Net(), 0.9)._averaged.parameters())
