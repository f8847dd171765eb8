"""Boxes, scores and labels in outputs of their own: sizes that are fed, labels that are classes, padding."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.runtime.classes import COCO80
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo, TensorInfo

BOXES = np.array([[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.9, 0.8], [0.0, 0.5, 0.2, 1.0]])
SCORES = np.array([0.9, 0.6, 0.001])
LABELS = np.array([2, 0, 1])
EFFICIENT = ("num_dets", "det_boxes", "det_scores", "det_classes")


def black(width=64, height=64, key="a"):
    return Record(key, ImageArray(np.zeros((height, width, 3), np.uint8)))


@dataclass(frozen=True)
class Deployed:
    """RT-DETR's deployment export: parts of the image times the size that is fed, which comes as (w, h)."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata = MappingProxyType({})
    runtime = RuntimeInfo("numpy", np.__version__, "CPU")

    @classmethod
    def of(cls, *, batch=1, size_hw=(64, 64), numbered=False, dtype="int64"):
        names = ["701", "702", "703"] if numbered else ["labels", "boxes", "scores"]
        shapes = [(batch, 3), (batch, 3, 4), (batch, 3)]
        declared = zip(names, shapes, ["int64", "float32", "float32"], strict=True)
        images, sizes = (batch, 3, *size_hw), (batch, 2)
        inputs = TensorInfo("images", images, "float32"), TensorInfo("sizes", sizes, dtype)
        return cls(inputs, tuple(TensorInfo(*one) for one in declared))

    def run(self, feeds):
        wh = feeds["sizes"]
        assert wh.dtype == self.inputs[1].dtype
        count = len(feeds["images"])
        boxes = BOXES * np.concatenate([wh, wh], axis=1)[:, None]
        return [np.tile(LABELS, (count, 1)), boxes.astype(np.float32), np.tile(SCORES, (count, 1))]


@pytest.fixture
def deploy(save):
    return lambda **kwargs: save(Deployed.of(**kwargs))


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize(("batch", "batch_size"), [(1, 1), ("N", 1), ("N", 4), (3, 4)])
def test_sizes_that_a_model_wants_are_its_inputs_and_boxes_come_back_to_the_image(
    batch, batch_size, numbered, deploy, load
):
    path = deploy(batch=batch, size_hw=(64, 96), numbered=numbered)
    adapter = load(path, batch_size=batch_size, names="x,y,z")
    assert adapter.notes.details["preset"] == "rtdetr-deploy"
    sizes = [(200, 100), (30, 70), (96, 64), (64, 64)]
    results = adapter.predict([black(*wh, key=str(wh)) for wh in sizes])
    for (width, height), result in zip(sizes, results, strict=True):
        assert result.class_ids.tolist() == [2, 0]
        np.testing.assert_allclose(result.scores, SCORES[:2], atol=1e-6)
        expected = BOXES[:2] * [width, height, width, height]
        np.testing.assert_allclose(result.boxes_xyxy_px, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_sizes_are_fed_in_the_type_that_the_model_wants(dtype, deploy, load):
    adapter = load(deploy(dtype=dtype))
    (result,) = adapter.predict([black(10, 20)])
    np.testing.assert_allclose(result.boxes_xyxy_px, BOXES[:2] * [10, 20, 10, 20], atol=1e-4)


def test_only_rows_below_the_score_floor_are_left_out(deploy, load):
    path = deploy()
    (result,) = load(path, score_floor=0.0005).predict([black()])
    assert result.class_ids.tolist() == [2, 0, 1]


@pytest.mark.parametrize("shape", [("N", 3, "h", "w"), (1, 3, "h", "w")])
def test_an_open_input_of_a_deployment_export_has_the_presets_size(shape, deploy, load):
    path = deploy(batch=shape[0], size_hw=shape[2:])
    assert load(path).notes.image_size == (640, 640)


def torchvision_like(labels, boxes=BOXES * 64):
    return [boxes, np.array(labels), SCORES]


def test_the_background_of_torchvision_is_no_class(build, load):
    outputs = torchvision_like([1, 3, 2])
    for names, expected in (("a,b,c", ["a", "c"]), ("coco", ["person", "car"])):
        adapter = load(build(outputs), preset="torchvision", names=names)
        (result,) = adapter.predict([black()])
        assert [adapter.classes.names[i] for i in result.class_ids] == expected
        assert adapter.notes.warnings == ()


def test_cocos_own_ids_have_gaps(build, load):
    adapter = load(build(torchvision_like([90, 13, 1])), preset="torchvision", names="coco")
    (result,) = adapter.predict([black()])
    assert [COCO80.source_ids[i] for i in result.class_ids] == [90, 13]
    for label in (12, 91, 0):
        with pytest.raises(ModelError, match=r"one of the 80 classes \(1 to 90\)"):
            list(
                load(build(torchvision_like([label, 1, 1])), preset="torchvision", names="coco").predict(
                    [black()]
                )
            )


def test_labels_without_names_are_counted_and_said_to_be_nameless(build, load):
    adapter = load(build(torchvision_like([1, 3, 2])), preset="torchvision")
    (result,) = adapter.predict([black()])
    assert result.class_ids.tolist() == [0, 2]
    assert "names=coco" in adapter.notes.warnings[0]
    (zero_based,) = load(build(torchvision_like([1, 3, 2])), preset="yolo-nms").predict([black()])
    assert zero_based.class_ids.tolist() == [1, 3]
    (shifted,) = load(build(torchvision_like([1, 3, 2])), preset="yolo-nms", first_label=1).predict([black()])
    assert shifted.class_ids.tolist() == [0, 2]


def test_labels_that_are_floats_are_told_from_scores_by_name(build, load):
    outputs = [SCORES, BOXES * 64, LABELS.astype(float)]
    (result,) = load(build(outputs, names=("conf", "bbox", "class")), preset="yolo-nms").predict([black()])
    assert result.class_ids.tolist() == [2, 0]
    with pytest.raises(ModelError, match="preset=yolo-nms does not fit"):
        load(build(outputs), preset="yolo-nms")


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_rows_behind_the_count_are_padding(count, shape, build, load):
    outputs = [np.full(shape, count, np.int32), BOXES[:2] * 64, np.array([0.9, 7.0]), np.array([1, -1])]
    if shape == (1, 1):
        outputs = [outputs[0], *(o[None] for o in outputs[1:])]
    adapter = load(build(outputs, names=EFFICIENT), names="x,y")
    assert adapter.notes.details["preset"] == "efficient-nms"
    if count < 2:
        (result,) = adapter.predict([black()])
        assert result.class_ids.tolist() == [1] * count
        return
    with pytest.raises(ModelError, match="scores run from 0 to 7"):
        list(adapter.predict([black()]))


def test_a_count_that_is_none_is_refused(build, load):
    outputs = [np.array([[5]]), BOXES[None] * 64, SCORES[None], LABELS[None]]
    with pytest.raises(ModelError, match="count 5 detections and have room for 3"):
        list(load(build(outputs, names=EFFICIENT)).predict([black()]))


@dataclass(frozen=True)
class Ragged:
    """One detection more than the upper left pixel is bright, in rows of a shape or squeezed of all ones."""

    rows_shape: tuple[int, ...] | None
    outputs: tuple[TensorInfo, ...]
    inputs = (TensorInfo("pixels", (1, 3, 64, 64), "float32"),)
    metadata = MappingProxyType({})
    runtime = RuntimeInfo("numpy", np.__version__, "CPU")

    def run(self, feeds):
        corners = 10.0 * np.arange(4)[:, None] + [0, 0, 8, 8]
        table = np.concatenate([corners, np.full((4, 1), 0.9), [[0], [1], [2], [3]]], 1).astype(np.float32)
        found = table[: 1 + int(feeds["pixels"][0, :, 0, 0].max())]
        return [found.reshape(self.rows_shape) if self.rows_shape else found.squeeze()]


@pytest.mark.parametrize(
    ("rows_shape", "declared"),
    [((-1, 6), ("n", 6)), ((-1, 6), ()), ((1, -1, 6), (1, "n", 6)), ((1, -1, 6), ()), (None, ())],
)
def test_one_detection_in_the_first_run_is_no_batch_axis(rows_shape, declared, save, load):
    model = Ragged(rows_shape, (TensorInfo("rows", declared, "float32"),))
    adapter = load(save(model), preset="ultralytics-end2end", std=1)
    for brightness in (0, 1, 3, 0):
        image = np.full((64, 64, 3), brightness, np.uint8)
        (result,) = adapter.predict([Record("a", ImageArray(image))])
        assert sorted(result.class_ids.tolist()) == list(range(brightness + 1))


def test_no_detections_at_all_are_none(build, load):
    adapter = load(build([np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)]), preset="yolo-nms")
    (result,) = adapter.predict([black()])
    assert len(result) == 0
    assert len(next(load(build([np.zeros((1, 0, 6))]), preset="ultralytics-end2end").predict([black()]))) == 0
