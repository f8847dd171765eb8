"""Numbers that are not finite are found, named and counted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridTask, tiny_run

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook
from anydet.training.numerics.nonfinite import (
    BufferSnapshot,
    first_nonfinite,
    first_nonfinite_gradient,
    first_nonfinite_module,
    first_nonfinite_parameter,
)
from anydet.training.numerics.sanitizing import sanitize
from anydet.training.task import StepOutput

NAN = float("nan")


def test_the_first_number_that_is_not_finite_is_named_in_a_nested_batch():
    batch = {"images": torch.ones(2), "targets": [{"boxes": torch.ones(1)}, {"boxes": torch.tensor([NAN])}]}
    assert first_nonfinite(batch) == "batch.targets[1].boxes"
    assert first_nonfinite({"ids": torch.tensor([1, 2]), "images": torch.ones(2)}) is None


def test_the_module_where_it_begins_is_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    with torch.no_grad():
        model[1].weight[0, 0] = NAN
    assert first_nonfinite_module(model, lambda: model(torch.ones(1, 2))) == "1 (Linear)"
    assert first_nonfinite_parameter(model) == "1.weight"


def test_the_gradient_that_backward_reaches_first_is_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    (model(torch.ones(1, 2)).sum() * NAN).backward()
    assert first_nonfinite_gradient(model) == "1.bias"


def test_running_statistics_are_put_back():
    model = torch.nn.BatchNorm1d(2)
    snapshot = BufferSnapshot(model)
    model(torch.full((4, 2), NAN))
    assert model.running_mean.isnan().all()
    snapshot.put_back()
    assert model.running_mean.isfinite().all()
    assert model.num_batches_tracked == 0


class Faulty(GridTask):
    """Has one fault on one image, however often it is seen."""

    fault = "loss"
    scale = 1e6

    def item(self, sample):
        item = super().item(sample)
        if sample.key == "000003.png" and self.fault == "pixels":
            item["image"][0, 0, 0] = NAN
        return item | {"bad": torch.tensor(float(sample.key == "000003.png"))}

    def step(self, batch):
        output = super().step({**batch})
        bad = bool(batch["bad"].any())
        losses = dict(output.losses)
        if bad and self.fault == "loss":
            losses["box"] = losses["box"] * NAN
        if bad and self.fault == "scale":
            losses["box"] = losses["box"] * self.scale
        if bad and self.fault == "gradient":
            losses["box"] = losses["box"] + (self.model.head.weight * 0).sum().sqrt()
        return StepOutput(losses)


def run_with(fault, folder, **keys):
    run = tiny_run(folder, options={"norm": True}, shuffle=False, epochs=1, **keys)

    def build(run):
        task = Faulty(run.dataset.classes, run.options)
        task.fault = fault
        return task

    return train(build, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("loss", r"train_loss is nan.*first not finite: the gradient of head"),
        ("pixels", r"batch.image of the input"),
        ("gradient", r"grad_norm is .*the gradient of head.weight"),
    ],
)
def test_a_run_stops_and_names_the_cause_and_the_images(tmp_path, fault, problem):
    with pytest.raises(TrainingError, match=problem) as caught:
        run_with(fault, tmp_path)
    assert "step 1 (epoch 0)" in str(caught.value)
    assert "images: 000000.png, 000001.png, 000002.png, 000003.png" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "keys", "reason"),
    [
        ("pixels", {"check_inputs": True}, "batch.image of the input is not finite; images: 000000.png"),
        ("pixels", {}, "batch.image of the input"),
        ("loss", {}, "train_loss_box is nan"),
        ("scale", {"max_grad_norm": 100.0}, "is above max_grad_norm 100"),
    ],
)
def test_a_skipped_step_leaves_nothing_behind_and_is_written_down(tmp_path, fault, keys, reason):
    run_with(fault, tmp_path, on_nonfinite="skip", **keys)
    first, *rest = [json.loads(line) for line in (tmp_path / "train_metrics.jsonl").read_text().splitlines()]
    assert reason in first["skipped"]
    assert [line["step"] for line in rest] == [1, 2]
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt")
    assert all(torch.isfinite(value).all() for value in checkpoint.model.values())
    assert checkpoint.training["progress"]["skipped"] == 1
    assert checkpoint.model["backbone.1.num_batches_tracked"] == 2


@pytest.mark.slow
def test_too_many_skips_in_a_row_end_the_run(tmp_path):
    run = replace(tiny_run(tmp_path, on_nonfinite="skip", max_skips=2))

    def build(run):
        task = Faulty(run.dataset.classes, {})
        task.fault = "loss"
        task.step = lambda batch: StepOutput({"box": task.model.head.weight.sum() * NAN})
        return task

    with pytest.raises(TrainingError, match="2 steps in a row were skipped"):
        train(build, run)


@pytest.mark.slow
def test_too_large_a_fraction_of_skipped_steps_ends_the_run(tmp_path):
    with pytest.raises(TrainingError, match="1 of 3 steps were skipped"):
        run_with("loss", tmp_path, on_nonfinite="skip", max_skip_share=0.05)


@pytest.mark.slow
def test_poisoned_weights_end_the_run_at_once_even_where_steps_may_be_skipped(tmp_path):
    class Poison(TrainingHook):
        def before_step(self, loop):
            if loop.progress.step == 1:
                loop.model.head.bias.data[0] = NAN

    run = tiny_run(tmp_path, on_nonfinite="skip", save_every=1)
    with pytest.raises(TrainingError, match=r"step 2 .*the weights of head.bias are not finite"):
        train(lambda run: GridTask(run.dataset.classes, {}), run, hooks=[Poison()])
    kept = load_checkpoint(tmp_path / "checkpoint.pt").model
    assert all(torch.isfinite(value).all() for value in kept.values())


@pytest.mark.slow
def test_poisoned_weights_end_with_those_of_the_last_checkpoint(tmp_path, same_weights):
    class Poison(TrainingHook):
        def before_step(self, loop):
            if loop.progress.step == 2:
                loop.model.head.weight.data[0] = NAN

    tasks = []

    def build(run):
        tasks.append(GridTask(run.dataset.classes, {}))
        return tasks[0]

    run = tiny_run(tmp_path, on_nonfinite="skip", save_every=2)
    with pytest.raises(TrainingError, match=r"the model has its weights of step 2 again, as in .*checkpoint"):
        train(build, run, hooks=[Poison()])
    kept = load_checkpoint(tmp_path / "checkpoint.pt").model
    assert same_weights(tasks[0].model.state_dict(), kept)
    assert all(torch.isfinite(value).all() for value in kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["head.weight", "backbone.1.running_var"])
def test_weights_that_the_last_step_broke_are_not_saved(tmp_path, name):
    class Break(TrainingHook):
        def after_step(self, loop):
            if loop.progress.step == 4:
                loop.model.state_dict()[name][0] = float("inf")

    run = tiny_run(tmp_path, options={"norm": True}, save_every=3, val_every=0, epochs=1, images=16)
    with pytest.raises(TrainingError, match=f"after step 4 the weights of {name} are not finite.*of step 3"):
        train(lambda run: GridTask(run.dataset.classes, run.options), run, hooks=[Break()])
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved.step == 3
    assert all(torch.isfinite(value).all() for value in saved.model.values())


@pytest.mark.slow
def test_what_a_task_sanitizes_is_counted_in_training_and_validation(tmp_path):
    class Sanitizing(GridTask):
        def step(self, batch):
            output = super().step(batch)
            found = sanitize(torch.tensor([NAN, 11.0, 3.0]), 10.0)
            return StepOutput(output.losses, sanitized={"logits": found.nonfinite + found.clamped})

    run = tiny_run(tmp_path, epochs=1, gradient_accumulation_steps=2)
    train(lambda run: Sanitizing(run.dataset.classes, {}), run)
    lines = [json.loads(line) for line in (tmp_path / "train_metrics.jsonl").read_text().splitlines()]
    assert [line["train_sanitized_logits"] for line in lines] == [4, 2]
    validation = json.loads((tmp_path / "val_metrics.jsonl").read_text())
    assert validation["val_sanitized_logits"] == 4


def test_numbers_are_sanitized_with_a_gradient_where_they_are_kept():
    numbers = torch.tensor([NAN, float("inf"), -float("inf"), 20.0, -3.0], requires_grad=True)
    found = sanitize(numbers, 10.0)
    found.values.sum().backward()
    assert found.values.tolist() == [0.0, 10.0, -10.0, 10.0, -3.0]
    assert (int(found.nonfinite), int(found.clamped)) == (3, 1)
    assert numbers.grad.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.slow
def test_an_fp16_overflow_lowers_the_scale_until_the_step_can_be_taken(tmp_path, scale_as_fp16):
    class Large(GridTask):
        def step(self, batch):
            output = super().step(batch)
            return StepOutput(output.losses, output.loss * 100.0)

    scale_as_fp16()
    run = tiny_run(tmp_path, epochs=1, batch_size=1)
    train(lambda run: Large(run.dataset.classes, {}), run)
    lines = [json.loads(line) for line in (tmp_path / "train_metrics.jsonl").read_text().splitlines()]
    reasons = [line["overflow"] for line in lines if "overflow" in line]
    progress = load_checkpoint(tmp_path / "checkpoint.pt").training["progress"]
    assert set(reasons) == {"fp16 overflowed; the loss scale was lowered"}
    assert progress["overflows"] == len(reasons)
    assert progress["step"] == 12 - len(reasons) > 0
    assert progress["skipped"] == 0


@pytest.mark.slow
def test_an_epoch_without_any_gradient_ends_the_run(tmp_path):
    class Saturated(GridTask):
        def step(self, batch):
            losses = {name: loss * 0.0 + 2.3 for name, loss in super().step(batch).losses.items()}
            return StepOutput(losses, sanitized={"logits": torch.tensor(5)})

    with pytest.raises(TrainingError, match=r"gradient was 0 in all 3 steps.* the last one had 5 logits"):
        train(lambda run: Saturated(run.dataset.classes, {}), tiny_run(tmp_path))


@pytest.mark.slow
def test_gradients_too_large_for_their_norm_are_named(tmp_path):
    class Huge(GridTask):
        def step(self, batch):
            output = super().step(batch)
            return StepOutput(output.losses, output.loss * 1e30)

    with pytest.raises(TrainingError, match=r"the norm itself, as the gradient of \S+ reaches"):
        train(lambda run: Huge(run.dataset.classes, {}), tiny_run(tmp_path))
