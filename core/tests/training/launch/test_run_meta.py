"""What is noted of a run."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from anydet.training.launch.run_meta import git_state, run_meta

pytestmark = pytest.mark.slow


def test_git_is_noted_where_there_is_one(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, env={**os.environ, "HOME": str(tmp_path)})
    state = git_state(tmp_path)
    assert state is not None
    assert (len(state["commit"]), state["dirty"]) == (40, False)
    (tmp_path / "new").touch()
    assert git_state(tmp_path) == {**state, "dirty": True}


def test_a_run_meta_is_plain_json(recorder_plugins, split_scenes, ready):
    meta = run_meta(ready(recorder_plugins, split_scenes).run, command=["anydet", "train", "a b"])
    assert json.loads(json.dumps(meta)) == meta
    assert meta["command"] == "anydet train 'a b'"
    assert meta["processes"] == 1
