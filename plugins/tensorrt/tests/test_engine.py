"""The engine on an emulated GPU (``emulated``): what it gives is what ONNX Runtime gives of the model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from emulated import TensorRT
from onnx import TensorProto, helper
from tests.onnx_models import load_runtime, save_graph, seeing_model

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError, UnsupportedError
from anydet.plugins.manager import Plugins
from anydet.runtime.errors import ModelError
from anydet.testing.comparison import Tolerance, first_difference
from anydet_tensorrt.engine import Engine
from anydet_tensorrt.errors import LibraryError, StaleEngineError
from anydet_tensorrt.metadata import beside, read_metadata

PLUGINS = Plugins(only=["tensorrt", "onnxruntime"])
OPEN = {"smallest": {"pixels": (1, 3, 64, 64)}, "largest": {"pixels": (4, 3, 64, 64)}}


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (7, 6, 6, 3), dtype=np.uint8)
    return [
        Record(f"{i}.png", ImageArray(np.kron(c, np.ones((12, 12, 1), np.uint8))))
        for i, c in enumerate(colors)
    ]


def inputs(count, seed=0):
    return {"pixels": np.random.default_rng(seed).random((count, 3, 64, 64), np.float32)}


def reference(path, feeds):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.fixture
def built(machine, tmp_path):
    """A model of any number of images, and its engine for 1 to 4."""
    model = seeing_model(tmp_path / "m.onnx", batch="N")
    machine.build(model, tmp_path / "m.engine", **OPEN)
    return model, tmp_path / "m.engine"


def test_an_engine_gives_what_its_model_gives_for_any_number_of_images(machine, built):
    model, path = built
    engine = Engine(str(path))
    for count in (1, 3, 4, 2, 2, 2, 9, 1, 1, 4):
        feeds = inputs(count, seed=count)
        (found,) = engine.run(feeds)
        np.testing.assert_allclose(found, reference(model, feeds)[0], rtol=1e-5, atol=1e-4)
    engine.close()


def test_memory_is_reserved_once_and_freed(machine, built):
    engine = Engine(str(built[1]))
    reserved = machine.cuda.allocations
    assert reserved == 4, "input and output, on the GPU and the host"
    for count in (1, 4, 9):
        engine.run(inputs(count))
    assert machine.cuda.allocations == reserved
    engine.close()
    engine.close()
    assert not machine.cuda.device
    assert not machine.cuda.pinned
    assert not machine.cuda.graphs
    assert list(machine.cuda.streams) == [0]


def test_a_graph_is_captured_at_the_second_run_of_a_shape_and_dropped_with_it(machine, built):
    model, path = built
    engine = Engine(str(path))
    launches = []
    for count in (2, 2, 2, 3, 3, 2, 2):
        feeds = inputs(count, seed=len(launches))
        (found,) = engine.run(feeds)
        np.testing.assert_allclose(found, reference(model, feeds)[0], rtol=1e-5, atol=1e-4)
        launches.append(machine.cuda.launches)
    assert launches == [0, 1, 2, 2, 3, 3, 4]
    assert len(machine.cuda.graphs) == 1, "graphs of other shapes are destroyed"
    engine.close()


def test_without_graphs_none_is_captured(machine, built):
    engine = Engine(str(built[1]), cuda_graph=False)
    for _ in range(3):
        engine.run(inputs(2))
    assert machine.cuda.launches == 0
    assert engine.runtime.as_dict()["cuda_graph"] is False


def test_results_of_a_run_stay_when_the_next_is_made(built):
    engine = Engine(str(built[1]))
    (first,) = engine.run(inputs(2, seed=1))
    kept = first.copy()
    engine.run(inputs(2, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_fewer_images_than_the_profile_has_are_filled_up(machine, tmp_path):
    model = seeing_model(tmp_path / "m.onnx", batch="N")
    shapes = {"smallest": {"pixels": (3, 3, 64, 64)}, "largest": {"pixels": (4, 3, 64, 64)}}
    machine.build(model, tmp_path / "m.engine", **shapes)
    engine = Engine(str(tmp_path / "m.engine"))
    for count in (1, 2, 3, 5):
        feeds = inputs(count)
        np.testing.assert_allclose(engine.run(feeds)[0], reference(model, feeds)[0], rtol=1e-5, atol=1e-4)


def test_a_shape_that_is_not_in_the_profile_says_so(built):
    engine = Engine(str(built[1]))
    with pytest.raises(ModelError, match=r"does not take pixels of \(1, 3, 32, 32\)"):
        engine.run({"pixels": np.zeros((1, 3, 32, 32), np.float32)})
    engine.run(inputs(2))


def test_outputs_whose_size_depends_on_the_image_have_it(machine, tmp_path):
    image = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 4, 4])
    places = helper.make_tensor_value_info("places", TensorProto.INT64, [4, "N"])
    node = helper.make_node("NonZero", ["pixels"], ["places"])
    model = save_graph(tmp_path / "m.onnx", [node], inputs=[image], outputs=[places], initializers=[])
    machine.trt = TensorRT(machine.cuda, late=["places"])
    machine.build(model, tmp_path / "m.engine")
    engine = Engine(str(tmp_path / "m.engine"))
    for seed in range(4):
        feeds = {"pixels": np.random.default_rng(seed).integers(0, 2, (1, 3, 4, 4)).astype(np.float32)}
        np.testing.assert_array_equal(engine.run(feeds)[0], reference(model, feeds)[0])
    assert machine.cuda.launches == 0, "its copies cannot be captured"


@pytest.mark.parametrize("batch", [1, 2, "N"])
def test_the_adapter_predicts_what_onnxruntime_predicts(batch, machine, tmp_path, records):
    model = seeing_model(tmp_path / "m.onnx", batch=batch)
    machine.build(model, tmp_path / "m.engine", **(OPEN if batch == "N" else {}))
    ours = load_runtime(PLUGINS, "tensorrt", tmp_path / "m.engine", device="cuda", batch_size=3)
    theirs = load_runtime(PLUGINS, "onnxruntime", model, batch_size=3, preset="ultralytics")
    found, expected = list(ours.predict(records)), list(theirs.predict(records))
    assert sum(map(len, expected)) > 20
    assert not first_difference(found, expected, Tolerance(box_px=0.01, score=1e-4))
    assert ours.notes.runtime["name"] == "tensorrt"
    assert ours.notes.runtime["device"] == "cuda:0: Emulated GPU (compute capability 8.9)"
    ours.close()
    assert not machine.cuda.device


def test_the_loader_gives_the_inputs_of_predict(machine, built, records):
    adapter = load_runtime(PLUGINS, "tensorrt", built[1], device="cuda", batch_size=4)
    batches = list(adapter.build_loader(records, batch_size=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    fed = []
    adapter._model.run, run = lambda images: (fed.append(images), run(images))[1], adapter._model.run
    list(adapter.predict(records))
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(fed))


@pytest.mark.parametrize("method", ["train", "get_model"])
def test_what_an_engine_cannot_do_names_the_adapters_that_can(method, machine, built):
    adapter = load_runtime(Plugins(), "tensorrt", built[1], device="cuda")
    with pytest.raises(UnsupportedError, match=r"\(adapters that do: .*rtdetr_pose"):
        getattr(adapter, method)(*([None] if method == "train" else []))


def test_another_gpu_version_model_and_file_are_all_named(machine, built):
    model, path = built
    machine.cuda.name, machine.cuda.capability = "Other GPU", (12, 0)
    with pytest.raises(StaleEngineError) as error:
        Engine(str(path))
    assert (
        "it was built for Emulated GPU (compute capability 8.9), and this is Other GPU" in error.value.problem
    )
    machine.trt.__version__ = "10.14.0"
    seeing_model(model, batch="N", classes=4)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(StaleEngineError) as error:
        Engine(str(path))
    assert "the file is not the one that m.engine.json describes" in error.value.problem
    assert "m.onnx is not the model that it was built of" in error.value.problem
    assert "built by tensorrt 10.13.0, and tensorrt 10.14.0 is installed" in error.value.problem
    assert "anydet tensorrt build --onnx" in error.value.fix


def test_an_engine_runs_where_its_model_is_not(machine, built):
    model, path = built
    model.unlink()
    assert len(Engine(str(path)).run(inputs(1))) == 1


def test_a_driver_of_another_version_is_no_difference(machine, built):
    stated = read_metadata(built[1])
    replace(stated, gpu=replace(stated.gpu, driver="12.0")).write(built[1])
    Engine(str(built[1])).close()


def test_an_engine_that_is_damaged_says_so(machine, built):
    path = built[1]
    path.write_bytes(b"ftr" + path.read_bytes())
    stated = json.loads(beside(path).read_text("utf-8"))
    from anydet.prediction.meta import file_sha256

    beside(path).write_text(json.dumps({**stated, "sha256": file_sha256(path)}), "utf-8")
    with pytest.raises(ModelError, match=r"cannot be opened by TensorRT 10\.13\.0: damaged"):
        Engine(str(path))
    assert not machine.cuda.device


def test_no_metadata_and_broken_metadata_say_so(machine, built):
    path = built[1]
    beside(path).write_text('{"format": 1}', "utf-8")
    with pytest.raises(ModelError, match=r"m\.engine\.json does not describe an engine"):
        Engine(str(path))
    beside(path).unlink()
    with pytest.raises(ModelError, match=r"m\.engine\.json is not beside it"):
        load_runtime(PLUGINS, "tensorrt", path, device="cuda")


@pytest.mark.parametrize("device", ["cpu", "gpu", "cuda:", "cuda:x", "CUDA"])
def test_other_devices_than_gpus_are_refused(device, built):
    with pytest.raises(OptionError, match="is none of the tensorrt adapter"):
        Engine(str(built[1]), device=device)


def test_a_gpu_that_is_not_there_is_named(machine, built):
    with pytest.raises(OptionError, match=r"cuda:3 is not there: there are 1 GPU"):
        Engine(str(built[1]), device="cuda:3")
    machine.cuda.gpus = 0
    with pytest.raises(LibraryError, match="CUDA finds no GPU"):
        Engine(str(built[1]))


def test_a_runtime_cache_is_for_tensorrt_rtx(built):
    with pytest.raises(OptionError, match="runtime_cache= is for TensorRT-RTX"):
        Engine(str(built[1]), runtime_cache="kernels.bin")


def test_an_onnx_file_in_place_of_an_engine_says_how_to_build_one(built):
    with pytest.raises(ModelError, match="an ONNX model, no engine of TensorRT") as error:
        load_runtime(PLUGINS, "tensorrt", built[0], device="cuda")
    assert (
        error.value.fix == f"build one of it: 'anydet tensorrt build --onnx {built[0]} --engine {built[1]}'"
    )
    with pytest.raises(ModelError, match="an engine of TensorRT, no ONNX model") as error:
        load_runtime(PLUGINS, "onnxruntime", built[1])
    assert error.value.fix == "use --adapter tensorrt"


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "a pointer of", "git lfs"),
        (b"<!DOCTYPE html>\n<html></html>\n", r"a web page \(HTML\)", "download the file itself"),
        (b"", "an empty file", "'anydet tensorrt build' wrote"),
        (None, "a folder", "'anydet tensorrt build' wrote"),
    ],
    ids=["pointer", "page", "empty", "folder"],
)
def test_a_file_of_another_kind_says_what_it_is(content, what, fix, tmp_path):
    path = tmp_path / "m.engine"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ModelError, match=f"{what}.*, no engine of TensorRT") as error:
        load_runtime(PLUGINS, "tensorrt", path, device="cuda")
    assert fix in error.value.fix


def test_a_closed_adapter_says_that_it_is_closed(machine, built, records):
    adapter = load_runtime(PLUGINS, "tensorrt", built[1], device="cuda")
    adapter.close()
    adapter.close()
    with pytest.raises(ModelError, match=r"m\.engine was closed, and does not run any more"):
        list(adapter.predict(records[:1]))


def test_what_anydet_exports_needs_no_options(machine, tmp_path, records):
    from anydet.plugins.export import ModelDescription, ModelOutput
    from anydet.plugins.preprocess import Preprocess

    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["B", 3, 32, 32])
    names, shapes = ("boxes", "scores", "labels"), ((1, 2, 4), (1, 2), (1, 2))
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64)
    values = (
        np.array([[[1, 2, 20, 30], [0, 0, 9, 9]]], np.float32),
        np.array([[0.9, 0.4]], np.float32),
        np.array([[1, 0]]),
    )
    description = ModelDescription(
        layout="detections",
        outputs=tuple(map(ModelOutput, names, ("boxes_xyxy_px", "scores", "labels"))),
        preprocess=Preprocess("stretch", (32, 32)),
        classes=("cat", "dog"),
    )
    weights = [onnx.numpy_helper.from_array(v, f"w{n}") for n, v in zip(names, values, strict=True)]
    batched = [helper.make_node("Identity", [f"w{n}"], [n]) for n in names]
    model = save_graph(
        tmp_path / "m.onnx",
        batched,
        inputs=[image],
        outputs=[
            helper.make_tensor_value_info(n, k, s) for n, k, s in zip(names, kinds, shapes, strict=True)
        ],
        initializers=weights,
        metadata=description.as_metadata(),
    )
    machine.build(model, tmp_path / "m.engine", options={}, usual={"images": (1, 3, 32, 32)})
    adapter = load_runtime(PLUGINS, "tensorrt", tmp_path / "m.engine", device="cuda")
    assert adapter.classes.names == ("cat", "dog")
    (found,) = adapter.predict(records[:1])
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
