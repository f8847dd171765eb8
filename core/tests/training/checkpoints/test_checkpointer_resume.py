"""A run that was cut off and resumed ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridTask, tiny_run

from anydet.errors import OptionError, OutputError, TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook

EVERYTHING = {
    "images": 22,
    "options": {"norm": True, "dropout": 0.3},
    "epochs": 3,
    "use_ema": True,
    "ema_decay": 0.9,
    "ema_eval": True,
    "clip_grad_norm": 0.5,
    "gradient_accumulation_steps": 2,
    "hflip_prob": 0.5,
    "color_jitter": 0.3,
    "best_metric": "val_loss",
    "save_every": 1,
}
SCHEDULES = {
    "onecycle": {"optimizer": "sgd", "scheduler": "onecycle"},
    "plateau": {"scheduler": "plateau", "plateau_patience": 0, "lr_warmup_steps": 3},
}


class PulledPlug(Exception):  # noqa: N818 - no error of ours
    """The machine went off."""


class PullPlug(TrainingHook):
    def __init__(self, step):
        self.step = step

    def after_step(self, loop):
        if loop.progress.step == self.step:
            raise PulledPlug


def build(options):
    return lambda run: GridTask(run.dataset.classes, options)


@pytest.fixture(scope="session")
def assert_same_run(metric_lines, same_weights):
    def check(first: Path, second: Path) -> None:
        for name in ("train_metrics.jsonl", "val_metrics.jsonl"):
            assert metric_lines(first / name) == metric_lines(second / name)
        for name in ("checkpoint.pt", "best.pt"):
            one, two = load_checkpoint(first / name), load_checkpoint(second / name)
            assert same_weights(one.model, two.model)
            assert one.step == two.step
            assert repr(one.metrics) == repr(two.metrics)  # NaN is not equal to itself
        one, two = (load_checkpoint(folder / "checkpoint.pt").training for folder in (first, second))
        assert same_weights(one["model"], two["model"])
        assert same_weights(one["ema"], two["ema"])
        assert torch.equal(one["rng"][0]["torch"], two["rng"][0]["torch"])
        assert one["progress"] == two["progress"]

    return check


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_cut_off_inside_an_epoch_ends_with_the_same_bits(
    tmp_path, schedule, train_tiny, assert_same_run
):
    keys = EVERYTHING | SCHEDULES[schedule]
    train_tiny(tmp_path / "whole", **keys)
    run = tiny_run(tmp_path / "cut", **keys)
    with pytest.raises(PulledPlug):
        train(build(keys["options"]), run, hooks=[PullPlug(5)])
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt").step == 4
    train(build(keys["options"]), tiny_run(tmp_path / "cut", resume=True, **keys))
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from core.tests.training.grid import GridTask, tiny_run
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook

class Kill(TrainingHook):
    def after_step(self, loop):
        if loop.progress.step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

keys = json.loads(sys.argv[4])
run = tiny_run(Path(sys.argv[1]), resume=sys.argv[3] == "resume", **keys)
train(lambda run: GridTask(run.dataset.classes, keys["options"]), run, [Kill()])
"""


@pytest.mark.soak
@pytest.mark.parametrize("kills", [1, 2])
def test_a_run_killed_at_random_steps_and_resumed_ends_with_the_same_bits(
    tmp_path, kills, train_tiny, assert_same_run
):
    """SIGKILL mid-epoch, worker processes included."""
    keys = EVERYTHING | SCHEDULES["onecycle"] | {"num_workers": 2, "save_every": 2}

    def run(folder: Path, kill_at: int, mode: str) -> int:
        command = [sys.executable, "-c", SCRIPT, str(folder), str(kill_at), mode, json.dumps(keys)]
        path = os.pathsep.join([str(Path(__file__).parents[4]), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path}).returncode

    # after the first checkpoint
    for number, step in enumerate(sorted(random.sample(range(3, 9), kills))):
        assert run(tmp_path / "killed", step, "resume" if number else "new") == -signal.SIGKILL
    assert run(tmp_path / "killed", -1, "resume") == 0
    train_tiny(tmp_path / "whole", **keys)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_a_finished_run_resumed_with_more_epochs_goes_on(tmp_path, train_tiny, metric_lines):
    train_tiny(tmp_path, epochs=1)
    train_tiny(tmp_path, epochs=2, resume=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt").step == 6
    assert [line["step"] for line in metric_lines(tmp_path / "train_metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"images": 11}, TrainingError, "other images or annotations"),
        ({"batch_size": 2}, TrainingError, "batch size 4"),
        ({"use_ema": True}, OptionError, "no average"),
        ({"options": {"norm": True}}, TrainingError, r"missing \(5\): backbone.1.weight"),
    ],
)
def test_going_on_with_another_run_is_refused(tmp_path, changes, error, problem, train_tiny):
    train_tiny(tmp_path, epochs=1)
    with pytest.raises(error, match=problem):
        train_tiny(tmp_path, resume=True, **changes)


class AtStep(TrainingHook):
    """Does something after a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def after_step(self, loop):
        if loop.progress.step == self.step:
            self.act()


@contextmanager
def limited_files():
    """Writes beyond a size fail, as on a full disk, once the yielded function was called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def partials(folder):
    return [path for path in folder.rglob("*") if ".partial" in path.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "file"),
    [(1000, r"checkpoint\.pt"), (10, r"(train_metrics\.(jsonl|csv)|checkpoint\.pt)")],
)
def test_a_full_disk_is_one_error_and_the_run_goes_on_to_the_same_bits(
    tmp_path, size, file, train_tiny, assert_same_run
):
    keys = EVERYTHING | SCHEDULES["onecycle"]
    train_tiny(tmp_path / "whole", **keys)
    run = tiny_run(tmp_path / "cut", **keys)
    with (
        limited_files() as limit,
        pytest.raises(OutputError, match=f"{file}: cannot be written: File too large") as caught,
    ):
        train(build(keys["options"]), run, hooks=[AtStep(5, lambda: limit(size))])
    assert caught.value.fix
    assert not partials(tmp_path)
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt").step == 4  # the last whole one
    train(build(keys["options"]), tiny_run(tmp_path / "cut", resume=True, **keys))
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_leaves_no_checkpoint(tmp_path):
    with limited_files() as limit:
        limit(1500)
        with pytest.raises(OutputError, match="File too large") as caught:
            train(build({}), tiny_run(tmp_path / "run", epochs=1))
    assert "cannot be written" in caught.value.problem
    assert not partials(tmp_path)
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("log_every", [1, 100])
def test_a_folder_removed_while_the_run_trains_is_an_error_and_does_not_come_back(tmp_path, log_every):
    remove = AtStep(2, lambda: shutil.rmtree(tmp_path / "run"))
    run = tiny_run(tmp_path / "run", epochs=3, log_every=log_every)
    with pytest.raises(OutputError, match="was removed while the run was writing it") as caught:
        train(build({}), run, hooks=[remove])
    assert "start the run again" in caught.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [
        Path("/proc/a-run"),
        pytest.param(None, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")),
    ],
)
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, folder):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written") as caught:
        train(build({}), tiny_run(folder or tmp_path / "run", epochs=1))
    assert caught.value.fix


def damaged(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.slow
def test_a_damaged_last_checkpoint_names_the_best_one(tmp_path, train_tiny):
    train_tiny(tmp_path, epochs=1)
    damaged(tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="damaged or cut short") as caught:
        train_tiny(tmp_path, epochs=2, resume=True)
    assert f"use --checkpoint {tmp_path / 'best.pt'}, which is whole" in caught.value.fix
    assert "begin a new run with it" in caught.value.fix


@pytest.mark.slow
def test_a_damaged_best_checkpoint_of_a_folder_names_the_last_one(tmp_path, train_tiny):
    train_tiny(tmp_path, epochs=1)
    damaged(tmp_path / "best.pt")
    with pytest.raises(TrainingError, match="damaged or cut short") as caught:
        load_checkpoint(tmp_path)
    assert f"use --checkpoint {tmp_path / 'checkpoint.pt'}, which is whole" in caught.value.fix


@pytest.fixture(scope="module")
def ended(tmp_path_factory, train_tiny):
    """Folder of a run that has ended, to be copied."""
    folder = tmp_path_factory.mktemp("ended")
    train_tiny(folder, epochs=1)
    return folder


PARTS = ("model", "optimizer", "schedule", "best", "progress", "hooks", "rng", "batch_size", "data")
OPTIONAL = {("hooks", "empty"), ("progress", "empty")}
"""What is filled up by defaults."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "value"), sorted({(p, v) for p in PARTS for v in ("none", "lost", "empty")} - OPTIONAL)
)
def test_a_part_of_the_training_that_is_missing_or_wrong_is_one_error(
    tmp_path, part, value, ended, train_tiny
):
    shutil.copytree(ended, tmp_path, dirs_exist_ok=True)
    last = load_checkpoint(tmp_path / "checkpoint.pt")
    training = dict(last.training)
    if value == "lost":
        del training[part]
    else:
        training[part] = None if value == "none" else type(training[part])()
    save_checkpoint(tmp_path / "checkpoint.pt", replace(last, training=training))
    with pytest.raises(TrainingError, match=str(tmp_path / "checkpoint.pt")) as caught:
        train_tiny(tmp_path, epochs=2, resume=True)
    assert "\n" not in caught.value.problem
    assert caught.value.fix
