from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from anydet.errors import OptionError, TrackerError
from anydet.trackers import NAMES, TrackedRun, Trackers, open_trackers, tracker_names

VALUES = {"train_loss": 0.1 + 0.2, "AP": 0.25}
OURS = ("WANDB_", "MLFLOW_")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run ``exp01`` with settings."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    settings = {"depth": 18, "adapter": "toy", "milestones": [1, 2], "long": "x" * 9000}
    root = tmp_path / "runs/exp01"
    return TrackedRun("exp01", "scenes", root, root / "tensorboard", settings)


def log(run, *names):
    """What a run tells; gives what was said."""
    said = []
    trackers = open_trackers(names, run, said.append)
    for step in (1, 2):
        trackers.log({name: value * step for name, value in VALUES.items()} | {"AP_none": None}, step)
    best = Path("best.pt")
    best.write_bytes(b"weights")
    trackers.artifact(best)
    trackers.artifact(Path("missing.pt"))
    trackers.close()
    left = {name for name in os.environ if name.startswith(OURS)} - {"WANDB_SERVICE"}  # W&B's own
    assert not left, "the environment is as it was"
    return said


def test_tensorboard_files_hold_the_values(run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert log(run, "tensorboard") == []
    events = accumulator.EventAccumulator(str(run.events))
    events.Reload()
    assert events.Tags()["scalars"] == list(VALUES)
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
    said = log(run, "wandb")
    wandb.teardown()  # waits until its other process has written everything, as the end of this one would
    assert len(said) == 1
    assert "offline" in said[0]
    assert "wandb sync" in said[0]
    (file,) = run.folder.glob("wandb/offline-run-*/run-*.wandb")
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
    assert log(run, "mlflow") == []
    store = run.folder / "mlruns"
    for name, value in VALUES.items():
        (file,) = store.glob(f"*/*/metrics/{name}")
        found = [line.split() for line in file.read_text().splitlines()]
        assert [(float(number), int(step)) for _, number, step in found] == [(value, 1), (value * 2, 2)]
    (parameter,) = store.glob("*/*/params/milestones")
    assert parameter.read_text() == "[1, 2]"
    assert not [*store.glob("*/*/params/long")], "a value that MLflow refuses stops nothing"
    (artifact,) = store.glob("*/*/artifacts/best.pt")
    assert artifact.read_bytes() == b"weights"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_takes_any_number_of_metrics_of_any_name(run):
    pytest.importorskip("mlflow")
    said = []
    trackers = open_trackers(["mlflow"], run, said.append)
    trackers.log({"coco/AP of 'a, b'": 0.5} | {f"AP_{i}": i / 1001 for i in range(1001)}, 0)
    trackers.close()
    assert said == []
    (metrics,) = run.folder.glob("mlruns/*/*/metrics")
    assert len([*metrics.glob("AP_*")]) == 1001
    assert (metrics / "coco/AP of _a_ b_").is_file()


@pytest.mark.parametrize(
    ("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboard"), ("mlflow", "mlflow-skinny")]
)
def test_a_missing_package_is_an_error_that_names_what_to_install(run, monkeypatch, name, package):
    monkeypatch.setattr("anydet.trackers.find_spec", lambda _name: None)
    with pytest.raises(TrackerError, match=f"tracker {name} is not installed") as caught:
        open_trackers([name], run, print)
    assert f"pip install {package}," in caught.value.fix
    assert "anydet[track]" in caught.value.fix


def test_a_tracker_that_does_not_start_is_an_error_and_the_environment_is_as_it_was(run):
    pytest.importorskip("tensorboard")
    run.folder.mkdir(parents=True)
    run.events.write_text("a file where a folder should be")
    with pytest.raises(TrackerError, match="tensorboard does not start") as caught:
        open_trackers(["tensorboard"], run, print)
    assert "--log-with" in caught.value.fix


def test_names_stand_in_a_text_or_a_list_and_are_those_of_trackers():
    assert tracker_names(" wandb,mlflow,wandb") == tracker_names(["wandb", "mlflow"]) == ["wandb", "mlflow"]
    assert tracker_names("") == []
    with pytest.raises(OptionError, match="'tensorbored'") as caught:
        tracker_names("tensorbored")
    assert all(name in caught.value.fix for name in NAMES)


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


def test_without_trackers_nothing_is_written(run):
    log(run)
    assert not run.folder.exists()
