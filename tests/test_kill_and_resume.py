"""An export that is killed goes on where it was, and nobody can tell from the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
ANYDET = [sys.executable, "-m", "anydet.cli"]
COUNT = 400
STOP_AT = 200
# An observer that holds the export at one place until a signal comes: no race with a fast or slow machine.
WAITING = f"""
import signal
from pathlib import Path
from anydet.plugins import hookimpl

PLUGIN_API = 2

@hookimpl
def after_predict(context):
    if context.first == {STOP_AT} and not Path("waiting").exists():
        # Ignored, and so never pending, in whatever a shell runs in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # blocked while it is announced, so that it is not handled before it is waited for
        signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGINT}})
        Path("waiting").touch()
        while signal.SIGINT not in signal.sigpending():
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGINT}})
"""


def anydet(*arguments, cwd, expect=0):
    done = subprocess.run(
        [*ANYDET, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


def export(output, *more):
    return ["export-predictions", "--adapter", "toy", "--dataset", "scenes", "--output", output, *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("resume")
    anydet("synth", "--out", "scenes", "--images", COUNT, "--size", "160x120", cwd=here)
    for output in ("whole.jsonl", "whole.json"):
        anydet(*export(output, "--wrap"), cwd=here)
    return here


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A folder with the installed package of an observer."""
    site = tmp_path_factory.mktemp("site")
    (site / "waiting.py").write_text(WAITING)
    info = site / "waiting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[anydet]\nwaiting = waiting\n")
    return site


def stop_midway(folder, waiting, output, sign):
    """Start an export and send it ``sign`` once half of the images are on disk; how it ended."""
    process = subprocess.Popen(
        [*ANYDET, *export(output, "--wrap")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(waiting), os.environ.get("PYTHONPATH", "")])},
        stderr=subprocess.PIPE,
        text=True,
    )
    partial = folder / f"{output}.partial"
    while not (folder / "waiting").exists():
        assert process.poll() is None, process.stderr.read()
    os.kill(process.pid, sign)
    _, printed = process.communicate(timeout=600)  # a hang fails instead of holding the suite
    (folder / "waiting").unlink()
    assert not (folder / output).exists()
    assert partial.read_bytes().count(b"\n") == STOP_AT
    return process.returncode, printed


def without_clock(meta):
    return {k: v for k, v in meta.items() if k not in {"timestamp", "runtime"}}


def test_a_killed_jsonl_export_resumes_to_the_same_bytes(folder, waiting):
    code, _ = stop_midway(folder, waiting, "killed.jsonl", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert "--resume" in anydet(*export("killed.jsonl", "--wrap"), cwd=folder, expect=1).stderr
    printed = anydet(*export("killed.jsonl", "--wrap", "--resume"), cwd=folder).stderr
    assert "from the earlier run" in printed
    whole = (folder / "whole.jsonl").read_bytes().splitlines()
    resumed = (folder / "killed.jsonl").read_bytes().splitlines()
    assert resumed[:-1] == whole[:-1]
    assert without_clock(json.loads(resumed[-1])["meta"]) == without_clock(json.loads(whole[-1])["meta"])
    assert not list(folder.glob("killed.jsonl.*"))


def test_an_interrupted_json_export_says_how_to_go_on(folder, waiting):
    code, printed = stop_midway(folder, waiting, "stopped.json", signal.SIGINT)
    assert code == 130
    assert "Traceback" not in printed
    assert "--resume" in printed
    anydet(*export("stopped.json", "--wrap", "--resume"), cwd=folder)
    whole = json.loads((folder / "whole.json").read_text("utf-8"))
    resumed = json.loads((folder / "stopped.json").read_text("utf-8"))
    assert resumed["predictions"] == whole["predictions"]
    assert without_clock(resumed["meta"]) == without_clock(whole["meta"])


def test_a_resumed_run_with_other_options_is_refused(folder, waiting):
    stop_midway(folder, waiting, "other.jsonl", signal.SIGKILL)
    command = export("other.jsonl", "--wrap", "--resume", "--score-threshold", "0.3")
    assert "another run" in anydet(*command, cwd=folder, expect=1).stderr
