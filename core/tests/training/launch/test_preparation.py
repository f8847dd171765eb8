"""From flags and a config file to a run. No torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from anydet.errors import DatasetError, OptionError, PluginError, UnsupportedError
from anydet.training.config.resolve import MADE
from anydet.training.launch.preparation import prepare

pytestmark = pytest.mark.slow


def test_a_resolved_config_starts_the_same_run_again(recorder_plugins, split_scenes, ready, start, recorder):
    start(recorder_plugins, split_scenes, run_id="a", width=16, max_steps=5)
    again = ready(
        recorder_plugins, None, "runs/a/reports/config_resolved.yaml", adapter=None, dataset=None, run_id="b"
    )
    first = recorder.runs[0][1]
    assert again.run.options == first.options
    assert {k: v for k, v in again.run.origins.items() if k != "run_id"} == {
        k: v for k, v in first.origins.items() if k != "run_id"
    }
    assert again.run.settings.epochs is None


def test_a_config_file_may_name_adapter_and_data(recorder_plugins, split_scenes, tmp_path):
    (tmp_path / "c.yaml").write_text(
        f"adapter: recorder\ndataset_root: {split_scenes}\nwidth: 4\nrun-id: from_file\n"
    )
    run = prepare({}, "c.yaml", plugins=recorder_plugins).run
    assert (run.adapter, run.options["width"], run.paths.root.name) == ("recorder", 4, "from_file")


def test_a_line_states_that_nothing_is_validated(recorder_plugins, split_scenes):
    said: list[str] = []
    flags = {"adapter": "recorder", "dataset": str(split_scenes), "split": "val", "run_id": "a"}
    prepare(flags, plugins=recorder_plugins, say=said.append)
    assert said[0] == "run runs/a"
    assert said[1].endswith("2 images, split val (of test, train, val)")
    assert said[2].startswith("validation: none")


def test_a_run_without_a_name_gets_one(recorder_plugins, split_scenes, ready):
    ready_run = ready(recorder_plugins, split_scenes)
    assert ready_run.run.paths.root.name.startswith("recorder-2")
    assert ready_run.run.origins["run_id"] == MADE
    assert not ready_run.resolved.strict
    assert ready(recorder_plugins, split_scenes, run_contract=True).resolved.strict


def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    recorder_plugins, split_scenes, tmp_path, start
):
    with pytest.raises(UnsupportedError, match="adapters that do: recorder"):
        start(recorder_plugins, split_scenes, adapter="idle")
    with pytest.raises(PluginError, match="no adapter called 'recorde'"):
        start(recorder_plugins, split_scenes, adapter="recorde")
    with pytest.raises(OptionError, match="no adapter given"):
        start(recorder_plugins, split_scenes, adapter=None)
    with pytest.raises(OptionError, match="no training data set given"):
        start(recorder_plugins, None, dataset=None)
    with pytest.raises(DatasetError, match="no split 'night'"):
        start(recorder_plugins, split_scenes, split="night")
    with pytest.raises(OptionError, match="recorder has no option 'sise'"):
        start(recorder_plugins, split_scenes, adapter_options={"sise": 1})
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="not a folder"):
        start(recorder_plugins, split_scenes, run_dir="file/under")
    assert not Path("runs").exists()
