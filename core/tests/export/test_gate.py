"""The gate at the end of a training: what it writes, and what it does where the file differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from anydet.errors import OptionError, TrainingError
from anydet.export.gate import parity_policy, train_and_export
from anydet.training.launch.preparation import prepare


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(plugins, scenes, **keys):
    said: list[str] = []
    ready = prepare({"adapter": "cells", "dataset": str(scenes), **keys}, plugins=plugins)
    result = train_and_export(ready, say=said.append)
    return result, said


def report(run):
    return json.loads(Path(run, "reports/onnx_parity.json").read_text("utf-8"))


@pytest.fixture
def shifted(cells, monkeypatch):
    """Files give other logits than the model."""

    class Shifted(cells.module):
        def forward(self, images):
            logits, boxes = super().forward(images)
            return (logits + 0.1 if torch.jit.is_tracing() else logits), boxes

    monkeypatch.setattr(cells, "module", Shifted)


@pytest.mark.parametrize(
    ("keys", "policy"),
    [
        ({"run_id": "a"}, "fail"),
        ({"run_contract": True, "run_id": "a"}, "fail"),
        ({"run_dir": "here"}, "warn"),
        ({}, "warn"),
        ({"run_id": "a", "parity_policy": "warn"}, "warn"),
        ({"run_dir": "here", "parity_policy": "fail"}, "fail"),
        ({"run_id": "a", "parity_policy": "off"}, "off"),
    ],
)
def test_the_policy_follows_the_contract_unless_it_is_set(plugins, split_scenes, keys, policy):
    ready = prepare({"adapter": "cells", "dataset": str(split_scenes), **keys}, plugins=plugins)
    assert parity_policy(ready.resolved) == policy


def test_the_best_model_is_exported_and_compared_on_images_and_noise(plugins, split_scenes):
    result, said = trained(plugins, split_scenes, run_id="a")
    found = report("runs/a")
    assert (found["status"], found["policy"], found["runtime"]["device"]) == (
        "passed",
        "fail",
        "CPUExecutionProvider",
    )
    assert found["checkpoint"] == result.checkpoint
    assert [case["name"] for case in found["parity"]["cases"]] == [
        "1 image of noise",
        "3 images of noise",
        "image 1",
        "image 2",
        "image 1 and its mirror images, 3 at once",
    ]
    assert all(output["passed"] for case in found["parity"]["cases"] for output in case["outputs"])
    assert len(found["images"]) == 2
    meta = json.loads(Path("runs/a/exports/model.onnx.meta.json").read_text("utf-8"))
    assert meta["sha256"] == found["sha256"]
    assert meta["description"]["source"]["checkpoint_sha256"] == found["checkpoint_sha256"]
    assert meta["outputs"][0]["shape"] == ["batch", 16, 2]
    onnx.checker.check_model(onnx.load("runs/a/exports/model.onnx"))
    assert said[-1].startswith("runs/a/exports/model.onnx: the same tensors as the model's, to ")


def test_a_file_that_differs_fails_a_run_of_the_contract_and_keeps_what_it_made(
    plugins, split_scenes, shifted
):
    with pytest.raises(
        TrainingError, match=r"exports/model\.onnx differs from the model: .* logits"
    ) as error:
        trained(plugins, split_scenes, run_id="a")
    assert "--parity-policy warn" in error.value.fix
    assert report("runs/a")["status"] == "failed"
    assert Path("runs/a/checkpoints/best.pt").is_file()


def test_it_is_a_warning_without_the_contract(plugins, split_scenes, shifted):
    _, said = trained(plugins, split_scenes, run_dir="here")
    assert said[-1].startswith("warning: here/exports/model.onnx differs from the model")
    assert json.loads(Path("here/onnx_parity.json").read_text("utf-8"))["policy"] == "warn"


def test_off_writes_nothing(plugins, split_scenes, shifted):
    trained(plugins, split_scenes, run_id="a", parity_policy="off")
    assert not Path("runs/a/exports").exists()
    assert not Path("runs/a/reports/onnx_parity.json").exists()


def test_a_model_that_cannot_be_exported_fails_like_one_that_differs(
    plugins, split_scenes, cells, monkeypatch
):
    class Broken(cells.module):
        def forward(self, images):
            raise RuntimeError("no kernel for this")

    monkeypatch.setattr(cells, "module", Broken)
    with pytest.raises(TrainingError, match=r"cannot be exported: .*no kernel for this"):
        trained(plugins, split_scenes, run_id="a")
    _, said = trained(plugins, split_scenes, run_dir="here")
    assert "no kernel for this" in said[-1]


@pytest.mark.parametrize("keys", [{"run_contract": True}, {"config_version": 1}, {"parity_policy": "fail"}])
def test_a_missing_package_is_said_before_training_where_the_contract_was_asked_for(
    without_runtime, split_scenes, cells, monkeypatch, keys
):
    monkeypatch.setattr(cells, "train", lambda self, run: pytest.fail("it was trained"))
    with pytest.raises(
        OptionError, match=r"ends with exports/model\.onnx, and the adapter onnxruntime"
    ) as error:
        trained(without_runtime, split_scenes, run_id="a", **keys)
    assert error.value.fix == "pip install 'anydet[onnx]'; or add --parity-policy off"


def test_a_missing_package_skips_the_gate_of_other_runs(without_runtime, split_scenes, monkeypatch):
    _, said = trained(without_runtime, split_scenes, run_id="a")
    assert said[0].startswith("no ONNX file will be written: the adapter onnxruntime is not installed")
    assert report("runs/a")["status"] == "skipped"
    monkeypatch.setitem(sys.modules, "onnx", None)
    _, said = trained(without_runtime, split_scenes, run_id="b")
    assert "the package onnx is not installed" in said[0]


def test_adapters_that_cannot_export_are_trained_as_before(recorder_plugins, split_scenes):
    ready = prepare(
        {"adapter": "recorder", "dataset": str(split_scenes), "run_id": "a"}, plugins=recorder_plugins
    )
    train_and_export(ready)
    assert not Path("runs/a/reports/onnx_parity.json").exists()
