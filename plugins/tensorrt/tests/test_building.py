"""Builds: real ones by TensorRT-RTX, without a GPU, and what TensorRT 10 and 11 are told (``emulated``)."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from emulated import TensorRT
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_models import constant_model, seeing_model

import anydet
from anydet.cli import main
from anydet.errors import AnydetError, OptionError
from anydet.prediction.meta import file_sha256
from anydet.runtime.errors import ModelError
from anydet_tensorrt.building import BuildSettings, build_engine
from anydet_tensorrt.errors import BuildError, LibraryError
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.library import Library, find_library, plain
from anydet_tensorrt.metadata import beside, read_metadata, require_current

RTX = find_spec("tensorrt_rtx") is not None
rtx = pytest.mark.skipif(not RTX, reason="tensorrt-rtx-cu13 is not installed")
MODELS = ("yolox_nano_416_coco80", "nanodet_m_320_coco80", "fastestdet_coco80")


def real(model, target, **settings):
    return build_engine(model, target, BuildSettings(library="tensorrt-rtx", **settings))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "yolox"}, "preset=yolox does not fit"),
        ({"preset": "ultralytics", "size": "96"}, "contradicts the model"),
    ],
)
def test_options_of_another_model_are_refused_before_the_build(options, said, tmp_path, machine):
    model = seeing_model(tmp_path / "m.onnx")
    with pytest.raises(AnydetError, match=said):
        machine.build(model, tmp_path / "m.engine", options=options)
    assert not (tmp_path / "m.engine").exists()


@pytest.mark.parametrize("size_hw", [(64, 64), ("h", "w")])
@pytest.mark.parametrize("batch", [1, "N"])
def test_a_build_says_where_nothing_states_how_images_are_prepared(batch, size_hw, tmp_path, machine):
    model = seeing_model(tmp_path / "m.onnx", batch=batch, size_hw=size_hw)
    shapes = {} if (batch, size_hw) == (1, (64, 64)) else {"usual": {"pixels": (1, 3, 64, 64)}}
    built = machine.build(model, tmp_path / "m.engine", options={}, **shapes)
    (warning,) = built.warnings
    assert "do not say how images are prepared" in warning
    assert "add --option preset=ultralytics" in warning
    assert not machine.build(model, tmp_path / "m.engine", **shapes).warnings


@rtx
def test_a_real_engine_is_built_without_a_gpu_and_says_what_it_is(tmp_path):
    model = seeing_model(tmp_path / "m.onnx", batch="N")
    phases = []
    built = build_engine(
        model,
        tmp_path / "m.engine",
        BuildSettings(
            library="tensorrt-rtx",
            usual={"pixels": (2, 3, 64, 64)},
            largest={"pixels": (4, 3, 64, 64)},
            workspace_mib=64,
            options={"preset": "ultralytics"},
        ),
        progress=lambda phase, done, steps: phases.append((phase, done, steps)),
    )
    assert (tmp_path / "m.engine").read_bytes().startswith(b"vtrt")
    stated = read_metadata(tmp_path / "m.engine")
    assert stated == built.metadata
    assert stated.sha256 == file_sha256(tmp_path / "m.engine")
    assert (stated.onnx.file, stated.onnx.sha256, stated.onnx.opset) == ("m.onnx", file_sha256(model), 17)
    assert (stated.library, stated.library_version) == ("tensorrt-rtx", find_library("tensorrt-rtx").version)
    assert (stated.gpu, stated.precision, stated.strongly_typed, stated.flags) == (None, "fp32", True, ())
    profile = stated.profiles["pixels"]
    assert (profile.smallest, profile.usual, profile.largest) == (
        (2, 3, 64, 64),
        (2, 3, 64, 64),
        (4, 3, 64, 64),
    )
    assert (stated.workspace_mib, stated.options) == (64, {"preset": "ultralytics"})
    assert [t.name for t in (*stated.inputs, *stated.outputs)] == ["pixels", "out"]
    assert phases
    assert all(0 <= done <= steps for _, done, steps in phases)
    require_current(tmp_path / "m.engine", stated, find_library("tensorrt-rtx"), None)


@rtx
@pytest.mark.parametrize("precision", ["fp16", "bf16", "best"])
def test_half_precision_is_a_cast_of_the_graph(precision, tmp_path):
    model = seeing_model(tmp_path / "m.onnx")
    whole = real(model, tmp_path / "w.engine")
    built = real(model, tmp_path / "m.engine", precision=precision)
    assert built.metadata.precision == {"best": "fp16"}.get(precision, precision)
    assert built.metadata.strongly_typed
    assert built.metadata.inputs == whole.metadata.inputs, "inputs keep their type"
    assert built.engine.stat().st_size < whole.engine.stat().st_size
    assert Graph(model).precision == "fp32", "the model itself stays"


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)]
)
def test_weights_of_a_cast_are_rounded_once(precision, kind, tmp_path):
    path = seeing_model(tmp_path / "m.onnx")
    cast = onnx.load_from_string(Graph(path).cast(precision))
    before = {w.name: numpy_helper.to_array(w) for w in onnx.load(path).graph.initializer}
    halved = [w for w in cast.graph.initializer if w.data_type == kind]
    assert len(halved) >= 4
    for weight in halved:
        exact = before[weight.name.removesuffix("/float16")]
        rounded = numpy_helper.to_array(weight).astype(np.float32)
        step = 2.0 ** (-11 if precision == "fp16" else -8)
        np.testing.assert_allclose(rounded, exact, rtol=step, atol=1e-7)
    kinds = {t.type.tensor_type.elem_type for t in (*cast.graph.input, *cast.graph.output)}
    assert kinds == {TensorProto.FLOAT}


def quantized(path, target, **changes):
    """The model quantized by ONNX Runtime, on random images."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    rng = np.random.default_rng(0)
    batches = iter([{"pixels": rng.random((1, 3, 64, 64), np.float32)} for _ in range(4)])
    reader = SimpleNamespace(get_next=lambda: next(batches, None))
    extra = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, **changes}
    quantization.quantize_static(
        path,
        target,
        reader,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        extra_options=extra,
    )
    return target


@pytest.mark.slow
@rtx
def test_a_quantized_model_is_built_as_int8(tmp_path):
    model = quantized(seeing_model(tmp_path / "m.onnx"), tmp_path / "q.onnx")
    for precision in ("int8", "best"):
        built = real(model, tmp_path / "q.engine", precision=precision)
        assert (built.metadata.precision, built.metadata.onnx.precision) == ("int8", "int8")


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"ActivationSymmetric": False}, "has a zero point"), ({"QuantizeBias": True}, "is a quantized bias")],
    ids=["zero point", "bias"],
)
def test_quantization_that_tensorrt_lacks_is_named(changes, what, machine, tmp_path):
    model = quantized(seeing_model(tmp_path / "m.onnx"), tmp_path / "q.onnx", **changes)
    with pytest.raises(BuildError, match=what) as error:
        machine.build(model, tmp_path / "q.engine", precision="int8")
    assert "symmetric in int8" in error.value.fix


@rtx
def test_int8_of_a_model_that_is_not_quantized_is_refused(tmp_path):
    model = seeing_model(tmp_path / "m.onnx")
    with pytest.raises(OptionError, match=r"m\.onnx is not quantized") as error:
        real(model, tmp_path / "m.engine", precision="int8")
    assert "--calibration-dataset" not in error.value.fix, "TensorRT-RTX has none"
    with pytest.raises(OptionError, match=r"TensorRT-RTX .* does not calibrate"):
        real(model, tmp_path / "m.engine", precision="int8", calibration=SimpleNamespace())


def test_a_precision_that_the_model_does_not_have_is_refused(machine, tmp_path):
    model = seeing_model(tmp_path / "m.onnx", dtype=np.float16)
    for precision in ("fp32", "bf16"):
        with pytest.raises(OptionError, match=rf"--precision {precision}: .* computes in fp16 already"):
            machine.build(model, tmp_path / "m.engine", precision=precision)
    assert machine.build(model, tmp_path / "m.engine", precision="fp16").metadata.strongly_typed


@pytest.mark.parametrize(
    ("precision", "flags"),
    [("fp32", ()), ("fp16", ("FP16",)), ("bf16", ("BF16",)), ("best", ("TF32", "FP16", "BF16"))],
)
def test_tensorrt_10_gets_flags_and_chooses_among_types(precision, flags, machine, tmp_path):
    built = machine.build(
        seeing_model(tmp_path / "m.onnx"), tmp_path / "m.engine", precision=precision, workspace_mib=3
    )
    assert (built.metadata.flags, built.metadata.strongly_typed) == (flags, False)
    assert machine.trt.config.network_flags == 0
    assert list(machine.trt.config.limits.values()) == [3 << 20]
    assert str(built.metadata.gpu) == "Emulated GPU (compute capability 8.9)"


def test_tensorrt_11_gets_a_graph_of_the_types(machine, tmp_path):
    machine.trt = TensorRT(machine.cuda, version="11.4.0")
    model = seeing_model(tmp_path / "m.onnx")
    for precision in ("fp32", "fp16"):
        built = machine.build(model, tmp_path / "m.engine", precision=precision)
        assert (built.metadata.flags, built.metadata.strongly_typed) == ((), True)
        assert machine.trt.config.network_flags == 1 << 1
    onnx.save(onnx.load_from_string(built.engine.read_bytes()[4:]), tmp_path / "half.onnx")
    assert Graph(tmp_path / "half.onnx").precision == "fp16"


@pytest.mark.slow
def test_tensorrt_10_calibrates_on_images_as_predict_prepares_them(machine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["synth", "--out", "scenes", "--images", "5"])
    assert done.exit_code == 0, done.output
    dataset = anydet.open_dataset("scenes")
    built = machine.build(
        seeing_model(tmp_path / "m.onnx"),
        tmp_path / "m.engine",
        precision="int8",
        calibration=dataset,
        calibration_images=3,
    )
    assert built.metadata.flags == ("INT8",)
    stated = built.metadata.calibration
    assert (stated.images, stated.fingerprint) == (3, dataset.fingerprint())
    from dataclasses import replace

    from anydet.runtime.preprocess import Preprocessor
    from anydet.runtime.presets import PRESETS

    preprocess = replace(PRESETS["ultralytics"].preprocess, size_wh=(64, 64))
    images, _ = Preprocessor(preprocess, np.float32).batch([dataset[i].image() for i in range(3)])
    assert machine.trt.config.batches == [image.tobytes()[:64] for image in images]
    assert not machine.cuda.device, "its memory is freed"
    with pytest.raises(OptionError, match="does not say how images are prepared"):
        machine.build(
            tmp_path / "m.onnx", tmp_path / "m.engine", precision="int8", calibration=dataset, options={}
        )
    with pytest.raises(OptionError, match="--calibration-dataset is for int8, and the precision is fp16"):
        machine.build(tmp_path / "m.onnx", tmp_path / "m.engine", precision="fp16", calibration=dataset)


def test_a_timing_cache_is_read_and_written(machine, tmp_path):
    model, cache = seeing_model(tmp_path / "m.onnx"), tmp_path / "times.bin"
    for count in (1, 2):
        built = machine.build(model, tmp_path / "m.engine", timing_cache=cache)
        assert cache.read_bytes() == b"measured;" * count
    assert built.metadata.timing_cache == "times.bin"
    cache.write_bytes(b"of another GPU")
    with pytest.raises(OptionError, match=r"times\.bin is no timing cache of this GPU and TensorRT 10"):
        machine.build(model, tmp_path / "m.engine", timing_cache=cache)


@rtx
def test_a_timing_cache_has_no_effect_with_tensorrt_rtx_and_that_is_said(tmp_path):
    built = real(
        seeing_model(tmp_path / "m.onnx"), tmp_path / "m.engine", timing_cache=tmp_path / "times.bin"
    )
    assert "--timing-cache has no effect" in built.warnings[0]
    assert not (tmp_path / "times.bin").exists()


def test_tensorrt_without_a_gpu_says_what_builds_without_one(machine, tmp_path):
    machine.cuda.gpus = 0
    with pytest.raises(LibraryError, match="measures kernels on the GPU that it builds for") as error:
        machine.build(seeing_model(tmp_path / "m.onnx"), tmp_path / "m.engine")
    assert "--library tensorrt-rtx" in error.value.fix


def test_an_interrupted_build_ends_as_one_and_leaves_nothing(machine, tmp_path):
    def interrupt(_phase, done, _steps):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(
            seeing_model(tmp_path / "m.onnx"),
            tmp_path / "m.engine",
            BuildSettings(library="tensorrt"),
            progress=interrupt,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


@rtx
def test_a_real_build_stops_when_it_is_interrupted(tmp_path):
    def interrupt(_phase, done, _steps):
        if done:
            raise KeyboardInterrupt

    model = seeing_model(tmp_path / "m.onnx")
    with pytest.raises(KeyboardInterrupt):
        build_engine(model, tmp_path / "m.engine", BuildSettings(library="tensorrt-rtx"), progress=interrupt)
    assert not (tmp_path / "m.engine").exists()


@rtx
@pytest.mark.parametrize(
    ("node", "what"),
    [
        (
            helper.make_node("Foo", ["pixels"], ["out"], domain="com.acme"),
            "its operator 'com.acme.Foo'; com.acme is",
        ),
        (helper.make_node("NoSuchOperator", ["pixels"], ["out"]), "its operator 'NoSuchOperator'"),
    ],
    ids=["custom", "unknown"],
)
def test_an_operator_that_is_not_there_is_named(node, what, tmp_path, capfd):
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in ("pixels", "out")]
    graph = helper.make_graph([node], "test", declared[:1], declared[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=rf"TensorRT-RTX .* does not have {what}"):
        real(tmp_path / "m.onnx", tmp_path / "m.engine")
    assert capfd.readouterr() == ("", "")


@rtx
def test_what_cannot_be_built_has_the_reason_of_the_library(tmp_path, capfd):
    image = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    node = helper.make_node("Reshape", ["pixels", "shape"], ["out"])
    weights = [numpy_helper.from_array(np.array([7, -1]), "shape")]
    graph = helper.make_graph([node], "test", [image], [out], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        tmp_path / "m.onnx",
    )
    with pytest.raises(
        BuildError, match=r"m\.onnx: .* at node 'Reshape': .*Reshaping \[1,3,8,8\] to \[7,-1\]"
    ) as error:
        real(tmp_path / "m.onnx", tmp_path / "m.engine")
    assert ".cpp" not in error.value.problem
    assert capfd.readouterr() == ("", "")


def test_weights_beside_a_model_are_part_of_its_digest(tmp_path):
    path = constant_model(tmp_path / "m.onnx", [np.random.default_rng(0).random((1, 84, 8))])
    alone = Graph(path).sha256()
    assert alone == file_sha256(path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0)
    before = Graph(path).sha256()
    assert before not in {alone, file_sha256(path)}
    (tmp_path / "m.data").write_bytes((tmp_path / "m.data").read_bytes()[::-1])
    assert Graph(path).sha256() != before


@rtx
def test_weights_beside_a_model_are_built_in(tmp_path):
    path = constant_model(tmp_path / "m.onnx", [np.random.default_rng(0).random((1, 84, 800))])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert real(path, tmp_path / "m.engine").engine.stat().st_size > 84 * 800 * 4


@rtx
@pytest.mark.slow
def test_too_little_workspace_says_what_to_raise(shared_data, tmp_path):
    with pytest.raises(
        BuildError, match="no tactics to implement the operation within workspace limit"
    ) as error:
        real(shared_data / "models" / "fastestdet_coco80.onnx", tmp_path / "m.engine", workspace_mib=1)
    assert error.value.fix == "raise --workspace-mib, or leave it out"


@pytest.mark.slow
@rtx
def test_the_command_builds_and_prints_what_stands_beside_the_engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeing_model(tmp_path / "m.onnx", batch="N")
    line = "tensorrt build --onnx m.onnx --engine m.engine --library tensorrt-rtx"
    missing = CliRunner().invoke(main, line.split())
    assert missing.exit_code == 1
    assert "fix: add --opt-shapes pixels:1x3x64x64" in missing.output
    shapes = " --min-shapes pixels:1x3x64x64 --max-shapes pixels:2x3x64x64 --option preset=ultralytics --json"
    done = CliRunner().invoke(main, (line + shapes).split())
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(beside(tmp_path / "m.engine").read_text("utf-8"))
    CliRunner().invoke(main, ["synth", "--out", "scenes", "--images", "1"])
    line = "export-predictions --adapter tensorrt --checkpoint m.engine --dataset scenes --output p.json"
    without_gpu = CliRunner().invoke(main, line.split())
    assert without_gpu.exit_code == 1
    assert "CUDA" in without_gpu.output
    assert "--device" not in without_gpu.output, "the line of 'tensorrt build --help' is for a GPU"
    refused = CliRunner().invoke(main, [*line.split(), "--device", "cpu"])
    assert refused.exit_code == 1
    assert "--device 'cpu' is none of the tensorrt adapter" in refused.output


@rtx
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_engines_of_real_models_are_built_without_a_gpu(name, precision, shared_data, tmp_path):
    model = shared_data / "models" / f"{name}.onnx"
    built = real(model, tmp_path / "m.engine", precision=precision, options={"preset": name.split("_")[0]})
    assert built.metadata.precision == precision
    assert built.metadata.onnx.sha256 == file_sha256(model)
    assert 1e6 < built.engine.stat().st_size < 2e7


def test_the_types_alone_are_no_library(monkeypatch):
    """tensorrt-stubs makes ``import tensorrt`` work, with nothing in it."""
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(LibraryError, match="tensorrt and tensorrt-rtx are not installed") as error:
        find_library()
    assert error.value.fix == "pip install 'anydet-tensorrt[rtx]', or 'anydet-tensorrt[cu13]' for TensorRT"
    with pytest.raises(LibraryError, match="tensorrt is not installed"):
        find_library("tensorrt")


@rtx
def test_names_are_those_of_the_libraries():
    """Of what types cannot show: TensorRT-RTX, which has none, and CUDA's functions."""
    library = find_library("tensorrt-rtx")
    trt = library.module
    for name in Library.__annotations__:
        assert hasattr(trt, name), name
    assert not library.has_precision_flags
    assert hasattr(trt.IRuntimeConfig, "cuda_graph_strategy")
    assert "WHOLE_GRAPH_CAPTURE" in trt.CudaGraphStrategy.__members__
    assert {"serialize", "deserialize"} <= set(dir(trt.IRuntimeCache))
    for kind, names in {
        trt.ICudaEngine: ("num_io_tensors", "get_tensor_profile_shape", "create_runtime_config"),
        trt.IExecutionContext: (
            "set_input_shape",
            "get_max_output_size",
            "execute_async_v3",
            "set_output_allocator",
        ),
        trt.IRuntimeConfig: ("create_runtime_cache", "set_runtime_cache"),
    }.items():
        assert set(names) <= set(dir(kind))
    runtime = pytest.importorskip("cuda.bindings.runtime")
    from emulated import CudaRuntime

    used = [name for name in dir(CudaRuntime) if name.startswith("cuda")]
    assert len(used) > 15
    for name in used:
        assert hasattr(runtime, name), name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "IBuilder::build: Error Code 1: Cuda Runtime (In f at /_src/a.cpp:221 (cudaError 35))",
            "Cuda Runtime (cudaError 35))",
        ),
        ("[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime", "Cuda Runtime"),
        ("plain words", "plain words"),
    ],
)
def test_messages_lose_their_places(text, found):
    assert plain(text) == found
