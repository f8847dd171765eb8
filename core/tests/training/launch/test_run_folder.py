"""Where a run is written, and that no run is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.yolo import write_yolo
from anydet.errors import OptionError

pytestmark = pytest.mark.slow


def test_a_run_folder_has_the_seeds_plain_names(recorder_plugins, split_scenes, start):
    start(
        recorder_plugins,
        split_scenes,
        run_dir="here",
        metrics_jsonl="elsewhere/m.jsonl",
        checkpoint_out="w.pt",
    )
    assert sorted(path.name for path in Path("here").iterdir()) == [
        "best.pt",
        "config_resolved.yaml",
        "run_meta.json",
    ]
    assert Path("elsewhere/m.jsonl").is_file()
    assert Path("w.pt").is_file()


@pytest.mark.parametrize("place", [{"run_id": "a"}, {"run_dir": "here"}])
def test_a_run_is_never_written_over(recorder_plugins, split_scenes, place, start):
    start(recorder_plugins, split_scenes, **place)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(OptionError, match="there is a run already") as caught:
        start(recorder_plugins, split_scenes, **place)
    assert "--resume" in caught.value.fix
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_what_is_not_there_cannot_go_on(recorder_plugins, split_scenes, start):
    with pytest.raises(OptionError, match="no run to resume") as caught:
        start(recorder_plugins, split_scenes, run_id="a", resume=True)
    assert "leave out --resume" in caught.value.fix
    with pytest.raises(OptionError, match="no run to resume given"):
        start(recorder_plugins, split_scenes, resume="true")
    start(recorder_plugins, split_scenes, run_id="a")
    Path("runs/a/checkpoints/last.pt").unlink()
    with pytest.raises(OptionError, match="no checkpoint to resume from"):
        start(recorder_plugins, split_scenes, run_id="a", resume=True)


def test_a_run_does_not_go_on_with_other_data(recorder_plugins, split_scenes, tmp_path, start):
    start(recorder_plugins, split_scenes, run_id="a")
    moved = tmp_path / "moved"
    moved.symlink_to(split_scenes)
    start(recorder_plugins, moved, run_id="a", resume=True)
    write_yolo(SyntheticDataset(4, 77, (64, 64), "train"), tmp_path / "other", "train")
    with pytest.raises(OptionError, match="the train data has changed since"):
        start(recorder_plugins, tmp_path / "other", run_id="a", resume=True)
    write_yolo(SyntheticDataset(2, 77, (64, 64), "val"), tmp_path / "unseen", "val")
    with pytest.raises(OptionError, match="the val data has changed since"):
        start(recorder_plugins, split_scenes, run_id="a", resume=True, val_dataset=tmp_path / "unseen")
