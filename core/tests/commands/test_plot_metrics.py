"""``anydet plot-metrics``: where the picture goes, and the script of old."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture
def run(tmp_path):
    """The folder of a run of eight steps."""
    folder = tmp_path / "exp01"
    (folder / "reports").mkdir(parents=True)
    lines = [{"step": i, "epoch": 0, "train_loss": 2.0 / i, "learning_rate": 0.1 * i} for i in range(1, 9)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "reports" / "train_metrics.jsonl").write_text(text)
    return folder


def invoke(*arguments):
    return CliRunner().invoke(main, ["plot-metrics", *map(str, arguments)], obj=Plugins(()))


@pytest.mark.slow
def test_the_picture_is_beside_the_metrics_by_default(run):
    done = invoke(run)
    assert done.exit_code == 0, done.output
    with Image.open(run / "reports" / "training.png") as picture:
        assert min(picture.size) > 300
        assert len(set(picture.convert("L").tobytes())) > 10


@pytest.mark.slow
def test_the_old_script_takes_jsonl_and_out(run, monkeypatch, capsys):
    script = Path(__file__).parents[3] / "tools" / "plot_metrics.py"
    file = run / "reports" / "train_metrics.jsonl"
    monkeypatch.setattr(sys, "argv", ["", "--jsonl", str(file), "--out", str(run / "loss.svg"), "--json"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(script), run_name="__main__")
    assert caught.value.code == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["step"] == 8
    assert (run / "loss.svg").read_text().startswith("<?xml")


def test_a_run_must_be_named():
    assert invoke().exit_code == 2
