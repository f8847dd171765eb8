"""The run that an adapter gets, what is written before it, and how it goes on."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import anydet
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.training.launch.preparation import prepare
from anydet.training.launch.start import launch, next_command

pytestmark = pytest.mark.slow


def test_the_adapter_gets_the_requested_run(recorder_plugins, split_scenes, start, recorder):
    result = start(
        recorder_plugins,
        split_scenes,
        run_id="a",
        width="16",
        epochs="3",
        adapter_options={"size": "32"},
        seed=9,
    )
    settings, run = recorder.runs[0]
    assert (run.adapter, run.settings.epochs, run.settings.lr) == ("recorder", 3, 0.5)
    assert run.options == {"width": 16, "norm": True}
    assert (settings.options, settings.seed, settings.batch_size, settings.device) == (
        {"size": 32},
        9,
        4,
        "cpu",
    )
    assert (run.dataset.split, len(run.dataset)) == ("train", 4)
    assert (run.validation.split, len(run.validation)) == ("val", 2)
    assert run.paths.root == Path("runs/a")
    assert result.checkpoint == "runs/a/checkpoints/best.pt"


def test_what_a_run_was_made_with_is_written_before_it_begins(
    recorder_plugins, split_scenes, monkeypatch, start, recorder
):
    def fail(self, run):
        raise RuntimeError("the power went out")

    monkeypatch.setattr(recorder, "train", fail)
    with pytest.raises(RuntimeError, match="power"):
        start(recorder_plugins, split_scenes, run_id="a", width=16)
    resolved = yaml.safe_load(Path("runs/a/reports/config_resolved.yaml").read_text("utf-8"))
    assert (resolved["width"], resolved["origins"]["width"]) == (16, "flag")
    assert (resolved["lr"], resolved["origins"]["lr"]) == (0.5, "adapter default")
    meta = json.loads(Path("runs/a/reports/run_meta.json").read_text("utf-8"))
    assert meta["strict"]
    assert meta["command"] == "anydet train"
    assert meta["packages"]["anydet"] == version("anydet")
    assert meta["data"]["train"]["images"] == 4
    assert meta["data"]["val"]["fingerprint"].startswith("sha256:")
    assert meta["hardware"]["cores"] >= 1


def test_a_run_that_is_refused_before_it_begins_leaves_nothing(
    recorder_plugins, split_scenes, monkeypatch, start, recorder
):
    def refuse(self, run):
        raise OptionError("no such backbone", fix="name another")

    monkeypatch.setattr(recorder, "train", refuse)
    with pytest.raises(OptionError, match="no such backbone"):
        start(recorder_plugins, split_scenes, run_id="a")
    assert not Path("runs/a").exists()

    def stop(self, run):
        run.paths.train_metrics.write_text("{}")
        raise OptionError("too late", fix="begin again")

    monkeypatch.setattr(recorder, "train", stop)
    with pytest.raises(OptionError, match="too late"):
        start(recorder_plugins, split_scenes, run_id="a")
    assert Path("runs/a/reports/config_resolved.yaml").exists()


def test_a_run_goes_on_without_saying_anything_again(recorder_plugins, split_scenes, start, recorder):
    start(recorder_plugins, split_scenes, run_id="a", width=16, epochs=3)
    launch(
        prepare({"run_id": "a", "resume": True, "epochs": 9}, plugins=recorder_plugins), command=("again",)
    )
    first, second = (run for _, run in recorder.runs)
    assert (second.settings.epochs, second.settings.resume, second.options) == (9, True, first.options)
    meta = json.loads(Path("runs/a/reports/run_meta.json").read_text("utf-8"))
    assert meta["command"] == "anydet train"
    assert [again["command"] for again in meta["resumed"]] == ["again"]
    with pytest.raises(OptionError, match="width 16, not 4"):
        start(recorder_plugins, split_scenes, run_id="a", resume=True, width=4)
    with pytest.raises(OptionError, match="the run is one of adapter 'recorder', not 'idle'"):
        start(recorder_plugins, split_scenes, run_id="a", resume=True, adapter="idle")


def test_only_the_first_of_several_processes_writes(
    recorder_plugins, split_scenes, monkeypatch, ready, start
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="several processes need a common run_id"):
        ready(recorder_plugins, split_scenes)
    monkeypatch.setenv("RANK", "1")
    start(recorder_plugins, split_scenes, run_id="a")
    assert not Path("runs/a/reports/config_resolved.yaml").exists()
    start(recorder_plugins, split_scenes, run_id="a")  # what rank 0 writes meanwhile is no earlier run


@pytest.mark.parametrize(
    "method", [{"lora_r": 4}, {"self_distill_from": "b"}, {"derpp": True}, {"ewc": True}, {"si": True}]
)
def test_an_adapter_with_a_loop_of_its_own_cannot_have_methods_of_the_engine(
    recorder_plugins, split_scenes, start, method
):
    with pytest.raises(OptionError, match=f"{next(iter(method))}: recorder trains by a loop of its own"):
        start(recorder_plugins, split_scenes, run_id="a", **method)
    assert not Path("runs/a").exists()


def test_the_next_command_predicts_with_the_run(recorder_plugins, split_scenes, ready):
    prepared = ready(recorder_plugins, split_scenes, run_id="a")
    result = launch(prepared)
    words = next_command(prepared.run, result).split()
    assert words[:6] == ["anydet", "export-predictions", "--adapter", "recorder", "--checkpoint", "runs/a"]
    assert words[words.index("--split") + 1] == "val"


def test_the_python_way_takes_paths_and_open_data_sets(recorder_plugins, split_scenes, recorder):
    anydet.train("recorder", split_scenes, run_dir="p", plugins=recorder_plugins, width=2, epochs=1)
    opened = SyntheticDataset(6, 0, (64, 64), "train")
    anydet.train(
        "recorder", opened, validation=split_scenes, run_id="q", plugins=recorder_plugins, max_images=5
    )
    (_, first), (_, second) = recorder.runs
    assert (first.options["width"], first.settings.epochs, first.validation.split) == (2, 1, "val")
    assert (len(second.dataset), second.dataset.dataset, second.validation.split) == (5, opened, "val")
    anydet.train("recorder", opened, run_id="r", plugins=recorder_plugins)
    assert recorder.runs[-1][1].validation is None
