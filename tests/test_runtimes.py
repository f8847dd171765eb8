"""The same file on every runtime: the same predictions, the same errors, and meta that says what ran it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from click.testing import CliRunner
from onnx import TensorProto, helper
from tests.onnx_models import constant_model, load_runtime, save_graph, seeing_model

import anydet
from anydet.cli import main
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet.prediction.pipeline import Limits
from anydet.runtime.errors import ModelError
from anydet.testing.comparison import Tolerance, first_difference

RUNTIMES = ("onnxruntime", "openvino", "opencv_dnn")
for runtime in RUNTIMES:
    pytest.importorskip(f"anydet_{runtime}")
OTHERS = RUNTIMES[1:]
PLUGINS = Plugins(only=list(RUNTIMES))
CLOSE = Tolerance(box_px=0.02, score=1e-3)
MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}


@pytest.fixture(params=RUNTIMES)
def load(request):
    return partial(load_runtime, PLUGINS, request.param)


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (64, 64), (30, 90), (1, 1), (100, 20), (64, 30), (7, 64)]
    images = []
    for height, width in sizes:
        colors = rng.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
        images.append(np.kron(colors, np.ones((12, 12, 1), np.uint8))[:height, :width])
    return [Record(f"{i}.png", ImageArray(image)) for i, image in enumerate(images)]


@pytest.mark.parametrize("kind", ["fixed", "two", "open batch", "open size", "channels last", "half"])
@pytest.mark.parametrize("name", OTHERS)
def test_predictions_are_those_of_onnxruntime(name, kind, tmp_path, records):
    models = {
        "two": {"batch": 2},
        "open batch": {"batch": "N"},
        "open size": {"batch": "N", "size_hw": ("h", "w")},
        "channels last": {"channels_last": True, "batch": "N", "size_hw": ("h", "w")},
        "half": {"dtype": np.float16},
    }
    path = seeing_model(tmp_path / "m.onnx", **models.get(kind, {}))
    size = {"size": "96x64"} if "h" in models.get(kind, {}).get("size_hw", ()) else {}
    ours, theirs = (
        list(
            load_runtime(
                PLUGINS, runtime, path, preset="ultralytics", batch_size=3, nms_iou="null", **size
            ).predict(records)
        )
        for runtime in (name, "onnxruntime")
    )
    assert sum(map(len, theirs)) > 50, "too few detections to show anything"
    # Sums of half numbers depend on their order, and on what they are summed in.
    close = Tolerance(box_px=0.5, score=0.02) if kind == "half" else CLOSE
    assert not first_difference(ours, theirs, close, floor=0.05)


@pytest.mark.parametrize("name", OTHERS)
def test_sizes_as_input_and_whole_numbers_as_output_are_those_of_onnxruntime(name, tmp_path, records):
    """Labels of 64 bits, and boxes in shares of the size that is fed as (width, height)."""
    sizes = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2])
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 64, 96])
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((1, 5, 2, 2)), axis=2).reshape(1, 5, 4).astype(np.float32)
    weights = {
        "corners": corners,
        "numbers": np.array([[3, 1, 4, 1, 5]]),
        "zeros": np.zeros((1, 5), np.int64),
        "factors": (0.5 + rng.random((1, 5)) / 2).astype(np.float32),
        "one": np.array([1]),
    }
    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["wh"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["wh", "wh"], ["whwh"], axis=1),
        helper.make_node("Unsqueeze", ["whwh", "one"], ["rows"]),
        helper.make_node("Mul", ["corners", "rows"], ["boxes"]),
        helper.make_node("GlobalAveragePool", ["images"], ["channels"]),
        helper.make_node("ReduceMean", ["channels"], ["mean4"], axes=[1], keepdims=1),
        helper.make_node("Flatten", ["mean4"], ["mean"]),
        helper.make_node("Mul", ["mean", "factors"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole", "zeros"], ["rows of zeros"]),
        helper.make_node("Add", ["rows of zeros", "numbers"], ["labels"]),
    ]
    outputs = [
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", 5]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 5, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 5]),
    ]
    path = save_graph(
        tmp_path / "m.onnx",
        nodes,
        inputs=[image, sizes],
        outputs=outputs,
        initializers=[onnx.numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    ours, theirs = (
        list(load_runtime(PLUGINS, runtime, path, batch_size=2, names="coco").predict(records))
        for runtime in (name, "onnxruntime")
    )
    assert sum(map(len, theirs)) > 20, "too few detections to show anything"
    assert not first_difference(ours, theirs, CLOSE, floor=0.05)


def test_meta_says_what_ran_the_model(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeing_model(tmp_path / "m.onnx", classes=2)
    name = load.args[1]
    for line in (
        "synth --out scenes --images 2",
        f"export-predictions --adapter {name} --checkpoint m.onnx --option preset=ultralytics "
        "--option threads=1 --option names=a,b --dataset scenes --wrap --output p.json",
    ):
        done = CliRunner().invoke(main, line.split())
        assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "p.json").read_text("utf-8"))["meta"]["extra"]["runtime"]
    assert found["name"] == name
    assert found["threads"] == 1
    assert found["version"]
    assert "CPU" in found["device"]
    assert found.get("precision", "float32") == "float32"


CUSTOM = helper.make_node("Foo", ["pixels"], ["out"], domain="com.acme")
UNKNOWN = helper.make_node("NoSuchOperator", ["pixels"], ["out"])


def with_node(path, node):
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def test_a_custom_operator_is_named_with_its_domain(load, tmp_path):
    with pytest.raises(ModelError, match=r"does not have its operator 'com\.acme\.Foo'") as error:
        load(with_node(tmp_path / "m.onnx", CUSTOM), preset="yolox")
    assert "com.acme is a domain of custom operators" in error.value.problem
    assert error.value.fix == "export the model with operators of ONNX alone"


def test_an_operator_that_is_not_there_is_named(load, tmp_path):
    with pytest.raises(ModelError) as error:
        load(with_node(tmp_path / "m.onnx", UNKNOWN), preset="yolox")
    assert error.value.problem.endswith("does not have its operator 'NoSuchOperator'")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3678356\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (POINTER, "a pointer of Git LFS, not the file itself, no ONNX model", "git lfs pull"),
        (PAGE, r"a web page \(HTML\), no ONNX model", "download the file itself"),
        (b"", "an empty file, no ONNX model", "give --checkpoint an .onnx file"),
        (b"PK\x03\x04" + b"\0" * 60, "an archive that is damaged", "give --checkpoint an .onnx file"),
        (b"\x08\x07garbage" * 50, "cannot be opened as an ONNX model", "complete .onnx file"),
    ],
    ids=["pointer", "page", "empty", "archive", "garbage"],
)
def test_a_file_of_another_kind_says_what_it_is(content, what, fix, load, tmp_path, capfd):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=what) as error:
        load(tmp_path / "m.onnx", preset="yolox")
    assert error.value.problem.startswith(str(tmp_path / "m.onnx"))
    assert fix in error.value.fix
    assert capfd.readouterr() == ("", "")


def test_a_folder_and_a_file_that_is_not_there_say_so(load, tmp_path):
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(ModelError, match=r"m\.onnx: a folder, no ONNX model"):
        load(tmp_path / "m.onnx", preset="yolox")
    with pytest.raises(ModelError, match=r"n\.onnx: no such file"):
        load(tmp_path / "n.onnx", preset="yolox")


def test_a_model_cut_short_is_an_error(load, tmp_path):
    path = constant_model(tmp_path / "m.onnx", [np.random.default_rng(0).random((1, 84, 8))])
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ModelError, match="cannot be opened as an ONNX model"):
        load(path, preset="yolox")


def test_data_outside_of_the_folder_is_refused(load, tmp_path):
    path = constant_model(tmp_path / "m.onnx", [np.random.default_rng(0).random((1, 84, 8))])
    model = onnx.load(path)
    (tmp_path / "inner").mkdir()
    inner = tmp_path / "inner" / "m.onnx"
    onnx.save(model, inner, save_as_external_data=True, location="weights.data", size_threshold=0)
    inner.write_bytes(inner.read_bytes().replace(b"weights.data", b"/etc/hosts.a"))
    with pytest.raises(ModelError, match="which is not in the model's folder"):
        load(inner, preset="yolox")


def test_a_file_quantized_beyond_its_opset_says_so(load, tmp_path):
    weights = [helper.make_tensor("w", TensorProto.INT8, [3, 3, 1, 1], bytes(9), raw=True)]
    weights.append(helper.make_tensor("scales", TensorProto.FLOAT, [3], [1.0] * 3))
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scales"], ["k"], "weights", axis=0),
        helper.make_node("Conv", ["x", "k"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    path = tmp_path / "m.onnx"
    save_graph(path, nodes, inputs=values[:1], outputs=values[1:], initializers=weights)
    model = onnx.load(path)
    model.opset_import[0].version = 11
    onnx.save(model, path)
    with pytest.raises(ModelError, match="'axis' of DequantizeLinear, which is of opset 13") as error:
        load(path, preset="yolox")
    assert "anydet quantize" in error.value.fix


def test_a_thousand_threads_are_refused(load, tmp_path):
    with pytest.raises(OptionError, match=r"threads=1000 are too many: this process has \d+ processor"):
        load(seeing_model(tmp_path / "m.onnx"), preset="ultralytics", threads=1000)


def test_a_closed_adapter_says_that_it_is_closed(load, tmp_path, records):
    with load(seeing_model(tmp_path / "m.onnx"), preset="ultralytics") as adapter:
        assert len(list(adapter.predict(records[:1]))) == 1
    adapter.close()
    with pytest.raises(ModelError, match=r"m\.onnx was closed, and does not run any more"):
        list(adapter.predict(records[:1]))


def test_another_input_size_than_the_models_does_not_run(load, tmp_path):
    with pytest.raises(OptionError, match="size=96x64 contradicts the model, whose input is 64x64"):
        load(seeing_model(tmp_path / "m.onnx"), preset="ultralytics", size="96x64")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An adapter of torch with random weights, and its file."""
    torch = pytest.importorskip("torch")  # heavy, so not before a test needs it
    from tests.small_checkpoints import OURS, whole

    from anydet.training.checkpoints.checkpoint import save_checkpoint
    from anydet.training.onnx_file import write_onnx

    folder, plugins = tmp_path_factory.mktemp("exported"), Plugins(only=[*OURS])

    def make(name):
        weights, model = folder / f"{name}.pt", folder / f"{name}.onnx"
        save_checkpoint(weights, whole(name))
        settings = plugins.settings(name, checkpoint=str(weights), score_floor=0.0, max_detections=20)
        adapter = plugins.adapter(name, settings)
        with torch.random.fork_rng():
            write_onnx(adapter.export_spec(), model)
        return adapter, model

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adaptivestream", "fasterrcnn_multitask", "rtdetr_pose"])
def test_exports_of_anydet_predict_what_torch_predicts(name, load, exported):
    from anydet.data.scenes.mask_scenes import SyntheticMasks

    adapter, path = exported(name)
    settings = PLUGINS.settings(
        load.args[1], checkpoint=str(path), score_floor=0.0, max_detections=20, batch_size=2
    )
    records = list(SyntheticMasks(4, 7, (64, 64)))
    if (load.args[1], name) == ("opencv_dnn", "fasterrcnn_multitask"):
        # It takes no score threshold below 0 in a suppression, which the file has for rows that are none.
        with pytest.raises(ModelError, match="score_threshold"):
            PLUGINS.adapter(load.args[1], settings)
        return
    with PLUGINS.adapter(load.args[1], settings) as runtime_adapter:
        assert runtime_adapter.classes == adapter.classes
        ours, theirs = list(adapter.predict(records)), list(runtime_adapter.predict(records))
    assert sum(map(len, ours)) >= 60
    for a, b in zip(ours, theirs, strict=True):
        if a.classification is not None:
            np.testing.assert_allclose(a.classification.scores, b.classification.scores, atol=1e-5)
    plain = [
        [replace(result, classification=None, semantic_mask=None) for result in results]
        for results in (ours, theirs)
    ]
    assert not first_difference(*plain, Tolerance(box_px=0.01, score=1e-4))


@pytest.mark.slow
@pytest.mark.parametrize("preset", MODELS)
def test_real_models_have_the_same_ap_to_four_digits_on_every_runtime(preset, shared_data, coco128, tmp_path):
    dataset = anydet.open_dataset(coco128)
    found = {}
    for name in RUNTIMES:
        path = tmp_path / f"{name}.json"
        with load_runtime(
            PLUGINS, name, shared_data / "models" / MODELS[preset], preset=preset, score_floor=0.001
        ) as adapter:
            anydet.export_predictions(adapter, dataset, path, limits=Limits(score_threshold=0.001))
        metrics = anydet.evaluate(dataset, path).metrics
        found[name] = {key: round(metrics[key], 4) for key in ("AP", "AP50", "AP75")}
    recorded = json.loads((shared_data / "models" / "expected.json").read_text("utf-8"))
    assert found["onnxruntime"]["AP"] == pytest.approx(
        recorded["models"][MODELS[preset]]["metrics"]["AP"], abs=0.003
    )
    assert found["openvino"] == found["opencv_dnn"] == found["onnxruntime"]
