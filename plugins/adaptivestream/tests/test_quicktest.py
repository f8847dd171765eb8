"""The quick test measures what its table states."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet_adaptivestream.commands import command
from anydet_adaptivestream.quicktest import SHORT, quick_test

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def measured(plugins):
    """A quick test of the fewest steps that it takes: as on a machine where a step takes ten seconds."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anydet_adaptivestream.quicktest.measure_pace", lambda *_: 10.0)
        return quick_test(plugins, seconds=1, image_size=64, device="cpu")


@pytest.mark.slow
def test_numbers_are_those_of_a_healthy_run(measured):
    assert measured.problems == []
    assert measured.steps == 16
    assert measured.loss[1] < measured.chance_loss == pytest.approx(1.5 * np.log(5))
    assert (measured.nan_batches, measured.nan_share) == (0, 0.0)
    assert 1e-6 <= measured.learning_rate[0] < measured.learning_rate[1] == pytest.approx(SHORT["lr"])
    assert 0 < measured.grad_norm[0] <= measured.grad_norm[1] <= measured.grad_norm[2]
    assert 0 <= measured.accuracy <= 1
    assert 0 <= measured.miou <= 1


@pytest.mark.slow
def test_chance_is_counted_on_the_validation_scenes(measured):
    scenes = SyntheticMasks(16, 43, (64, 64))
    classes = np.bincount([scene.extra["classification"]["class_id"] for scene in scenes])
    pixels = np.bincount(np.concatenate([scene.class_map().ravel() for scene in scenes]))
    assert measured.chance_accuracy == (0.2, classes.max() / 16)
    assert measured.background_miou == pytest.approx(pixels[0] / pixels.sum() / 5)


@pytest.mark.slow
def test_what_differs_from_the_defaults_is_listed(measured):
    assert measured.changed["lr"] == (0.001, SHORT["lr"])
    assert measured.changed["dice_weight"] == (0.0, 1.0)
    assert measured.changed["lr_warmup_epochs"] == (5.0, 0.0)
    assert "clip_grad_norm" not in measured.changed
    assert "seed" not in measured.changed


def test_what_is_wrong_is_a_problem(measured):
    assert "3 batches" in replace(measured, nan_batches=3).problems[0]
    assert "not below chance" in replace(measured, loss=(2.6, 2.6)).problems[0]
    assert replace(measured, loss=(2.6, float("nan"))).problems
    assert replace(measured, nan_batches=1, steps=9).nan_share == 0.1


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_the_table_and_fails_with_a_problem(as_json, measured, monkeypatch, plugins):
    bad = replace(measured, nan_batches=2)
    monkeypatch.setattr("anydet_adaptivestream.quicktest.quick_test", lambda *_a, **_k: bad)
    done = CliRunner().invoke(command, ["quick-test", *(["--json"] if as_json else [])], obj=plugins)
    assert done.exit_code == 1
    assert "2 batches were not finite" in done.stderr
    if as_json:
        assert json.loads(done.stdout)["nan_batches"] == 2
    else:
        rows = ("learning rate", "loss", "NaN batches", "gradient norm", "validation accuracy")
        assert all(row in done.stdout for row in rows)
        assert "dice_weight 1.0 (default 0.0)" in done.stderr


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("train_enhanced_adaptivestream", ["train", "--adapter", "adaptivestream"]),
        ("diagnose_training", ["diagnose", "--adapter", "adaptivestream"]),
        ("quick_test", ["adaptivestream", "quick-test"]),
    ],
)
def test_names_that_people_type_are_commands(script, words, monkeypatch):
    called = []
    monkeypatch.setattr("anydet.cli.main", lambda given, prog_name: called.append((given, prog_name)))
    monkeypatch.setattr("sys.argv", [f"{script}.py", "--device", "cpu"])
    runpy.run_path(str(ROOT / "tools" / f"{script}.py"), run_name="__main__")
    assert called == [([*words, "--device", "cpu"], "anydet")]
