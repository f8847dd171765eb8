from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet import trackers
from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``anydet COMMAND`` on a file whose only cat is found; a traceback fails the test."""
    monkeypatch.chdir(tmp_path)
    box = {"image_id": 1, "category_id": 1, "bbox": [40, 15, 20, 20]}
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 50}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "area": 400, "iscrowd": 0, **box}],
    }
    Path("instances_val.json").write_text(json.dumps(truth))
    Path("found.json").write_text(json.dumps([{**box, "score": 0.5}]))

    def invoke(command, *arguments):
        sides = ["--dataset", "instances_val.json", "--predictions", "found.json"]
        metrics = ["--metrics", "coco"] if command == "eval" else []
        result = CliRunner().invoke(main, [command, *sides, *metrics, *arguments], obj=Plugins(()))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return invoke


@pytest.fixture
def told(monkeypatch):
    """What the tracker ``wandb`` was told; it is another one that only listens."""
    heard = []

    class Listening:
        name = "wandb"

        def __init__(self, run, _say):
            heard.append(run)

        def log(self, metrics, step):
            heard.append((metrics, step))

        def artifact(self, path, kind):
            heard.append((path, kind))

        def finish(self):
            heard.append("finished")

    monkeypatch.setattr(trackers, "_KNOWN", {"wandb": ("wandb", lambda _folder: {}, Listening)})
    monkeypatch.setattr(trackers, "find_spec", lambda _name: object())
    return heard


@pytest.mark.parametrize("command", ["eval", "eval-coco"])
def test_defined_metrics_settings_and_the_json_are_logged_as_one_run(run, told, command):
    done = run(command, "--log-with", "wandb", "--project", "cats", "--json", "out.json")
    assert done.exit_code == 0, done.output
    shown, (metrics, step), (path, kind), end = told
    assert (shown.name, shown.project, shown.folder) == ("found", "cats", Path("runs/eval"))
    assert {"dataset": "instances_val.json", "predictions": "found.json"}.items() <= shown.settings.items()
    # 20 x 20 pixels are small: there is no APm and no APl.
    small = ("AP", "AP50", "AP75", "APs", "AR1", "AR10", "AR100", "ARs")
    assert metrics == {f"coco/{name}": pytest.approx(1.0) for name in small}
    assert (step, path, kind, end) == (0, Path("out.json"), "evaluation", "finished")
    assert "logged to wandb: run found of project cats, in runs/eval" in done.stderr


def test_numbers_are_logged_before_a_bound_ends_the_command(run, told):
    done = run("eval-coco", "--log-with", "wandb", "--fail-under", "APm=0.5")
    assert done.exit_code == 3
    assert told[-1] == "finished"


@pytest.mark.parametrize("command", ["eval", "eval-coco"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--log-with", "wanbd"), "no experiment tracker is called 'wanbd'; name some of wandb,"),
        (("--project", "cats"), "--project needs --log-with"),
        (("--log-dir", "logs"), "--log-dir needs --log-with"),
    ],
)
def test_wrong_flags_of_trackers_are_usage_errors(run, command, arguments, message):
    done = run(command, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_tracker_that_is_not_installed_is_said_before_the_work(run, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda _name: None)
    done = run("eval-coco", "--log-with", "mlflow", "--predictions", "missing.json")
    assert done.exit_code == 1
    assert "the experiment tracker mlflow is not installed" in done.stderr
    assert "pip install mlflow-skinny, or pip install 'anydet[track]'" in done.stderr


@pytest.mark.slow
def test_each_evaluation_is_a_run_of_its_own_in_tensorboard(run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for command in ("eval", "eval-coco"):
        done = run(command, "--log-with", "tensorboard", "--log-dir", "logs", "--json", "-")
        assert json.loads(done.stdout)
    assert sorted(path.name for path in Path("logs/tensorboard").iterdir()) == ["found", "found-2"]
    for name in ("found", "found-2"):
        events = accumulator.EventAccumulator(f"logs/tensorboard/{name}")
        events.Reload()
        assert [(one.step, one.value) for one in events.Scalars("coco/AP")] == [(0, 1.0)]
