"""Losses beside the task's own: they are trained on, looked at, logged, saved, and agreed on by processes."""

from __future__ import annotations

import copy
import signal

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.distillation import Distillation, Keep, assert_same_training
from core.tests.training.grid import GridTask, tiny_run
from core.tests.training.processes import torchrun
from torch.nn.functional import kl_div

from anydet.errors import InterruptedTraining, TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.engine import train
from anydet.training.extra_loss import ExtraLoss
from anydet.training.hooks import TrainingHook


class Decay(ExtraLoss):
    """Half the squared length of the weights, times a factor that a step may change."""

    name = "decay"

    def __init__(self, factor=0.5):
        self.factor = factor

    def losses(self, task, batch, output):
        lengths = [parameter.square().sum() for parameter in task.model.parameters()]
        return {"decay": self.factor / 2 * torch.stack(lengths).sum()}


class Growing(Decay):
    """Doubles after each step; its factor survives."""

    def after_step(self, loop):
        self.factor *= 2

    def state_dict(self):
        return {"factor": self.factor}

    def load_state_dict(self, state):
        self.factor = state["factor"]


def build(run):
    torch.manual_seed(run.settings.seed)
    return GridTask(run.dataset.classes, {})


@pytest.mark.slow
def test_an_extra_loss_is_in_the_total_the_gradients_and_the_metrics_but_not_in_validations(
    tmp_path, metric_lines
):
    gradients, weights = {}, {}

    class Look(TrainingHook):
        def __init__(self, run):
            self.run = run

        def before_update(self, loop):
            if self.run not in gradients:
                gradients[self.run] = [p.grad.clone() for p in loop.model.parameters()]
                weights[self.run] = [p.detach().clone() for p in loop.model.parameters()]

    keys = {"images": 8, "epochs": 1}
    train(build, tiny_run(tmp_path / "with", **keys), [Decay(), Look("with")])
    train(build, tiny_run(tmp_path / "without", **keys), [Look("without")])
    for decayed, plain, weight in zip(
        gradients["with"], gradients["without"], weights["without"], strict=True
    ):
        torch.testing.assert_close(decayed, plain + 0.5 * weight)
    first = metric_lines(tmp_path / "with" / "train_metrics.jsonl")[0]
    length = sum(float(weight.square().sum()) for weight in weights["with"])
    assert first["train_loss_decay"] == pytest.approx(0.25 * length)
    parts = [first[f"train_loss_{name}"] for name in ("class", "box", "decay")]
    assert first["train_loss"] == pytest.approx(sum(parts))
    [validation] = metric_lines(tmp_path / "with" / "val_metrics.jsonl")
    assert "val_loss_decay" not in validation
    own = validation["val_loss_class"] + validation["val_loss_box"]
    assert validation["avg_val_loss"] == pytest.approx(own)


@pytest.mark.slow
def test_an_extra_loss_that_is_not_finite_stops_the_run_by_its_name(tmp_path):
    with pytest.raises(TrainingError, match="train_loss_decay is nan"):
        train(build, tiny_run(tmp_path), [Decay(float("nan"))])


@pytest.mark.slow
def test_the_state_of_an_extra_loss_goes_on_where_a_signal_stopped_it(tmp_path, same_weights):
    class Stop(TrainingHook):
        def after_step(self, loop):
            if loop.progress.step == 3:
                signal.raise_signal(signal.SIGTERM)

    train(build, tiny_run(tmp_path / "whole"), [Growing()])
    with pytest.raises(InterruptedTraining):
        train(build, tiny_run(tmp_path / "part"), [Growing(), Stop()])
    assert load_checkpoint(tmp_path / "part" / "checkpoint.pt").training["hooks"] == {
        "decay": {"factor": 4.0}
    }
    train(build, tiny_run(tmp_path / "part", resume=True), [Growing()])
    whole, part = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "part"))
    assert part.training["hooks"] == {"decay": {"factor": 32.0}}
    assert same_weights(whole.model, part.model)


@pytest.mark.slow
def test_two_losses_of_one_name_are_refused(tmp_path):
    class Box(Decay):
        def losses(self, task, batch, output):
            return {"box": output.losses["box"]}

    with pytest.raises(TrainingError, match="Box: there is a loss 'box' already"):
        train(build, tiny_run(tmp_path), [Box()])


@pytest.mark.slow
def test_a_teacher_that_is_the_trained_model_itself_is_refused(tmp_path):
    class Same(GridTask):
        def hooks(self):
            return [Distillation(self)]

    with pytest.raises(TrainingError, match="Distillation: its frozen Grid has weights of the trained model"):
        train(lambda run: Same(run.dataset.classes, {}), tiny_run(tmp_path))


@pytest.mark.slow
def test_a_teacher_is_in_evaluation_mode_without_gradients_and_neither_trained_nor_saved(
    tmp_path, metric_lines, same_weights
):
    run = tiny_run(tmp_path, images=8, lr=1e-2, epochs=3)
    teacher = GridTask(run.dataset.classes, {"norm": True, "dropout": 0.5})
    before = copy.deepcopy(teacher.model.state_dict())
    train(build, run, [Distillation(teacher)])
    assert same_weights(teacher.model.state_dict(), before)
    assert not any(module.training for module in teacher.model.modules())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    saved = load_checkpoint(run.paths.last)
    assert saved.model.keys() == build(run).model.state_dict().keys()
    assert saved.training["hooks"] == {}
    losses = [line["train_loss_distillation"] for line in metric_lines(run.paths.train_metrics)]
    assert losses[-1] < losses[0]


def test_the_divergence_of_tests_is_that_of_torch(tmp_path):
    from core.tests.training.distillation import divergence

    from anydet.plugins.adapter import ClassLogits

    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 4, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    valid = torch.ones(2, 5, dtype=torch.bool)
    found = divergence(ClassLogits(student, valid, "softmax"), ClassLogits(teacher, valid, "softmax"), 2.0)
    expected = kl_div(
        (student / 2).flatten(0, 1).log_softmax(1),
        (teacher / 2).flatten(0, 1).softmax(1),
        reduction="batchmean",
    )
    torch.testing.assert_close(found, 4 * expected)
    pair = torch.stack([student, torch.zeros_like(student)], -1), torch.stack([teacher, 0 * teacher], -1)
    each = kl_div((pair[0] / 2).log_softmax(-1), (pair[1] / 2).softmax(-1), reduction="sum") / 10
    found = divergence(ClassLogits(student, valid, "sigmoid"), ClassLogits(teacher, valid, "sigmoid"), 2.0)
    torch.testing.assert_close(found, 4 * each)


SCRIPT = """
import sys
from pathlib import Path
from core.tests.training.test_extra_loss import distill
distill(Path(sys.argv[1]), batch_size=2, epochs=2)
"""


def distill(folder, **keys):
    """A grid learns its labels and the classes of a teacher."""
    run = tiny_run(folder, images=24, **keys)
    torch.manual_seed(7)
    teacher = GridTask(run.dataset.classes, {"norm": True})
    folder.mkdir(exist_ok=True)
    train(build, run, [Distillation(teacher, weight=3.0), Keep(folder, teacher=teacher.model)])


@pytest.mark.soak
def test_two_processes_distill_as_one_with_twice_the_batch_and_resume(tmp_path, metric_lines, same_weights):
    two, one = tmp_path / "two", tmp_path / "one"
    done = torchrun(SCRIPT, tmp_path, str(two))
    assert done.returncode == 0, done.stderr
    distill(one, batch_size=4, epochs=2)
    assert_same_training([two / "rank0.pt", two / "rank1.pt", one / "rank0.pt"])
    for ours, theirs in zip(
        *(metric_lines(folder / "train_metrics.jsonl") for folder in (two, one)), strict=True
    ):
        for key in ("train_loss", "train_loss_class", "train_loss_box", "train_loss_distillation"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-5), key
    torch.manual_seed(7)
    teacher = GridTask(tiny_run(tmp_path).dataset.classes, {"norm": True}).model.state_dict()
    kept = [torch.load(two / f"rank{rank}.pt", weights_only=True)["teacher"] for rank in (0, 1)]
    assert all(same_weights(teacher, state) for state in kept)
    part = tmp_path / "part"
    distill(part, batch_size=4, epochs=1)
    distill(part, batch_size=4, epochs=2, resume=True)
    whole, resumed = (load_checkpoint(folder / "checkpoint.pt") for folder in (one, part))
    assert same_weights(whole.model, resumed.model)
