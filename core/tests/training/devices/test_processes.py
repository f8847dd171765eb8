"""Several processes of one run, as torchrun starts them; on the CPU with gloo."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.processes import torchrun

from anydet.training.checkpoints.checkpoint import load_checkpoint

SCRIPT = """
import os, signal, sys
from pathlib import Path
from core.tests.training.grid import GridTask, tiny_run
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook
from anydet.errors import AnydetError

class Die(TrainingHook):
    def after_step(self, loop):
        if loop.progress.step == 4 and loop.processes.rank == 1 and "die" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)
        if loop.progress.step == 4 and "term" in sys.argv and loop.processes.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

keys = {"images": 26, "batch_size": 2, "epochs": 2, "save_every": 2, "resume": "resume" in sys.argv}
if "late" in sys.argv:
    keys["max_minutes"] = 1e-6 if os.environ["RANK"] == "0" else 60.0
try:
    train(lambda run: GridTask(run.dataset.classes, {}), tiny_run(Path(sys.argv[1]), **keys), [Die()])
except AnydetError as error:
    print("Error:", error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def train_in_processes(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return torchrun(SCRIPT, folder, str(folder / "run"), *words)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_with_twice_the_batch(tmp_path, train_tiny):
    done = train_in_processes(tmp_path)
    assert done.returncode == 0, done.stderr
    train_tiny(tmp_path / "one", images=26, batch_size=4, epochs=2)
    for name in ("train_metrics.jsonl", "val_metrics.jsonl"):
        two, one = read(tmp_path / "run" / name), read(tmp_path / "one" / name)
        assert len(two) == len(one)
        for ours, theirs in zip(two, one, strict=True):
            for key in (key for key in theirs if "loss" in key or key.startswith("A")):
                assert ours[key] == pytest.approx(theirs[key], abs=1e-5, nan_ok=True), key
    both, alone = (load_checkpoint(tmp_path / name).model for name in ("run", "one"))
    assert all(torch.allclose(both[key], alone[key], atol=1e-4) for key in alone)


@pytest.mark.soak
def test_all_processes_end_when_time_is_up_on_the_clock_of_the_first(tmp_path):
    done = train_in_processes(tmp_path, "late")
    assert done.returncode == 0, done.stderr
    assert "minutes are over, after 1 of" in done.stderr
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").step == 1
    assert [line["step"] for line in read(tmp_path / "run" / "val_metrics.jsonl")] == [1]


@pytest.mark.soak
def test_a_run_ends_when_one_of_its_processes_dies_and_goes_on_when_resumed(tmp_path):
    died = train_in_processes(tmp_path, "die")
    assert died.returncode != 0
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").step == 2 or (
        load_checkpoint(tmp_path / "run" / "checkpoint.pt").step == 4
    )
    done = train_in_processes(tmp_path, "resume")
    assert done.returncode == 0, done.stderr
    steps = [line["step"] for line in read(tmp_path / "run" / "train_metrics.jsonl")]
    assert steps == list(range(1, 15))


@pytest.mark.slow
def test_sigterm_at_one_process_stops_all_of_them_with_everything_saved(tmp_path):
    stopped = train_in_processes(tmp_path, "term")
    assert stopped.returncode != 0
    assert "stopped by SIGTERM after step 4" in stopped.stderr
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").step == 4
