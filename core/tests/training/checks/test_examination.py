"""Faults are put into data, models and recipes; the check that is meant for each finds it, and names it."""

from __future__ import annotations

import gc
import math
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridTask, tiny_run

from anydet.data.record.pixels import Pixels
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, ImageError, TrainingError
from anydet.training.checks.examination import Thoroughness, diagnose
from anydet.training.checks.raterange import RateRange
from anydet.training.task import StepOutput

pytestmark = pytest.mark.slow

QUICK = Thoroughness(range_steps=0, overfit_steps=0)
NAN = float("nan")


@pytest.fixture(scope="module", autouse=True)
def _settled_garbage():
    """Each run ends with a whole garbage collection, which need not look at what was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


class Guessing(GridTask):
    """Says what a guess costs."""

    def chance_losses(self):
        return {"class": math.log(2)}


def build(kind=Guessing, change=None, **options):
    def make(run):
        task = kind(run.dataset.classes, options)
        if change:
            with torch.no_grad():
                change(task.model)
        return task

    return make


def small_run(tmp_path, **keys):
    return replace(tiny_run(tmp_path, images=4, **keys), validation=None)


def look(tmp_path, make=None, thoroughness=QUICK, run=None, **keys):
    found = diagnose(make or build(), run or small_run(tmp_path, **keys), thoroughness)
    assert not list(tmp_path.iterdir())  # nothing is written
    return {(one.group, one.check): one for one in found.verdicts}


def test_what_no_model_can_be_built_with_is_an_error_and_a_fault_of_its_code_a_verdict(tmp_path):
    def refuse(run):
        raise TrainingError("best.pt: its description is broken", fix="train again")

    with pytest.raises(TrainingError, match="its description is broken"):
        look(tmp_path, refuse)

    def fail(run):
        raise ValueError("a mistake")

    found = look(tmp_path, fail)[("initialization", "model")]
    assert found.state == "fail"
    assert "ValueError: a mistake" in str(found)


def test_a_healthy_run_passes_and_its_model_and_random_numbers_are_left_as_found(tmp_path, same_weights):
    run = tiny_run(tmp_path, options={"norm": True, "dropout": 0.1}, clip_grad_norm=1.0)
    task = Guessing(run.dataset.classes, run.options)
    task.model.eval()
    task.model.head.bias.grad = torch.ones_like(task.model.head.bias)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    random = torch.get_rng_state()
    found = diagnose(lambda run: task, run, Thoroughness(range_steps=12, overfit_steps=60, overfit_share=0.8))
    assert not [one for one in found.verdicts if one.state in {"fail", "skipped"}]
    assert {one.group for one in found.verdicts} == {
        *("data", "initialization", "forward", "loss", "backward", "optimizer", "learning rate", "overfit")
    }
    assert same_weights(task.model.state_dict(), before)
    assert not any(module.training for module in task.model.modules())
    assert bool((task.model.head.bias.grad == 1).all())
    assert task.model.head.weight.grad is None
    assert torch.equal(torch.get_rng_state(), random)


def test_two_diagnoses_of_one_run_are_the_same(tmp_path):
    how = Thoroughness(range_steps=5, overfit_steps=5)

    def numbers():
        found = diagnose(build(norm=True, dropout=0.3), small_run(tmp_path), how).as_dict()["verdicts"]
        return [one["numbers"] for one in found if one["group"] != "forward"]  # which says how long it took

    assert numbers() == numbers()


def spoil(name, value):
    def change(model):
        model.get_parameter(name).reshape(-1)[0] = value

    return change


class Raising(GridTask):
    def step(self, batch):
        raise ValueError("no such cell")


class Constant(GridTask):
    """What the seed did: a loss that is not finite is replaced by a number without a gradient."""

    def step(self, batch):
        super().step(batch)
        return StepOutput({"class": torch.tensor(2.3)})


class Dividing(GridTask):
    def step(self, batch):
        output = super().step(batch)
        return StepOutput({**output.losses, "dice": output.loss * 0.0 / 0.0})


class Rooting(GridTask):
    """Finite forward, infinite gradient."""

    def step(self, batch):
        output = super().step(batch)
        return StepOutput({**output.losses, "root": (self.model.head.weight * 0).sum().sqrt()})


class Detached(GridTask):
    def step(self, batch):
        logits, boxes = self.model.head(self.model.backbone(batch["image"]).detach()).split(
            (len(self.classes), 4), 1
        )
        return StepOutput({"class": logits.square().mean() + boxes.square().mean()})


class Sanitizing(GridTask):
    def step(self, batch):
        return StepOutput(super().step(batch).losses, sanitized={"logits": torch.tensor(7)})


@pytest.mark.parametrize(
    ("make", "place", "state", "says"),
    [
        (
            build(change=spoil("head.weight", NAN)),
            ("initialization", "weights"),
            "fail",
            "head.weight is not finite",
        ),
        (build(change=spoil("head.weight", NAN)), ("forward", "outputs"), "fail", r"head \(Conv2d\)"),
        (
            build(change=lambda model: model.head.weight.fill_(0.1)),
            ("initialization", "weights"),
            "warn",
            "all numbers alike: head.weight",
        ),
        (
            build(change=lambda model: model.head.weight.mul_(1e5)),
            ("initialization", "activations"),
            "warn",
            "large: head",
        ),
        (
            build(change=lambda model: model.head.weight.mul_(1e3)),
            ("loss", "first loss"),
            "fail",
            "guessing 0.69",
        ),
        (build(Raising), ("loss", ""), "fail", "ValueError: no such cell"),
        (build(Constant), ("loss", "value"), "fail", "no gradient can reach the weights"),
        (build(Dividing), ("loss", "value"), "fail", "dice nan"),
        (build(Rooting), ("backward", "gradients"), "fail", "head.weight"),
        (
            build(Detached),
            ("backward", "parameters"),
            "warn",
            r"2 of 4 .*backbone\.0\.weight, backbone\.0\.bias",
        ),
        (build(Detached), ("optimizer", "update"), "warn", r"2 of 4 do not move: backbone\.0\.weight"),
        (build(Sanitizing), ("loss", "sanitized"), "warn", "7 logits"),
    ],
)
def test_a_fault_of_the_model_is_found_by_its_check(tmp_path, make, place, state, says):
    found = look(tmp_path, make)[place]
    assert found.state == state
    assert re.search(says, found.measured)
    assert found.fix


def test_an_error_of_a_task_names_its_place_and_what_needs_it_is_skipped(tmp_path):
    found = look(tmp_path, build(Raising))
    assert "test_examination.py" in found["loss", ""].fix
    assert "in step" in found["loss", ""].fix
    assert found["backward", ""].state == "skipped"
    assert found["data", "images"].state == "pass"


def test_a_model_that_cannot_be_built_is_a_verdict(tmp_path):
    def make(run):
        raise ZeroDivisionError("channels // 0")

    found = look(tmp_path, make)
    assert found["initialization", "model"].measured == "ZeroDivisionError: channels // 0"


def test_vanishing_gradients_are_named_by_layer(tmp_path):
    found = look(tmp_path, build(change=lambda model: model.head.weight.mul_(1e-9)))["backward", "layers"]
    assert found.state == "warn"
    assert "vanishing: backbone.0.weight" in found.measured
    norms = found.numbers["layers"]
    assert norms["backbone.0.weight"] < 1e-6 * norms["head.weight"]


@pytest.mark.parametrize(
    ("keys", "place", "state"),
    [
        ({"lr": 1e-12}, ("overfit", "one batch"), "fail"),
        ({"lr": 1e5, "optimizer": "sgd"}, ("overfit", "one batch"), "fail"),
        ({"lr": 1e5, "optimizer": "sgd"}, ("optimizer", "loss after a step"), "warn"),
        ({"lr": 1e5, "optimizer": "sgd"}, ("learning rate", "range"), "fail"),
        ({"max_grad_norm": 1e-3}, ("optimizer", "step"), "fail"),
    ],
)
def test_a_fault_of_the_recipe_is_found(tmp_path, keys, place, state):
    found = look(tmp_path, thoroughness=Thoroughness(range_steps=20, overfit_steps=5), **keys)[place]
    assert found.state == state
    assert found.fix


def test_the_rate_is_suggested_where_the_loss_falls_fastest():
    rates = np.geomspace(1e-6, 10, 41)
    losses = 2 - 1 / (1 + (1e-3 / rates) ** 2) + np.clip(rates - 1, 0, None)
    found = RateRange(rates.tolist(), losses.tolist())
    assert found.suggested == pytest.approx(1e-3, rel=0.6)
    assert found.lowest_rate == pytest.approx(1.0, rel=0.6)
    assert RateRange([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).suggested is None


def altered(run, change):
    """A run whose records are what ``change(index, record)`` makes of them."""

    class Altered(SyntheticDataset):
        def __getitem__(self, index):
            return change(index, super().__getitem__(index))

    return replace(run, dataset=Altered(6, 0, (64, 64), "train"))


class Plain(Pixels):
    def __init__(self, image):
        self.image = image

    def read(self):
        return self.image

    def size_wh(self):
        return self.image.shape[1], self.image.shape[0]


def same_image(index, record):
    return record.with_pixels(Plain(SyntheticDataset(6, 0, (64, 64))[0].image())) if index == 3 else record


def black(index, record):
    return record.with_pixels(Plain(np.zeros((64, 64, 3), np.uint8))) if index == 2 else record


def torn(index, record):
    class Torn(Plain):
        def read(self):
            raise ImageError(f"{record.key}: cut short", fix="get it again")

    return record.with_pixels(Torn(np.zeros((64, 64, 3), np.uint8))) if index == 1 else record


def unlabeled(index, record):
    return replace(record, labels=None) if index else record


@pytest.mark.parametrize(
    ("change", "check", "state", "says"),
    [
        (same_image, "duplicates", "warn", "000000.png = 000003.png"),
        (black, "value ranges", "warn", "000002.png"),
        (torn, "images", "fail", "000001.png: cut short"),
        (unlabeled, "labels", "warn", "000001.png"),
    ],
)
def test_a_fault_of_the_data_is_found(tmp_path, change, check, state, says):
    found = look(tmp_path, run=altered(small_run(tmp_path), change))["data", check]
    assert found.state == state
    assert says in found.measured
    assert found.fix


def test_images_that_are_validated_and_trained_on_are_found(tmp_path):
    run = tiny_run(tmp_path, images=6)
    found = look(tmp_path, run=replace(run, validation=SyntheticDataset(3, 0, (64, 64), "val")))
    assert found["data", "leakage"].state == "fail"
    assert "3 images" in found["data", "leakage"].measured


def test_samples_that_reach_the_model_as_nan_are_named(tmp_path):
    class Spoiling(GridTask):
        def item(self, sample):
            item = super().item(sample)
            if sample.key == "000002.png":
                item["image"][0, 0, 0] = NAN
            return item

    run = small_run(tmp_path, shuffle=False)
    found = look(tmp_path, build(Spoiling), run=run)
    assert "000002.png (image)" in found["data", "value ranges"].measured
    assert "batch.image is not finite" in found["forward", "input"].measured
    assert found["loss", ""].state == "skipped"


def test_a_label_that_is_no_class_is_an_image_that_the_adapter_refuses(tmp_path):
    class Refusing(GridTask):
        def item(self, sample):
            raise DatasetError(f"image {sample.key}: class 9 of 3", fix="correct it")

    found = look(tmp_path, build(Refusing))
    assert found["data", "images"].state == "fail"
    assert found["data", "first batch"].state == "fail"
    assert "class 9 of 3" in found["data", "first batch"].measured
