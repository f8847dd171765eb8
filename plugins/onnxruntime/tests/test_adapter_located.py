"""``anydet parity --locate`` on real models; ``benchmarks/parity_faults.py`` has more faults than these."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tests.onnx_models import seeing_model

from anydet.cli import main

pytest.importorskip("onnx")
pytestmark = pytest.mark.slow


@pytest.fixture
def located(shared_data, tmp_path):
    """The result for a model and options of B."""

    def of(preset, file, *options):
        model = ("--checkpoint", shared_data / "models" / file, "--option", f"preset={preset}")
        words = ["parity", *model, "--option", "threads=1", "--adapter", "onnxruntime", "--adapter"]
        words += ["onnxruntime", *(word for option in options for word in ("--option", option))]
        words += ["--dataset", shared_data / "coco128", "--max-images", "4", "--locate"]
        done = CliRunner().invoke(main, [*map(str, words), "--json", str(tmp_path / "out.json")])
        value = json.loads((tmp_path / "out.json").read_text())
        assert done.exit_code == (0 if value["ok"] else 1), done.output
        assert done.stdout.splitlines()[-1] == value["reason"]
        return value

    return of


@pytest.mark.parametrize(
    ("option", "step", "cause"),
    [
        ("channels=rgb", "channels", "in the order RGB, not BGR"),
        ("mean=0", "normalization", "the mean is not subtracted"),
        ("resize=stretch", "resize", "resized as stretch, not as letterbox-center"),
        ("nms_iou=0.45", "nms", "IoU of 0.45, not 0.6"),
    ],
)
def test_one_option_is_one_finding_that_cures(located, option, step, cause):
    value = located("nanodet", "nanodet_m_320_coco80.onnx", option)
    (finding,) = value["findings"]
    assert finding["step"] == step
    assert cause in finding["cause"]
    assert finding["certain"]
    assert value["cured"]
    assert list(value["stages"].values()).count("differs") == 1


@pytest.mark.parametrize(
    ("preset", "file"),
    [
        ("yolox", "yolox_nano_416_coco80.onnx"),
        ("nanodet", "nanodet_m_320_coco80.onnx"),
        ("fastestdet", "fastestdet_coco80.onnx"),
    ],
)
def test_the_same_adapter_twice_has_nothing_to_find(located, preset, file):
    value = located(preset, file, "threads=2")
    assert value["ok"]
    assert not value["findings"]


def test_models_of_two_input_sizes_are_compared_as_far_as_that_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, size in (("a.onnx", 64), ("b.onnx", 96)):
        seeing_model(tmp_path / name, size_hw=(size, size))
    CliRunner().invoke(main, ["synth", "--out", "scenes", "--images", "2"])
    line = "parity --locate --dataset scenes --resamples 0 --option preset=ultralytics --json out.json"
    line += " --adapter onnxruntime --checkpoint a.onnx --adapter onnxruntime --checkpoint b.onnx"
    done = CliRunner().invoke(main, line.split())
    assert done.exit_code == 1, done.output
    value = json.loads((tmp_path / "out.json").read_text())
    assert value["parity"]["counts"]["images"] == 2
    assert "96x96, not 64x64" in value["findings"][0]["cause"]
    assert value["stages"]["model"] == "not looked at: B does not run on A's input"
    assert value["cured"] is None
    assert "fix:" not in done.output
