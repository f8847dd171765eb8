"""What 'anydet quantize' writes: the form that all runtimes and TensorRT take, with measured numbers."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.onnx_models import described_model, save_graph

import anydet
from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.evaluation.analysis.comparison import Difference
from anydet.runtime.errors import ModelError
from anydet_onnxruntime.commands import told_of_held_out
from anydet_onnxruntime.quantization.calibration import measure_ranges
from anydet_onnxruntime.quantization.graph import FloatGraph
from anydet_onnxruntime.quantization.images import divide, repeated_images

SIZE = (4, 8, 8)


def network(path, *, opset=17, weights=np.float32):
    """Two convolutions on a residual path, a product of matrices, and a bias: conv1, conv2, matmul."""
    rng = np.random.default_rng(3)

    def constant(name, *shape):
        return numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(weights), name)

    channels = SIZE[0]
    constants = [constant("w1", channels, channels, 3, 3), constant("b1", channels)]
    constants += [constant("w2", channels, channels, 1, 1), constant("w3", SIZE[2], 5)]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2"),
        helper.make_node("Add", ["r1", "c2"], ["sum"], "add"),
        helper.make_node("MatMul", ["sum", "w3"], ["y"], "matmul"),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(weights))
    inputs = [helper.make_tensor_value_info("x", kind, [1, *SIZE])]
    outputs = [helper.make_tensor_value_info("y", kind, [1, *SIZE[:2], 5])]
    save_graph(path, nodes, inputs=inputs, outputs=outputs, initializers=constants, metadata={"names": "x"})
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    return FloatGraph(network(folder / "net.onnx"), folder)


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return [{"x": rng.normal(0, 1, (1, *SIZE)).astype(np.float32)} for _ in range(4)]


@pytest.fixture(scope="module")
def ranges(graph, inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranges")
    return measure_ranges(graph.prepared, iter(inputs), "minmax", folder, lambda: None)


def outputs_of(model, feeds):
    import onnxruntime as ort

    options = ort.SessionOptions()
    # As the file has it: sums of fused integer layers saturate on processors without VNNI.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def chosen(graph, *names):
    return [layer for layer in graph.layers if layer.name in names]


def test_the_layers_are_those_with_weights(graph):
    assert [layer.name for layer in graph.layers] == ["conv1", "conv2", "matmul"]
    assert [layer.weight_bytes for layer in graph.layers] == [4 * 4 * 4 * 9, 4 * 4 * 4, 4 * 8 * 5]


def test_the_form_is_what_tensorrt_takes(graph, ranges):
    model = graph.quantized(graph.layers, ranges)
    constants = {one.name: one for one in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type.endswith("eLinear")]
    assert {node.op_type for node in pairs} == {"QuantizeLinear", "DequantizeLinear"}
    for node in pairs:
        zero = constants[node.input[2]]
        assert zero.data_type == TensorProto.INT8
        assert not np.any(numpy_helper.to_array(zero))
    assert constants["b1"].data_type == TensorProto.FLOAT
    scales = {node.input[0]: numpy_helper.to_array(constants[node.input[1]]) for node in pairs}
    assert scales["w1_quantized"].shape == (4,)
    assert np.allclose(
        scales["w1_quantized"],
        np.abs(numpy_helper.to_array(constants_of(graph)["w1"])).max(axis=(1, 2, 3)) / 127,
    )
    assert {o.domain for o in model.opset_import} == {""}
    assert {node.domain for node in model.graph.node} == {""}
    assert [entry.key for entry in model.metadata_props if entry.key == "names"]


def constants_of(graph):
    return {one.name: one for one in onnx.load(graph.path).graph.initializer}


def test_results_stay_near_those_in_float(graph, ranges, inputs):
    wanted = outputs_of(onnx.load(graph.path), inputs[0])
    found = outputs_of(graph.quantized(graph.layers, ranges), inputs[0])
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 0 < error < 0.03


def test_what_is_not_chosen_gets_what_it_got_in_float(graph, ranges):
    model = graph.quantized(chosen(graph, "conv2"), ranges)
    onnx.checker.check_model(model)  # in order, among others
    nodes = {node.name: node for node in model.graph.node}
    assert nodes["add"].input[0] == "r1"
    assert nodes["conv1"].input[:2] == ["x", "w1"]
    assert nodes["matmul"].input[1] == "w3"
    assert nodes["conv2"].input[0] != "r1"


def test_a_choice_leaves_the_model_as_it_was(graph, ranges):
    first = graph.quantized(graph.layers, ranges).SerializeToString()
    graph.quantized(chosen(graph, "matmul"), ranges)
    assert graph.quantized(graph.layers, ranges).SerializeToString() == first


def test_layers_with_weights_in_common_are_one(tmp_path):
    model = onnx.load(network(tmp_path / "net.onnx"))
    node = helper.make_node("Conv", ["c2", "w2"], ["c3"], "again")
    model.graph.node.insert(3, node)
    model.graph.node[4].input[1] = "c3"
    onnx.save(model, tmp_path / "net.onnx")
    names = [layer.nodes for layer in FloatGraph(tmp_path / "net.onnx", tmp_path).layers]
    assert names == [("conv1",), ("conv2", "again"), ("matmul",)]


def test_an_old_opset_is_raised_so_that_channels_can_have_scales(tmp_path):
    graph = FloatGraph(network(tmp_path / "net.onnx", opset=11), tmp_path)
    assert onnx.load(graph.prepared).opset_import[0].version == 13
    assert len(graph.layers) == 3


@pytest.mark.parametrize(
    ("weights", "said"), [(np.float16, "its weights are FLOAT16"), (np.float64, "its weights are DOUBLE")]
)
def test_weights_of_other_types_are_named(weights, said, tmp_path):
    with pytest.raises(OptionError, match=said) as error:
        FloatGraph(network(tmp_path / "net.onnx", weights=weights), tmp_path)
    assert "float32" in error.value.fix


def test_a_quantized_model_is_not_quantized_again(graph, ranges, tmp_path):
    onnx.save(graph.quantized(graph.layers, ranges), tmp_path / "q.onnx")
    with pytest.raises(OptionError, match="is quantized already"):
        FloatGraph(tmp_path / "q.onnx", tmp_path)


def test_no_model_is_an_error_that_names_the_option(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07garbage")
    with pytest.raises(ModelError) as error:
        FloatGraph(tmp_path / "m.onnx", tmp_path)
    assert "--model" in error.value.fix


SETTINGS = {"calibration_images": 8, "max_images": 100, "seed": 1}


def test_no_image_is_for_two_things():
    dataset = SyntheticDataset(40, 0, (32, 32))
    images = divide(dataset, None, **SETTINGS)
    parts = [images.calibration, images.choice, images.held_out]
    assert [len(part) for part in parts] == [8, 16, 16]
    assert len({key for part in parts for key in part.keys}) == 40
    truth = images.held_out.ground_truth()
    assert truth.images == images.held_out.keys
    rows = [len(images.held_out[at].labels) for at in range(16)]
    assert np.bincount(truth.image_index, minlength=16).tolist() == rows


def test_of_two_data_sets_each_has_its_purpose():
    images = divide(SyntheticDataset(20, 0, (32, 32)), SyntheticDataset(30, 1, (32, 32)), **SETTINGS)
    assert [len(images.calibration), len(images.choice), len(images.held_out)] == [8, 15, 15]


def test_an_image_for_two_things_is_refused(tmp_path):
    for number in range(20):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    dataset, again = anydet.open_dataset(tmp_path), anydet.open_dataset(tmp_path)
    with pytest.raises(OptionError, match=r"have \d images? in common") as error:
        divide(dataset, again, **SETTINGS)
    assert "leave --eval-dataset out" in error.value.fix


@pytest.mark.slow
def test_images_with_the_pixels_of_the_calibration_are_counted_whatever_their_names(tmp_path):
    for folder, numbers in (("a", range(8)), ("b", range(4, 16))):
        (tmp_path / folder).mkdir()
        for number in numbers:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / folder / f"{folder}{number}.png")
    images = divide(anydet.open_dataset(tmp_path / "a"), anydet.open_dataset(tmp_path / "b"), **SETTINGS)
    assert repeated_images(images) == 4
    assert repeated_images(divide(SyntheticDataset(40, 0, (32, 32)), None, **SETTINGS)) == 0


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_not_there_is_named_with_what_brings_it(package, monkeypatch, tmp_path):
    network(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    arguments = ["--model", tmp_path / "m.onnx", "--dataset", tmp_path, "--output", tmp_path / "q.onnx"]
    run = CliRunner().invoke(main, ["quantize", *map(str, arguments)])
    assert run.exit_code == 1
    assert f"needs the package {package}, which" in run.stderr
    assert "pip install 'anydet-onnxruntime[quantize]'" in run.stderr


def test_too_few_images_are_refused():
    with pytest.raises(OptionError, match="are too few"):
        divide(SyntheticDataset(8, 0, (32, 32)), None, **SETTINGS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A model that describes itself, quantized by the command; its folder and what the command printed."""
    folder = tmp_path_factory.mktemp("written")
    described_model(folder / "model.onnx")
    run = CliRunner()
    synth = run.invoke(main, ["synth", "--out", str(folder / "data"), "--images", "24", "--size", "96x96"])
    assert synth.exit_code == 0, synth.output
    arguments = ["--model", "model.onnx", "--dataset", "data", "--output", "int8.onnx", "--json"]
    arguments = [str(folder / a) if not a.startswith("-") else a for a in arguments]
    done = run.invoke(main, ["quantize", *arguments, "--max-drop", "1", "--seed", "3"])
    assert done.exit_code == 0, done.output
    return folder, json.loads(done.stdout)


@pytest.mark.slow
def test_the_file_says_how_it_was_made_and_keeps_what_the_float_file_said(written):
    folder, printed = written
    metadata = {e.key: e.value for e in onnx.load(folder / "int8.onnx").metadata_props}
    stated = json.loads(metadata.pop("anydet_quantization"))
    assert metadata == {e.key: e.value for e in onnx.load(folder / "model.onnx").metadata_props}
    assert stated == {name: printed[name] for name in stated}
    dataset = anydet.open_dataset(folder / "data")
    assert stated["calibration"]["fingerprint"] == dataset.fingerprint()
    assert stated["calibration"]["images"] + stated["choice"]["images"] + stated["held_out"]["images"] == 24
    assert stated["float_layers"] == []
    assert not Path(f"{folder / 'int8.onnx'}.partial").exists()


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ((-0.004, 0.01), None),
        ((None, None), None),
        (
            (-0.0205, 0.0014),
            r"48 held-out images cannot show .*--max-drop 0.005: .* up to 0.0205 may be lost",
        ),
        ((-0.03, -0.006), "it loses more than --max-drop 0.005"),
    ],
)
def test_what_the_held_out_images_cannot_show_is_told(interval, told):
    found = Difference(0.46, 0.45, -0.01, *interval, None)
    quantized = SimpleNamespace(held_out_difference=found, held_out=SimpleNamespace(images=48))
    said = told_of_held_out(quantized, 0.005)
    assert said is None if told is None else re.search(told, said)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "opencv_dnn"])
def test_every_runtime_takes_the_file_without_options(runtime, written):
    pytest.importorskip(f"anydet_{runtime}")
    folder, _ = written
    record = anydet.open_dataset(folder / "data")[0]
    found = {}
    for name in ("model", "int8"):
        with anydet.load_adapter(runtime, checkpoint=folder / f"{name}.onnx") as adapter:
            (found[name],) = adapter.predict([record])
    # OpenCV, and OpenVINO on processors without VNNI, compute some of them in float, and then say so.
    precision = {"int8, float32"} if runtime == "onnxruntime" else {"int8, float32", "float32"}
    assert adapter.notes.runtime["precision"] in precision
    assert adapter.notes.runtime["quantized"] == "int8"
    scores = [np.sort(found[name].scores)[::-1][:5] for name in ("model", "int8")]
    assert np.allclose(*scores, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "opencv_dnn"])
def test_the_runtime_that_the_file_is_for_measures(runtime, written):
    pytest.importorskip(f"anydet_{runtime}")
    folder, _ = written
    arguments = ["--model", "model.onnx", "--dataset", "data", "--output", f"{runtime}.onnx", "--json"]
    arguments = [str(folder / a) if not a.startswith("-") else a for a in arguments]
    done = CliRunner().invoke(main, ["quantize", *arguments, "--adapter", runtime, "--max-drop", "1"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["runtime"]["name"] == runtime


@pytest.mark.slow
def test_an_adapter_that_runs_no_files_of_onnx_is_refused(written):
    folder, _ = written
    arguments = [
        "--model",
        folder / "model.onnx",
        "--dataset",
        folder / "data",
        "--output",
        folder / "t.onnx",
    ]
    done = CliRunner().invoke(main, ["quantize", *map(str, arguments), "--adapter", "toy"])
    assert done.exit_code == 1
    assert "use --adapter onnxruntime, openvino or opencv_dnn" in done.stderr


@pytest.mark.slow
def test_tensorrt_builds_an_engine_of_the_file(written):
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("anydet_tensorrt")
    folder, _ = written
    arguments = ["--onnx", folder / "int8.onnx", "--engine", folder / "int8.engine", "--json"]
    run = CliRunner().invoke(
        main,
        ["tensorrt", "build", *map(str, arguments), "--precision", "int8", "--library", "tensorrt-rtx"],
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["precision"] == "int8"
