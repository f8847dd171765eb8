from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.onnx_models import save_graph

from anydet.cli import main
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.runtime.errors import ModelError


def blocks(rng, height, width):
    """Colors that are larger than a cell of the models."""
    colors = rng.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
    return np.kron(colors, np.ones((12, 12, 1), np.uint8))[:height, :width]


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (64, 64), (30, 90), (1, 1), (100, 20), (64, 30), (7, 64)]
    return [Record(f"{i}.png", ImageArray(blocks(rng, h, w))) for i, (h, w) in enumerate(sizes)]


def assert_same(left, right, atol=1e-4):
    assert [p.image for p in left] == [p.image for p in right]
    for a, b in zip(left, right, strict=True):
        assert a.size_wh == b.size_wh
        np.testing.assert_array_equal(a.class_ids, b.class_ids)
        np.testing.assert_allclose(a.scores, b.scores, atol=atol)
        np.testing.assert_allclose(a.boxes_xyxy_px, b.boxes_xyxy_px, atol=50 * atol)


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_results_do_not_depend_on_batches(batch, batch_size, records, build_seeing, load):
    single = list(load(build_seeing(), preset="ultralytics", nms_iou=0.95).predict(records))
    assert sum(map(len, single)) > 50, "too few detections to show anything"
    adapter = load(build_seeing(batch=batch), preset="ultralytics", nms_iou=0.95, batch_size=batch_size)
    assert_same(list(adapter.predict(records)), single)
    chunks = [list(adapter.predict(records[i : i + 2])) for i in range(0, len(records), 2)]
    assert_same([p for chunk in chunks for p in chunk], single)


@pytest.mark.parametrize(("batch", "runs"), [("N", [3, 3, 1]), (1, [1] * 7), (2, [2, 2, 2, 1])])
def test_images_share_runs_where_the_model_allows(batch, runs, records, build_seeing, load):
    adapter = load(build_seeing(batch=batch), preset="ultralytics", batch_size=3)
    seen, run = [], adapter._model.run
    adapter._model.run = lambda images: seen.append(len(images)) or run(images)
    assert len(list(adapter.predict(records))) == 7
    assert seen == runs


def test_an_open_batch_axis_that_is_a_constant_inside_is_found_out(build, load, records):
    out = np.concatenate([np.full((1, 4, 84), 20.0), np.full((1, 3, 84), 0.5)], axis=1)
    adapter = load(build([out], input_shape=("N", 3, 64, 64)), preset="ultralytics", batch_size=4)
    assert len(list(adapter.predict(records))) == 7


def one_image_inside(path):
    """A model that declares any number of images, and whose operators take one."""
    scores = np.concatenate([np.full((1, 4, 84), 20.0), np.full((1, 3, 84), 0.5)], axis=1)
    constants = {"shape": np.array([1, 3 * 64 * 64]), "zero": np.float32(0), "found": np.float32(scores)}
    nodes = [
        helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
        helper.make_node("ReduceMax", ["flat"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["found", "nothing"], ["output"]),
    ]
    return save_graph(
        path,
        nodes,
        inputs=[helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 64, 64])],
        outputs=[helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 7, 84])],
        initializers=[numpy_helper.from_array(np.asarray(c), name) for name, c in constants.items()],
    )


def test_a_run_that_goes_well_prints_nothing_of_the_batches_that_were_tried(tmp_path, load, records, capfd):
    with load(one_image_inside(tmp_path / "one.onnx"), preset="ultralytics", batch_size=4) as adapter:
        assert len(list(adapter.predict(records))) == 7
    assert capfd.readouterr().err == ""


def test_a_refusal_is_the_only_error(tmp_path, load, capfd):
    with pytest.raises(ModelError, match="Presets that fit: ultralytics"):
        load(one_image_inside(tmp_path / "one.onnx"), preset="yolox", batch_size=4)
    assert capfd.readouterr().err == ""


def test_a_fixed_batch_whose_outputs_have_none_is_an_error(build, load):
    with pytest.raises(ModelError, match="takes 2 images a run"):
        load(build([np.zeros((1, 7, 84))], input_shape=(2, 3, 64, 64)), preset="ultralytics")


def test_half_precision_is_close_to_single(records, build_seeing, load):
    single = list(load(build_seeing(), preset="ultralytics", nms_iou="null").predict(records))
    half = list(load(build_seeing(dtype=np.float16), preset="ultralytics", nms_iou="null").predict(records))
    for a, b in zip(single, half, strict=True):
        assert abs(len(a) - len(b)) <= 0.02 * len(a) + 1
        assert b.scores.dtype == np.float64
        np.testing.assert_allclose(a.scores[:20], b.scores[:20], atol=0.02)


@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_channels_last_see_what_channels_first_see(batch, records, build_seeing, load):
    first = list(load(build_seeing(size_hw=(64, 96)), preset="ultralytics").predict(records))
    path = build_seeing(size_hw=(64, 96), channels_last=True, batch=batch)
    adapter = load(path, preset="ultralytics", batch_size=2)
    assert adapter.notes.image_size == (96, 64)
    assert_same(list(adapter.predict(records)), first)
    opened = build_seeing(size_hw=("h", "w"), channels_last=True, batch=batch)
    assert_same(list(load(opened, preset="ultralytics", size="96x64").predict(records)), first)


def test_an_open_input_size_is_the_presets_or_the_options(records, build_seeing, load):
    path = build_seeing(batch="N", size_hw=("h", "w"))
    assert load(path, preset="ultralytics").notes.image_size == (640, 640)
    sized = load(path, preset="ultralytics", size="64")
    assert sized.notes.image_size == (64, 64)
    assert_same(
        list(sized.predict(records)), list(load(build_seeing(), preset="ultralytics").predict(records))
    )
    wide = load(path, preset="ultralytics", size="96x64", batch_size=2)
    assert wide.notes.image_size == (96, 64)
    assert len(list(wide.predict(records))) == 7


def test_detr_with_an_open_size_sees_each_image_in_its_own(build, load):
    logits = np.zeros((1, 2, 3))
    logits[..., 0] = 9
    boxes = np.array([[[0.5, 0.5, 0.2, 0.4], [0.25, 0.25, 0.5, 0.5]]])
    adapter = load(
        build([logits, boxes], input_shape=("N", 3, "h", "w")), preset="detr", size="80x48", batch_size=4
    )
    sizes = [(100, 50), (50, 100)]
    records = [Record(f"{w}", ImageArray(np.zeros((h, w, 3), np.uint8))) for w, h in sizes]
    for (width, height), result in zip(sizes, adapter.predict(records), strict=True):
        expected = np.array([[0.4, 0.3, 0.6, 0.7], [0, 0, 0.5, 0.5]]) * [width, height, width, height]
        np.testing.assert_allclose(result.boxes_xyxy_px, expected, atol=1e-5)


def test_stages_are_timed(records, build_seeing, load):
    adapter = load(build_seeing(), preset="ultralytics")
    list(adapter.predict(records))
    assert set(adapter.stage_seconds) == {"decode", "preprocess", "model", "postprocess"}
    assert min(min(seconds) for seconds in adapter.stage_seconds.values()) > 0


def test_neighbors_of_one_input_size_share_a_run_where_the_size_follows_the_image(build_seeing, load):
    """Wide and high images are resized to one shortest side; results are those of single images."""
    path = build_seeing(batch="N", size_hw=("h", "w"))
    rng = np.random.default_rng(1)
    sizes = [(32, 48), (64, 96), (48, 32), (32, 48), (32, 48), (64, 96), (96, 64)]
    records = [Record(f"{i}.png", ImageArray(blocks(rng, h, w))) for i, (h, w) in enumerate(sizes)]
    how = {"preset": "ultralytics", "resize": "shortest", "size": "96x64", "nms_iou": 0.95}
    together = load(path, batch_size=4, **how)
    seen, run = [], together._model.run
    together._model.run = lambda images: seen.append(images.shape) or run(images)
    results = list(together.predict(records))
    wide, high = (3, 64, 96), (3, 96, 64)
    assert seen == [(2, *wide), (1, *high), (1, *wide), (2, *wide), (1, *high)]
    assert sum(map(len, results)) > 50, "too few detections to show anything"
    assert_same(results, list(load(path, batch_size=1, **how).predict(records)))


@pytest.mark.slow
def test_a_silent_model_is_told_of_where_it_is_run(tmp_path, build):
    """As a broken int8 file is: it runs, and its highest score is 0."""
    path = build([np.tile([[20.0], [20], [9], [9], [0], [0]], (1, 1, 84))])
    run = CliRunner()
    words = ["--adapter", "onnxruntime", "--checkpoint", path, "--option", "preset=ultralytics"]
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    done = run.invoke(main, ["predict", str(tmp_path / "a.png"), *map(str, words)])
    assert "warning: nothing was found on 1 image: highest score 0.0000;" in " ".join(done.stderr.split())
    wrapped = ["--dataset", str(tmp_path), "--output", str(tmp_path / "p.json"), "--wrap"]
    done = run.invoke(main, ["export-predictions", *map(str, words), *wrapped])
    assert "highest score 0.0000;" in " ".join(done.stderr.split())
    assert "highest score 0.0000" in (tmp_path / "p.json").read_text("utf-8")
