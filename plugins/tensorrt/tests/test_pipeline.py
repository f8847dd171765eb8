"""All steps and their report: without a GPU as far as they go, and to the end on an emulated one."""

from __future__ import annotations

import json
from importlib.util import find_spec

import onnx
import pytest
from click.testing import CliRunner
from tests.onnx_models import seeing_model

from anydet.cli import main
from anydet_tensorrt import cuda
from anydet_tensorrt.metadata import beside, read_metadata

pytest.importorskip("anydet_onnxruntime")
rtx = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed")
LINE = "tensorrt pipeline --onnx m.onnx --dataset scenes --out run --option preset=ultralytics --json"
CHOSEN = " --option names=circle,square,triangle,star,cross,hexagon"


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["synth", "--out", "scenes", "--images", "3"])
    assert done.exit_code == 0, done.output
    seeing_model(tmp_path / "m.onnx", classes=6)
    return tmp_path


def run(more="", *, code=0):
    done = CliRunner().invoke(main, (LINE + CHOSEN + more).split())
    assert done.exit_code == code, done.output
    report = json.loads(done.stdout)
    return report, {step["name"]: step for step in report["steps"]}, done.stderr


@pytest.mark.slow
@rtx
def test_without_a_gpu_the_report_says_what_is_left(work, monkeypatch):
    from emulated import CudaRuntime

    monkeypatch.setattr(cuda, "_bindings", lambda: CudaRuntime(gpus=0))
    report, steps, said = run(" --library tensorrt-rtx")
    states = {name: step["state"] for name, step in steps.items()}
    assert states == {
        "build": "done",
        "reference": "done",
        "tensorrt": "left",
        "parity": "left",
        "evaluation": "left",
        "latency": "left",
    }
    assert (report["ok"], report["images"]) == (True, 3)
    assert report["left"] == ["tensorrt", "parity", "evaluation", "latency"]
    assert "left for a machine with a GPU: tensorrt, parity, evaluation, latency" in said
    assert "CUDA finds no GPU" in steps["parity"]["summary"]
    # What needs no GPU is done all the same.
    assert (work / "run/m.engine").read_bytes().startswith(b"vtrt")
    assert 0 <= steps["evaluation"]["results"]["reference"]["AP"] <= 1
    assert steps["latency"]["results"]["reference"]["p50_ms"] > 0
    assert json.loads((work / "run/report.json").read_text("utf-8")) == report
    assert "| tensorrt | left |" in (work / "run/report.md").read_text("utf-8")


@pytest.mark.slow
def test_with_a_gpu_model_and_engine_are_evaluated_and_timed(work, machine):
    report, steps, _ = run()
    assert report["ok"]
    assert report["left"] == []
    assert steps["tensorrt"]["results"]["runtime"]["name"] == "tensorrt"
    assert steps["tensorrt"]["results"]["detections"] == steps["reference"]["results"]["detections"] > 0
    found = steps["evaluation"]["results"]
    assert found["tensorrt"] == pytest.approx(found["reference"])
    latency = steps["latency"]["results"]
    assert latency.keys() == {"reference", "tensorrt"}
    for one in latency.values():
        assert one["images"] == 3
        assert 0 < one["p50_ms"] <= one["p90_ms"] <= one["p99_ms"]
    assert not machine.cuda.device, "the engine is closed"


@pytest.mark.slow
def test_an_engine_that_predicts_as_its_model_is_at_parity(work, machine):
    report, steps, _ = run()
    assert (report["left"], steps["parity"]["state"]) == ([], "done")


@pytest.mark.slow
def test_an_engine_of_other_weights_fails_and_says_so(work, machine):
    """The builder puts another model into the engine."""
    other = seeing_model(work / "other.onnx", classes=6)
    model = onnx.load(other)
    bias = next(w for w in model.graph.initializer if w.name == "bias")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] += 3
    bias.CopyFrom(onnx.numpy_helper.from_array(values, "bias"))
    parser = machine.trt.OnnxParser

    def swapped(network, logger):
        found = parser(network, logger)
        found.parse_from_file = lambda path: found.parse(model.SerializeToString())
        return found

    machine.trt.OnnxParser = swapped
    report, steps, _ = run(code=1)
    assert (report["ok"], steps["parity"]["state"]) == (False, "failed")
    assert steps["parity"]["summary"]


@pytest.mark.slow
def test_a_second_run_takes_what_the_first_completed(work, machine):
    _, first, _ = run()
    engine = work / "run/m.engine"
    built = (engine.stat().st_mtime_ns, read_metadata(engine))
    _, second, _ = run(" --resume")
    assert "taken from the earlier run" in second["build"]["summary"]
    assert "taken from the earlier run" in second["reference"]["summary"]
    assert (engine.stat().st_mtime_ns, read_metadata(engine)) == built
    assert second["evaluation"]["results"] == first["evaluation"]["results"]
    seeing_model(work / "m.onnx", classes=6, batch=2)
    _, third, _ = run(" --resume --precision fp16")
    assert "built anew" in third["build"]["summary"]
    assert read_metadata(engine).precision == "fp16"


@pytest.mark.slow
def test_unknown_tolerances_and_references_say_what_there_is(work, machine):
    done = CliRunner().invoke(main, (LINE + CHOSEN + " --tolerance box_px").split())
    assert done.exit_code == 1
    assert "fix: write --tolerance box_px=0.1" in done.stderr
    done = CliRunner().invoke(main, (LINE + CHOSEN + " --tolerance boxes=1").split())
    assert done.exit_code == 1
    assert "there is no tolerance 'boxes'" in done.stderr
    done = CliRunner().invoke(main, (LINE + CHOSEN + " --reference nope").split())
    assert done.exit_code == 1
    assert "no adapter that runs the ONNX model itself is installed (nope)" in done.stderr
    assert not beside(work / "run/m.engine").exists(), "what is missing is said before the build"


@pytest.mark.slow
def test_a_missing_preset_is_said_before_the_build(work, machine):
    line = "tensorrt pipeline --onnx m.onnx --dataset scenes --out run"
    done = CliRunner().invoke(main, line.split())
    assert done.exit_code == 1
    assert "fix: add --option preset=ultralytics" in done.stderr
    assert not (work / "run/m.engine").exists()


def changes(folder):
    """What of a run may change between two, and how to change it."""
    scenes = "synth --out other --images 3 --seed 5"
    return {
        "options": lambda: " --option nms_iou=0.3",
        "threshold": lambda: " --score-threshold 0.2",
        "reference": lambda: " --reference openvino",
        "images": lambda: " --max-images 2",
        "dataset": lambda: CliRunner().invoke(main, scenes.split()).exit_code * "failed" + " --dataset other",
        "model": lambda: str(seeing_model(folder / "m.onnx", classes=6, size_hw=(96, 96)))[:0],
    }


@pytest.mark.slow
@pytest.mark.parametrize("what", ["options", "threshold", "reference", "images", "dataset", "model"])
def test_a_resumed_run_makes_anew_what_would_be_another(what, work, machine):
    if what == "reference":
        pytest.importorskip("anydet_openvino")
    run()
    more = changes(work)[what]()
    _, second, _ = run(more + " --resume")
    assert "anew, as" in second["reference"]["summary"], second["reference"]["summary"]
    (work / "run/reference.json").unlink()
    _, fresh, _ = run(more)
    assert second["reference"]["results"] == fresh["reference"]["results"]
    assert second["evaluation"]["results"] == fresh["evaluation"]["results"]
    assert ("anew, as" in second["build"]["summary"]) == (what in {"options", "model"})


@pytest.mark.slow
def test_parts_of_another_run_are_not_gone_on_with(work, machine):
    run()
    folder = work / "run"
    (folder / "reference.json").rename(folder / "reference.json.partial")
    record = json.loads((folder / "reference.run.json").read_text("utf-8"))
    (folder / "reference.json.partial.log").write_text(json.dumps({**record, "options": {}}) + "\n", "utf-8")
    _, steps, _ = run(" --resume --score-threshold 0.2")
    assert "limits" in steps["reference"]["summary"]
    assert not (folder / "reference.json.partial").exists()


@pytest.mark.slow
def test_images_without_labels_are_compared_and_not_evaluated(work, machine):
    report, steps, _ = run(" --dataset scenes/images/val")
    assert report["ok"]
    assert steps["evaluation"]["summary"] == "the data set has no labels"
    assert steps["latency"]["state"] == "done"
