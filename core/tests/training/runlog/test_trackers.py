from __future__ import annotations

import pytest

pytest.importorskip("torch")

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet.training.runlog import trackers


def test_trackers_get_the_name_the_folder_and_all_settings_of_a_training(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "open_trackers", lambda *given: given)
    settings = TrainSettings(log_with="tensorboard, wandb", project="scenes", scheduler_milestones=[1, 2])
    paths = RunPaths.of_run(tmp_path / "runs", "exp01")
    run = Run("toy", SyntheticDataset(1), None, settings, paths, options={"depth": 18})
    names, shown, say = trackers.trackers_of(run, print)
    assert (names, say) == (["tensorboard", "wandb"], print)
    assert (shown.name, shown.project, shown.folder) == ("exp01", "scenes", paths.root)
    assert shown.events == paths.root / "tensorboard"
    assert {"depth": 18, "adapter": "toy", "scheduler_milestones": [1, 2]}.items() <= shown.settings.items()
