"""An exported model, run by ONNX Runtime with no options, predicts what the adapter predicts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("anydet_onnxruntime", reason="the exported file is run with the onnxruntime adapter")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow  # importing transformers takes seconds

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

    def make(heads, resize="stretch"):
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
            "onnxruntime", checkpoint=str(tmp_path / "model.onnx"), batch_size=2, max_detections=20
        )
        return adapter, plugins.adapter("onnxruntime", settings)

    return make


@pytest.mark.parametrize("heads", HEADS)
def test_the_file_gives_boxes_poses_and_keypoints_as_the_adapter_does(heads, exported):
    adapter, runtime = exported(HEADS[heads])
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
