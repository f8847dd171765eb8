"""An exported model, run by ONNX Runtime with no options, predicts what the adapter predicts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("anydet_onnxruntime", reason="the exported file is run with the onnxruntime adapter")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow

from torchvision.models.detection.image_list import ImageList

from anydet.export.onnx_export import OnnxSettings, export_onnx
from anydet.plugins.manager import Plugins
from anydet.runtime.errors import ModelError
from anydet.testing.comparison import Tolerance, first_difference
from anydet.training.onnx_file import write_onnx
from anydet_delftbikes.scenes.dataset import SyntheticBikes

PLUGINS = Plugins(only=["onnxruntime", "fasterrcnn_multitask"])


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A model's adapter, and the runtime adapter of its file, for a lowest score."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"

    def make(score_floor, batch_size=1):
        files = {"fasterrcnn_multitask": trained.result.checkpoint, "onnxruntime": path}
        given = {"score_floor": score_floor, "batch_size": batch_size}
        adapter, runtime = (
            PLUGINS.adapter(name, PLUGINS.settings(name, checkpoint=str(file), **given))
            for name, file in files.items()
        )
        return adapter, runtime

    source = PLUGINS.settings("fasterrcnn_multitask", checkpoint=trained.result.checkpoint)
    write_onnx(PLUGINS.adapter("fasterrcnn_multitask", source).export_spec(), path)
    return make


@pytest.mark.parametrize(
    ("size_wh", "batch_size"), [((96, 72), 1), ((70, 90), 3), ((128, 64), 1), ((160, 120), 3)]
)
def test_the_file_gives_boxes_and_states_as_the_adapter_does(size_wh, batch_size, exported):
    adapter, runtime = exported(0.0, batch_size)
    assert runtime.classes == adapter.classes
    assert runtime.notes.states == adapter.notes.states
    records = list(SyntheticBikes(3, 0, size_wh))
    ours, theirs = list(adapter.predict(records)), list(runtime.predict(records))
    assert sum(map(len, ours)) > 20
    assert not first_difference(ours, theirs, Tolerance(box_px=0.05, score=1e-4))
    assert all(np.array_equal(np.unique(r.states >= 0), [True]) for r in ours)


def test_rows_behind_the_last_detection_are_none(exported):
    adapter, _ = exported(0.0)
    records = list(SyntheticBikes(1, 0, (96, 72)))
    (everything,) = adapter.predict(records)
    floor = float(np.sort(everything.scores)[-4])
    high, runtime = exported(floor)
    (ours,), (theirs,) = high.predict(records), runtime.predict(records)
    assert 0 < len(ours) < 100
    assert not first_difference([ours], [theirs], Tolerance(box_px=0.05, score=1e-4), floor=floor)


def test_a_floor_of_the_export_leaves_rows_of_padding(trained, tmp_path):
    settings = PLUGINS.settings(
        "fasterrcnn_multitask", checkpoint=trained.result.checkpoint, score_floor=0.999
    )
    spec = PLUGINS.adapter("fasterrcnn_multitask", settings).export_spec()
    write_onnx(spec, tmp_path / "model.onnx")
    empty = PLUGINS.settings("onnxruntime", checkpoint=str(tmp_path / "model.onnx"))
    (result,) = PLUGINS.adapter("onnxruntime", empty).predict(list(SyntheticBikes(1, 0, (96, 72))))
    assert len(result) == 0


@pytest.fixture(scope="module")
def spec(trained):
    settings = PLUGINS.settings("fasterrcnn_multitask", checkpoint=trained.result.checkpoint)
    return PLUGINS.adapter("fasterrcnn_multitask", settings).export_spec()


@pytest.mark.parametrize("size_hw", [(64, 96), (50, 81), (128, 40)])
def test_rows_are_those_of_torchvisions_lists(spec, size_hw):
    module, model = spec.module, spec.module.model
    height, width = size_hw
    images = torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(images, (0, -width % 32, 0, -height % 32))
    heads = model.roi_heads
    heads.score_thresh, heads.detections_per_img = module.score_floor, module.rows
    with torch.no_grad():
        boxes, scores, labels, states = module(images)
        listed = model.detect(ImageList(padded, [size_hw] * 3))
    for image, found in enumerate(listed):
        count = len(found["scores"])
        assert count > 0
        assert (labels[image, count:] == -1).all()
        assert torch.equal(labels[image, :count], found["labels"] - 1)
        for ours, name in ((boxes, "boxes"), (scores, "scores"), (states, "state_scores")):
            torch.testing.assert_close(ours[image, :count], found[name], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("fp16", [False, True])
def test_the_file_takes_any_number_of_images(trained, tmp_path, fp16):
    settings = PLUGINS.settings(
        "fasterrcnn_multitask", checkpoint=trained.result.checkpoint, score_floor=0.05
    )
    with PLUGINS.adapter("fasterrcnn_multitask", settings) as adapter:
        how = OnnxSettings(dynamic_batch=True, fp16=fp16)
        written = export_onnx(adapter, tmp_path / "model.onnx", how, plugins=PLUGINS)
    assert [t.shape for t in written.inputs] == [("batch", 3, "height", "width")]
    assert [t.shape[:2] for t in written.outputs] == [("batch", 100)] * 4
    assert [case.name for case in written.parity.cases] == [
        "1 image of noise",
        "3 images of noise",
        "noise of 315x263",
    ]
    assert fp16 or written.parity.passed, written.parity.findings()
    assert written.parity.cases[1].rows.reference > 3


def test_opencv_refuses_the_file(exported, tmp_path):
    # It would run it with a score threshold of 0, and find other things in it.
    pytest.importorskip("anydet_opencv_dnn")
    _, runtime = exported(0.0)
    plugins = Plugins(only=["opencv_dnn"])
    with pytest.raises(ModelError, match="score_threshold"):
        plugins.adapter("opencv_dnn", plugins.settings("opencv_dnn", checkpoint=runtime.settings.checkpoint))
