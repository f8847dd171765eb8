from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet.errors import OptionError, TrainingError
from anydet.training.config.settings import TrainSettings
from anydet.training.optim.optimizer import build_optimizer, parameter_groups


class Norm(nn.Module):
    """A norm that torch does not know."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), Norm())
        self.head = nn.MultiheadAttention(4, 1)
        self.query = nn.Parameter(torch.zeros(2))
        self.tied = nn.Linear(3, 4)
        self.tied.weight = self.backbone[0].weight


class Task:
    """As much of a training task as an optimizer looks at."""

    def __init__(self, model, **parts):
        self.model = model
        model.module_names = lambda: parts


@pytest.fixture
def task():
    return Task(Net(), backbone=["backbone"], head=["head"])


def groups_of(task, **settings):
    optimizer = build_optimizer(task, TrainSettings(**settings))
    return {group["name"]: group for group in optimizer.param_groups}


GROUPED = {
    "use_param_groups": True,
    "backbone_lr_mult": 0.1,
    "backbone_wd_mult": 2,
    "head_lr_mult": 3,
    "head_wd_mult": 0,
}


@pytest.mark.parametrize("keys", [{}, GROUPED, {"wd_exclude_bias": False, "wd_exclude_norm": False}])
def test_each_parameter_is_in_exactly_one_group(task, keys):
    owned = [id(p) for group in groups_of(task, **keys).values() for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in task.model.parameters())


def test_parts_have_their_multipliers_and_the_rest_has_none(task):
    groups = groups_of(task, lr=1.0, weight_decay=0.5, **GROUPED)
    rates = {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()}
    assert rates == {
        "backbone": (0.1, 1.0),
        "backbone/no_decay": (0.1, 0.0),
        "head": (3.0, 0.0),
        "head/no_decay": (3.0, 0.0),
        "other": (1.0, 0.5),
        "other/no_decay": (1.0, 0.0),
    }


def test_biases_and_norms_do_not_decay_even_those_torch_does_not_know(task):
    model = task.model
    without = {id(p) for p in groups_of(task)["other/no_decay"]["params"]}
    first, batch_norm, layer_norm, own_norm = model.backbone
    expected = [first.bias, *batch_norm.parameters(), *layer_norm.parameters(), own_norm.scale]
    expected += [model.head.in_proj_bias, model.head.out_proj.bias, model.tied.bias]
    assert without == {id(p) for p in expected}


def test_each_exclusion_can_be_switched_off_alone(task):
    names = {
        keys: {id(p) for p in groups_of(task, **{keys: False})["other/no_decay"]["params"]}
        for keys in ("wd_exclude_bias", "wd_exclude_norm")
    }
    first, batch_norm, *_ = task.model.backbone
    assert id(first.bias) in names["wd_exclude_norm"] - names["wd_exclude_bias"]
    assert id(batch_norm.weight) in names["wd_exclude_bias"] - names["wd_exclude_norm"]


def test_frozen_parameters_are_left_out(task):
    task.model.backbone.requires_grad_(False)
    assert {name.split("/")[0] for name in groups_of(task, **GROUPED)} == {"head", "other"}


def test_nothing_to_train_is_an_error(task):
    task.model.requires_grad_(False)
    with pytest.raises(OptionError, match="nothing to train"):
        build_optimizer(task, TrainSettings())


@pytest.mark.parametrize(("part", "factor"), [("neck", 3.0), ("aligner", 1.0)])
def test_the_neck_has_the_multipliers_of_the_head_and_a_part_of_another_name_none(task, part, factor):
    groups = parameter_groups(task.model, {part: ["head"]}, TrainSettings(**GROUPED, lr=1.0))
    assert {group["name"]: group["lr"] for group in groups}[part] == factor


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"backbone": ["head", "head"]}, "listed twice"),
        ({"backbone": ["head"], "head": ["head"]}, "listed twice"),
        ({"backbone": ["head"], "head": ["head.out_proj"]}, r"head\.out_proj\.weight is in"),
        ({"backbone": ["backbone"], "head": ["tied"]}, r"backbone\.0\.weight is in"),
        ({"head": ["linear"]}, "has no module 'linear'"),
    ],
)
def test_parts_that_overlap_or_are_not_the_models_are_errors(parts, problem):
    with pytest.raises(TrainingError, match=problem) as caught:
        build_optimizer(Task(Net(), **parts), TrainSettings(use_param_groups=True))
    assert caught.value.fix


def test_sgd_takes_momentum_and_nesterov(task):
    optimizer = build_optimizer(task, TrainSettings(optimizer="sgd", momentum=0.8, nesterov=True))
    assert isinstance(optimizer, torch.optim.SGD)
    assert {(group["momentum"], group["nesterov"]) for group in optimizer.param_groups} == {(0.8, True)}
    with pytest.raises(OptionError, match="momentum"):
        build_optimizer(task, TrainSettings(optimizer="sgd", momentum=0, nesterov=True))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_step_is_torchs_own(task, name):
    """The same numbers as an optimizer written out by hand, group by group."""
    settings = TrainSettings(optimizer=name, lr=0.1, weight_decay=0.2, **GROUPED)
    twin = Net()
    twin.load_state_dict(task.model.state_dict())
    decaying = [twin.backbone[0].weight]
    others = [p for p in twin.backbone.parameters() if p is not decaying[0]]
    groups = [
        {"params": decaying, "lr": 0.1 * 0.1, "weight_decay": 0.2 * 2},
        {"params": others, "lr": 0.1 * 0.1, "weight_decay": 0},
        {"params": list(twin.head.parameters()), "lr": 0.1 * 3, "weight_decay": 0},
        {"params": [twin.query], "lr": 0.1, "weight_decay": 0.2},
        {"params": [twin.tied.bias], "lr": 0.1, "weight_decay": 0},
    ]
    oracle = torch.optim.AdamW(groups) if name == "adamw" else torch.optim.SGD(groups, momentum=0.9)
    for model, optimizer in ((task.model, build_optimizer(task, settings)), (twin, oracle)):
        for _ in range(3):
            optimizer.zero_grad()
            sum((p**2).sum() + p.sum() for p in model.parameters()).backward()
            optimizer.step()
    for (key, ours), theirs in zip(task.model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=key)
