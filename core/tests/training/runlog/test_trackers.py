from __future__ import annotations

import os
import struct
from contextlib import ExitStack

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from accelerate import PartialState

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import TrainingError
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet.training.runlog.trackers import Trackers, open_trackers

VALUES = {"train_loss": 0.1 + 0.2, "AP": 0.25}
OURS = ("WANDB_", "MLFLOW_")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Makes a run ``exp01`` that logs with the given trackers."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    PartialState(cpu=True)  # what accelerate asks whether this process writes

    def make(log_with):
        settings = TrainSettings(log_with=log_with, project="scenes", scheduler_milestones=[1, 2])
        paths = RunPaths.of_run(tmp_path / "runs", "exp01")
        paths.root.mkdir(parents=True, exist_ok=True)
        return Run("toy", SyntheticDataset(1), None, settings, paths, options={"depth": 18})

    return make


def train(run):
    """What a run tells; gives what was said."""
    said = []
    trackers = open_trackers(run, said.append)
    for step in (1, 2):
        trackers.log({name: value * step for name, value in VALUES.items()}, step)
    run.paths.best.parent.mkdir()
    run.paths.best.write_bytes(b"weights")
    trackers.artifact(run.paths.best)
    trackers.artifact(run.paths.root / "missing.pt")
    trackers.close()
    left = {name for name in os.environ if name.startswith(OURS)} - {"WANDB_SERVICE"}  # W&B's own
    assert not left, "the environment is as it was"
    return said


def test_tensorboard_files_hold_the_values(run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    made = run("tensorboard")
    assert train(made) == []
    events = accumulator.EventAccumulator(str(made.paths.root / "tensorboard"))
    events.Reload()
    for name, value in VALUES.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(step, pytest.approx(value * step)) for step in (1, 2)]


def wandb_records(content):
    """Records of a .wandb file below 32 KiB: 7 bytes of header, then checksum, length, kind, message."""
    from wandb.proto.wandb_internal_pb2 import Record

    at = 7
    while at < len(content):
        _, length, kind = struct.unpack_from("<IHB", content, at)
        assert kind == 1, "a whole record"
        yield Record.FromString(content[at + 7 : at + 7 + length])
        at += 7 + length


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_works_offline_without_an_account_and_keeps_the_checkpoint(run, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where an API key might be
    made = run(["wandb"])
    said = train(made)
    wandb.teardown()  # waits until its other process has written everything, as the end of this one would
    assert len(said) == 1
    assert "offline" in said[0]
    assert "wandb sync" in said[0]
    (file,) = made.paths.root.glob("wandb/offline-run-*/run-*.wandb")
    records = list(wandb_records(file.read_bytes()))
    lines = [
        {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    for step, line in zip((1, 2), lines, strict=True):
        assert int(line["_step"]) == step
        assert {name: float(line[name]) for name in VALUES} == {n: v * step for n, v in VALUES.items()}
    (artifact,) = [r.artifact for r in records if r.HasField("artifact")]
    assert artifact.type == "model"
    assert [entry.path for entry in artifact.manifest.contents] == ["best.pt"]
    config = {item.key: item.value_json for r in records if r.HasField("config") for item in r.config.update}
    assert config["depth"] == "18"
    assert config["adapter"] == '"toy"'


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_files_hold_the_values_and_the_checkpoint(run):
    pytest.importorskip("mlflow")
    made = run("mlflow")
    assert train(made) == []
    store = made.paths.root / "mlruns"
    for name, value in VALUES.items():
        (file,) = store.glob(f"*/*/metrics/{name}")
        found = [line.split() for line in file.read_text().splitlines()]
        assert [(float(number), int(step)) for _, number, step in found] == [(value, 1), (value * 2, 2)]
    (parameter,) = store.glob("*/*/params/scheduler_milestones")
    assert parameter.read_text() == "[1, 2]"
    (artifact,) = store.glob("*/*/artifacts/best.pt")
    assert artifact.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboard"), ("mlflow", "mlflow-skinny")]
)
def test_a_missing_package_is_an_error_that_names_what_to_install(run, monkeypatch, name, package):
    monkeypatch.setattr("anydet.training.runlog.trackers.find_spec", lambda _name: None)
    with pytest.raises(TrainingError, match=f"log_with names {name}, which is not installed") as caught:
        open_trackers(run(name))
    assert f"pip install {package}," in caught.value.fix


def test_a_tracker_that_does_not_start_is_an_error_and_the_environment_is_as_it_was(run):
    pytest.importorskip("tensorboard")
    made = run("tensorboard")
    (made.paths.root / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(TrainingError, match="tensorboard does not start") as caught:
        open_trackers(made)
    assert "--log-with" in caught.value.fix


class Failing:
    name = "failing"
    finished = False

    def log(self, values, step):
        raise ConnectionError("the server is away")

    def finish(self):
        self.finished = True


class Counting(Failing):
    name = "counting"
    count = 0

    def log(self, values, step):
        self.count += 1


def test_a_tracker_that_fails_during_the_run_is_left_out_and_the_others_go_on():
    said, failing, counting = [], Failing(), Counting()
    trackers = Trackers([failing, counting], ExitStack(), said.append)
    for step in range(3):
        trackers.log(VALUES, step)
    trackers.close()
    assert said == ["warning: failing failed and is left out: ConnectionError: the server is away"]
    assert counting.count == 3
    assert (failing.finished, counting.finished) == (False, True)


def test_without_trackers_nothing_is_written(run, tmp_path):
    made = run("")
    train(made)
    assert sorted(path.name for path in made.paths.root.rglob("*")) == ["best.pt", "checkpoints"]
