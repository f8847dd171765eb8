"""A whole run in one process: what it writes, what it predicts afterwards, and how it ends."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridAdapter, GridTask, tiny_run

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, InterruptedTraining, OptionError, TrainingError
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.config.settings import TrainSettings
from anydet.training.devices.processes import chosen_precision
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook
from anydet.types import AdapterSettings, ClassTable


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train_tiny):
    folder = tmp_path_factory.mktemp("run")
    return train_tiny(folder, best_metric="val_loss"), folder


@pytest.mark.slow
def test_a_run_writes_a_line_a_step_and_a_line_a_validation(trained, metric_lines):
    _, folder = trained
    steps, validations = (
        metric_lines(folder / "train_metrics.jsonl"),
        metric_lines(folder / "val_metrics.jsonl"),
    )
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert [line["epoch"] for line in steps] == [0, 0, 0, 1, 1, 1]
    assert {"train_loss", "train_loss_class", "train_loss_box", "learning_rate", "grad_norm"} <= set(steps[0])
    assert [line["step"] for line in validations] == [3, 6]
    assert {"avg_train_loss", "avg_val_loss", "val_loss_box", "AP", "AP50", "learning_rate"} <= set(
        validations[0]
    )
    first_epoch = np.mean([line["train_loss"] for line in steps[:3]])
    assert validations[0]["avg_train_loss"] == pytest.approx(first_epoch)


@pytest.mark.slow
def test_training_lowers_the_loss(trained, metric_lines):
    _, folder = trained
    losses = [line["avg_val_loss"] for line in metric_lines(folder / "val_metrics.jsonl")]
    assert losses[-1] < losses[0]


def test_what_predicts_from_the_checkpoint_are_the_bits_that_were_trained(trained):
    adapter, folder = trained
    records = list(SyntheticDataset(3, 7, (64, 64)))
    with GridAdapter(AdapterSettings(checkpoint=str(folder))) as loaded:
        for own, read in zip(adapter.predict(records), loaded.predict(records), strict=True):
            np.testing.assert_array_equal(own.scores, read.scores)
            np.testing.assert_array_equal(own.boxes_xyxy_px, read.boxes_xyxy_px)


@pytest.mark.slow
def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(tmp_path, metric_lines):
    """With a learning rate that wrecks the model in the second epoch."""
    run = tiny_run(
        tmp_path, best_metric="val_loss", scheduler="multistep", scheduler_milestones=[1], lr=1e-3, epochs=3
    )

    class Wreck(TrainingHook):
        def before_epoch(self, loop):
            for group in loop.components.optimizer.param_groups:
                group["lr"] = 1e-3 if loop.progress.epoch == 0 else 10.0

    result = train(lambda run: GridTask(run.dataset.classes, {}), run, hooks=[Wreck()])
    losses = [line["avg_val_loss"] for line in metric_lines(tmp_path / "val_metrics.jsonl")]
    assert losses[0] == min(losses)
    assert load_checkpoint(result.checkpoint).step == 3


@pytest.mark.slow
def test_the_same_seed_trains_the_same_bits_and_another_does_not(tmp_path, train_tiny, same_weights):
    options = {"norm": True, "dropout": 0.2}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train_tiny(tmp_path / name, seed=seed, options=options, epochs=1)
    one, two, other = (load_checkpoint(tmp_path / name) for name in ("a", "b", "c"))
    assert same_weights(one.model, two.model)
    assert not same_weights(one.model, other.model)


@pytest.mark.slow
def test_validation_does_not_change_what_is_trained(tmp_path, train_tiny, same_weights):
    options = {"norm": True, "dropout": 0.2}
    train_tiny(tmp_path / "often", val_every=1, options=options, restore_best=False)
    train_tiny(tmp_path / "never", val_every=0, options=options, restore_best=False)
    often, never = (
        load_checkpoint(tmp_path / name / "checkpoint.pt").training["model"] for name in ("often", "never")
    )
    assert same_weights(often, never)


@pytest.mark.slow
def test_accumulation_over_two_batches_is_one_batch_of_twice_the_size(tmp_path, train_tiny, metric_lines):
    keys = {"shuffle": False, "epochs": 1, "optimizer": "sgd", "images": 8}
    train_tiny(tmp_path / "two", batch_size=2, gradient_accumulation_steps=2, **keys)
    train_tiny(tmp_path / "one", batch_size=4, **keys)
    two, one = (metric_lines(tmp_path / name / "train_metrics.jsonl") for name in ("two", "one"))
    for accumulated, whole in zip(two, one, strict=True):
        assert accumulated["train_loss"] == pytest.approx(whole["train_loss"], abs=1e-6)
        assert accumulated["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


@pytest.mark.slow
def test_a_clipped_gradient_is_no_longer_than_the_limit(tmp_path):
    """Plain gradient descent with a learning rate of 1 moves the weights by the gradient."""
    kept = []

    class Watch(TrainingHook):
        def before_step(self, loop):
            kept.append([p.detach().clone() for p in loop.model.parameters()])

        def after_step(self, loop):
            old = kept.pop()
            new = loop.model.parameters()
            moved = torch.cat([(b - a).flatten() for a, b in zip(old, new, strict=True)]).norm().item()
            kept.append((moved, loop.metrics["grad_norm"]))

    keys = {"optimizer": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "clip_grad_norm": 1e-3}
    run = tiny_run(tmp_path, max_steps=1, **keys)
    train(lambda run: GridTask(run.dataset.classes, {}), run, hooks=[Watch()])
    moved, norm = kept[0]
    assert norm > 1e-3
    assert moved == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.slow
def test_whichever_of_epochs_and_steps_ends_first_ends_the_run(tmp_path, train_tiny, metric_lines):
    train_tiny(tmp_path / "steps", epochs=2, max_steps=4)
    train_tiny(tmp_path / "epochs", epochs=1, max_steps=40)
    assert load_checkpoint(tmp_path / "steps" / "checkpoint.pt").step == 4
    assert load_checkpoint(tmp_path / "epochs" / "checkpoint.pt").step == 3
    assert metric_lines(tmp_path / "steps" / "val_metrics.jsonl")[-1]["step"] == 4


@pytest.mark.slow
def test_patience_ends_a_run_that_makes_no_progress(tmp_path, train_tiny, metric_lines):
    train_tiny(tmp_path, lr=1e-12, epochs=9, early_stop_patience=2, early_stop_min_delta=0.5)
    assert len(metric_lines(tmp_path / "val_metrics.jsonl")) == 3


@pytest.mark.slow
def test_with_ema_eval_the_average_is_what_predicts(tmp_path, train_tiny, same_weights):
    train_tiny(tmp_path, use_ema=True, ema_decay=0.5, ema_eval=True, options={"norm": True})
    last = load_checkpoint(tmp_path / "checkpoint.pt")
    average = {name.removeprefix("module."): value for name, value in last.training["ema"].items()}
    assert all(torch.equal(last.model[name], average[name]) for name in last.model)
    assert not same_weights(last.model, last.training["model"])


@pytest.mark.slow
def test_bf16_trains_on_the_cpu(tmp_path, train_tiny, metric_lines):
    train_tiny(tmp_path, amp="bf16")
    exact = tmp_path / "exact"
    train_tiny(exact)
    rounded, precise = (
        metric_lines(folder / "train_metrics.jsonl")[0]["train_loss"] for folder in (tmp_path, exact)
    )
    assert rounded != precise
    assert rounded == pytest.approx(precise, rel=1e-2)


def test_fp16_without_cuda_is_refused(tmp_path, train_tiny):
    with pytest.raises(TrainingError, match="fp16 needs a CUDA device"):
        train_tiny(tmp_path, amp="fp16")


@pytest.mark.parametrize(
    ("amp", "device", "expected"),
    [("auto", "cuda", "fp16"), ("auto", "cpu", "no"), ("none", "cuda", "no"), ("bf16", "cpu", "bf16")],
)
def test_automatic_precision_is_fp16_with_cuda_and_none_without(amp, device, expected):
    assert chosen_precision(TrainSettings(amp=amp), torch.device(device)) == expected


@pytest.mark.parametrize(("device", "problem"), [("gpu", "not a device of torch"), ("cuda:9", "cuda")])
def test_a_device_that_is_not_there_is_refused(tmp_path, device, problem, train_tiny):
    with pytest.raises(TrainingError, match=problem):
        train_tiny(tmp_path, device=device)


@pytest.mark.slow
def test_validation_classes_in_another_order_are_refused(tmp_path):
    class Swapped(SyntheticDataset):
        @property
        def classes(self):
            return ClassTable(super().classes.names[::-1])

    run = replace(tiny_run(tmp_path), validation=Swapped(2, 1, (64, 64)))
    with pytest.raises(DatasetError, match="validation classes"):
        train(lambda run: GridTask(run.dataset.classes, {}), run)


@pytest.mark.slow
def test_a_run_without_an_end_is_refused(tmp_path, train_tiny):
    with pytest.raises(OptionError, match="neither epochs nor max_steps is set"):
        train_tiny(tmp_path, epochs=None)


@pytest.mark.slow
def test_plugins_see_the_run_and_how_far_it_is(tmp_path):
    seen = []

    class Observer:
        @hookimpl
        def on_train_start(self, run, state):
            seen.append(("start", run, state.progress.step))

        @hookimpl
        def on_train_step(self, run, state):
            seen.append(("step", run, state.progress.step, state.metrics["train_loss"] > 0))

        @hookimpl
        def on_train_epoch(self, run, state):
            seen.append(("epoch", run, state.progress.epoch, "avg_val_loss" in state.validation))

        @hookimpl
        def on_train_end(self, run, state):
            seen.append(("end", run, run.paths.last.is_file()))

    plugins = Plugins([])
    plugins.manager.register(Observer())
    run = replace(tiny_run(tmp_path, images=8, epochs=1), plugins=plugins)
    train(lambda run: GridTask(run.dataset.classes, {}), run)
    assert [event[0] for event in seen] == ["start", "step", "step", "epoch", "end"]
    assert all(event[1].paths == run.paths for event in seen)
    assert [event[2:] for event in seen] == [(0,), (1, True), (2, True), (1, True), (True,)]


@pytest.mark.slow
def test_sigterm_saves_and_ends_with_the_signals_exit_code(tmp_path):
    class Terminate(TrainingHook):
        def after_step(self, loop):
            if loop.progress.step == 2:
                signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedTraining, match="stopped by SIGTERM after step 2") as caught:
        train(lambda run: GridTask(run.dataset.classes, {}), tiny_run(tmp_path), hooks=[Terminate()])
    assert caught.value.exit_code == 143
    assert load_checkpoint(tmp_path / "checkpoint.pt").step == 2
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_validation_at_the_end_only_has_the_loss_of_the_last_epoch(tmp_path, train_tiny, metric_lines):
    train_tiny(tmp_path, val_every=0)
    steps = metric_lines(tmp_path / "train_metrics.jsonl")
    [validation] = metric_lines(tmp_path / "val_metrics.jsonl")
    assert (validation["step"], validation["epoch"]) == (6, 1)
    last_epoch = [line["train_loss"] for line in steps if line["epoch"] == 1]
    assert validation["avg_train_loss"] == pytest.approx(np.mean(last_epoch))
