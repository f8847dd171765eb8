from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from anydet.errors import OptionError
from anydet.training.config.settings import TrainSettings
from anydet.training.optim.schedule import Schedule, milestones

MULTIPLIERS = 1.0, 0.1
STEPS = 40
SCHEDULERS = ["none", "cosine", "onecycle", "multistep", "plateau"]
VALUES = [3.0, 2.0, 2.0, 1.99999, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0]


def optimizer_of(settings, multipliers=MULTIPLIERS):
    kind = torch.optim.SGD if settings.optimizer == "sgd" else torch.optim.AdamW
    more = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": settings.lr * m} for m in multipliers]
    return kind(groups, lr=settings.lr, **more)


def keys(**more):
    return TrainSettings(
        **{"lr": 0.1, "scheduler_milestones": "10, 25", "plateau_patience": 1, "plateau_factor": 0.5, **more}
    )


def state_of(optimizer):
    """What the schedule sets: learning rate and momentum of each group."""
    return [(g["lr"], g["betas"][0] if "betas" in g else g["momentum"]) for g in optimizer.param_groups]


def follow(schedule, optimizer, first=0, last=STEPS):
    """The state before each step; every fourth step is followed by a validation."""
    states = []
    for step in range(first, last):
        states.append(state_of(optimizer))
        schedule.step()
        if step % 4 == 3:
            schedule.validated(VALUES[step // 4])
    return states


def rates(settings, total=STEPS, **more):
    optimizer = optimizer_of(settings, **more)
    return [[lr for lr, _ in state] for state in follow(Schedule(optimizer, settings, 10, total), optimizer)]


ORACLES = {
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.001),
    "onecycle": lambda o: lr_scheduler.OneCycleLR(o, [0.1, 0.01], total_steps=STEPS),
    "multistep": lambda o: lr_scheduler.MultiStepLR(o, [10, 25], 0.1),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1, min_lr=0.001),
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_learning_rates_and_momenta_are_those_of_torch(name, kind):
    # one cycle has no floor in torch, and multistep none
    settings = keys(optimizer=kind, scheduler=name, min_lr=0.001 if name in {"cosine", "plateau"} else 0)
    ours, theirs = optimizer_of(settings), optimizer_of(settings)
    schedule, oracle = Schedule(ours, settings, 10, STEPS), ORACLES[name](theirs)
    for step in range(STEPS):
        for mine, yours in zip(state_of(ours), state_of(theirs), strict=True):
            assert mine == pytest.approx(yours, rel=1e-9), step
        theirs.step()
        schedule.step()
        if name == "plateau":
            if step % 4 == 3:
                schedule.validated(VALUES[step // 4])
                oracle.step(VALUES[step // 4])
        elif step < STEPS - 1:  # one cycle refuses to go on
            oracle.step()


def test_plateau_of_a_metric_waits_for_it_to_rise_as_torch_does():
    settings = keys(scheduler="plateau")
    ours, theirs = optimizer_of(settings), optimizer_of(settings)
    schedule = Schedule(ours, settings, 10, STEPS)
    oracle = lr_scheduler.ReduceLROnPlateau(theirs, "max", factor=0.5, patience=1)
    for value in (0.1, 0.2, 0.2, float("nan"), 0.20001, 0.1, 0.3, 0.1, 0.1):
        schedule.validated(value, lower_is_better=False)
        oracle.step(value)
        assert [lr for lr, _ in state_of(ours)] == pytest.approx([lr for lr, _ in state_of(theirs)])


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", [1, 7, 12, 30])
def test_a_resumed_run_has_the_same_bits(name, kind, stop, tmp_path):
    settings = keys(optimizer=kind, scheduler=name, lr_warmup_steps=8, lr_warmup_init=0.003, min_lr=1e-5)
    optimizer = optimizer_of(settings)
    whole = follow(Schedule(optimizer, settings, 10, STEPS), optimizer)
    optimizer = optimizer_of(settings)
    schedule = Schedule(optimizer, settings, 10, STEPS)
    before = follow(schedule, optimizer, last=stop)
    torch.save([optimizer.state_dict(), schedule.state_dict()], tmp_path / "saved.pt")
    optimizer = optimizer_of(settings)
    schedule = Schedule(optimizer, settings, 10, STEPS)
    for part, state in zip(
        (optimizer, schedule), torch.load(tmp_path / "saved.pt", weights_only=True), strict=True
    ):
        part.load_state_dict(state)
    assert before + follow(schedule, optimizer, first=stop) == whole


@pytest.mark.parametrize("name", SCHEDULERS)
def test_warm_up_is_a_straight_line_to_the_schedulers_first_rate(name):
    settings = keys(scheduler=name, lr_warmup_steps=5, lr_warmup_init=0.001)
    first = [0.1 / 25, 0.01 / 25] if name == "onecycle" else [0.1, 0.01]
    for step, state in enumerate(rates(settings)[:6]):
        lines = [init + (end - init) * step / 5 for init, end in zip((0.001, 0.0001), first, strict=True)]
        assert state == pytest.approx(lines)


def test_the_scheduler_runs_over_the_steps_after_warm_up():
    warm = rates(keys(scheduler="cosine", lr_warmup_steps=8))
    assert warm[8:] == rates(keys(scheduler="cosine"), total=STEPS - 8)[: STEPS - 8]


def test_warm_up_can_be_given_in_epochs_and_steps_come_first():
    by_steps = rates(keys(lr_warmup_steps=15))
    assert rates(keys(lr_warmup_epochs=1.5)) == by_steps
    assert rates(keys(lr_warmup_steps=15, lr_warmup_epochs=3)) == by_steps


def test_a_run_shorter_than_its_warm_up_is_warm_up_only():
    assert rates(keys(scheduler="cosine", lr_warmup_steps=100), total=10)[9] == pytest.approx([0.009, 0.0009])


@pytest.mark.slow
@given(
    name=st.sampled_from(SCHEDULERS),
    floor=st.floats(0, 0.2),
    multipliers=st.lists(st.floats(0, 10), min_size=1, max_size=3),
    warmup=st.integers(0, 50),
    total=st.integers(1, 50),
)
def test_no_rate_is_ever_under_min_lr_or_its_own_full_rate(name, floor, multipliers, warmup, total):
    settings = keys(scheduler=name, min_lr=floor, lr_warmup_steps=warmup)
    full = [0.1 * m for m in multipliers]
    for state in rates(settings, total=total, multipliers=multipliers):
        assert all(lr >= min(floor, own) for lr, own in zip(state, full, strict=True))
        assert all(lr <= own for lr, own in zip(state, full, strict=True))


def test_a_group_that_does_not_learn_stays_at_zero():
    settings = keys(scheduler="cosine", min_lr=0.05)
    assert {group[1] for group in rates(settings, multipliers=(1.0, 0.0))} == {0.0}


def test_the_logged_rate_is_that_of_multiplier_one():
    settings = keys(scheduler="cosine")
    optimizer = optimizer_of(settings, multipliers=(0.5, 1.0))
    schedule = Schedule(optimizer, settings, 10, STEPS)
    for _ in range(3):
        schedule.step()
        assert schedule.learning_rate == optimizer.param_groups[1]["lr"]


def test_milestones_are_read_from_text_and_lists():
    for given_as in ("25,10", "10, 25,", [25, 10]):
        assert milestones(keys(scheduler="multistep", scheduler_milestones=given_as)) == [10, 25]
    assert milestones(keys(scheduler="none", scheduler_milestones="")) == []


@pytest.mark.parametrize("wrong", ["", "ten", "1.5", "0,10", [-1]])
def test_milestones_that_are_no_steps_are_an_error(wrong):
    with pytest.raises(OptionError, match="scheduler_milestones"):
        milestones(keys(scheduler="multistep", scheduler_milestones=wrong))


def test_schedules_differ_from_each_other():
    assert all(
        rates(keys(scheduler=a)) != rates(keys(scheduler=b)) for a, b in itertools.combinations(SCHEDULERS, 2)
    )
