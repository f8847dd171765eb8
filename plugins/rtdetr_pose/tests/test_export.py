"""An exported model, run by ONNX Runtime with no options, predicts what the adapter predicts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("anydet_onnxruntime", reason="the exported file is run with the onnxruntime adapter")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow  # importing transformers takes seconds

from anydet.errors import OptionError
from anydet.export.onnx_export import OnnxSettings, export_onnx
from anydet.plugins.manager import Plugins
from anydet.testing.comparison import Tolerance, first_difference
from anydet.training.onnx_file import write_onnx
from anydet.types import AdapterSettings
from anydet_bop.scenes.dataset import PoseScenes
from anydet_rtdetr_pose.adapter import RTDETRPose
from anydet_rtdetr_pose.architecture import Heads, Inputs
from anydet_rtdetr_pose.model import PoseDetector

HEADS = {
    "all": Heads(uncertainty=True, keypoints=3),
    "no camera": Heads(camera=False),
    "no poses": Heads(pose=False, camera=False),
}
SETTINGS = AdapterSettings(batch_size=2, max_detections=20)
CLOSE = Tolerance(box_px=1e-3, score=1e-5)


class WithoutCamera:
    """A scene of which nobody knows the camera."""

    intrinsics = None

    def __init__(self, record):
        self.key, self.size_wh, self.image = record.key, record.size_wh, record.image


@pytest.fixture
def exported(tiny_architecture, tmp_path):
    """Makes a model with random weights, and the runtime adapter of its file."""

    def make(heads, resize="stretch", batch_size=2):
        architecture = tiny_architecture(heads=heads, inputs=Inputs(size_wh=(96, 64), resize=resize))
        adapter = RTDETRPose(SETTINGS)
        torch.manual_seed(3)
        adapter._architecture = architecture
        adapter.model = PoseDetector(architecture).eval()
        with torch.no_grad():  # far from the start, where all queries say nearly the same
            for parameter in adapter.model.heads.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        write_onnx(adapter.export_spec(), tmp_path / "model.onnx")
        plugins = Plugins(only=["onnxruntime"])
        settings = plugins.settings(
            "onnxruntime", checkpoint=str(tmp_path / "model.onnx"), batch_size=batch_size, max_detections=20
        )
        return adapter, plugins.adapter("onnxruntime", settings)

    return make


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_file_gives_boxes_poses_and_keypoints_as_the_adapter_does(heads, batch_size, exported):
    adapter, runtime = exported(HEADS[heads], batch_size=batch_size)
    assert runtime.classes == adapter.classes
    assert runtime.notes.preprocess == adapter.notes.preprocess
    scenes = list(PoseScenes(3, 0, (96, 64)))  # of the input's size: nothing is resized, or rounded
    for records in (scenes, list(map(WithoutCamera, scenes))):
        ours, theirs = list(adapter.predict(records)), list(runtime.predict(records))
        assert [len(result) for result in ours] == [20] * 3  # of 36 pairs of query and class
        assert not first_difference(ours, theirs, CLOSE)
        assert [result.intrinsics for result in ours] == [result.intrinsics for result in theirs]
        assert (ours[0].poses is not None) == HEADS[heads].pose
        assert (ours[0].keypoints is not None) == bool(HEADS[heads].keypoints)


@pytest.mark.parametrize("size_wh", [(96, 40), (50, 64)])
def test_results_come_back_to_images_with_margins(size_wh, exported):
    adapter, runtime = exported(HEADS["all"], "letterbox")
    records = list(PoseScenes(3, 0, size_wh))
    ours, theirs = list(adapter.predict(records)), list(runtime.predict(records))
    assert sum(map(len, ours)) > 20
    assert not first_difference(ours, theirs, CLOSE)


@pytest.mark.parametrize("fp16", [False, True])
def test_every_head_is_the_models_for_one_image_and_several(exported, tmp_path, fp16):
    adapter, _ = exported(HEADS["all"])
    plugins = Plugins(only=["onnxruntime"])
    how = OnnxSettings(dynamic_batch=True, fp16=fp16)
    written = export_onnx(adapter, tmp_path / "again.onnx", how, plugins=plugins)
    assert {o.meaning for o in written.outputs} == {
        *("class_logits", "boxes_cxcywh", "keypoints", "log_z", "rot6d", "offsets"),
        *("log_sigma_z", "log_sigma_rot", "camera_delta"),
    }
    assert [case.name for case in written.parity.cases] == ["1 image of noise", "3 images of noise"]
    assert fp16 or written.parity.passed, written.parity.findings()
    assert all(output.problem == "" for case in written.parity.cases for output in case.outputs)


def test_the_size_cannot_be_open_and_the_reason_is_said(exported, tmp_path):
    adapter, _ = exported(HEADS["no poses"])
    with pytest.raises(OptionError, match="positions and anchors of 96x64 pixels are constants"):
        export_onnx(adapter, tmp_path / "again.onnx", OnnxSettings(dynamic_size=True))
