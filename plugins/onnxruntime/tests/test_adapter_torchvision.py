"""A detector of torchvision as torch.onnx exports it, against itself in torch."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # what tracing has to say
]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")  # heavy, so not before a test needs it


@pytest.fixture(scope="module")
def network(torch):
    detection = pytest.importorskip("torchvision.models.detection")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return detection.fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=4,
            min_size=128,
            max_size=160,
            box_score_thresh=0.0,
            box_detections_per_img=20,
        ).eval()


def test_an_export_finds_what_the_model_finds(torch, network, tmp_path, load):
    path = tmp_path / "fasterrcnn.onnx"
    torch.onnx.export(
        network,
        ([torch.rand(3, 128, 160)],),
        path,
        opset_version=17,
        input_names=["image"],
        output_names=["boxes", "labels", "scores"],
        dynamic_axes={"image": {1: "h", 2: "w"}},
        dynamo=False,
    )
    adapter = load(path, preset="torchvision", size="160x128", names="a,b,c")
    rng = np.random.default_rng(0)
    for height, width in ((128, 160), (128, 128)):  # sizes that neither side scales
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        with torch.no_grad():
            (expected,) = network([torch.from_numpy(image).permute(2, 0, 1) / 255])
        keep = (expected["scores"] >= 0.05).numpy()
        assert keep.sum() > 5, "too few detections to show anything"
        (result,) = adapter.predict([Record("a", ImageArray(image))])
        np.testing.assert_array_equal(result.class_ids, expected["labels"].numpy()[keep] - 1)
        np.testing.assert_allclose(result.scores, expected["scores"].numpy()[keep], atol=1e-4)
        np.testing.assert_allclose(result.boxes_xyxy_px, expected["boxes"].numpy()[keep], atol=1e-2)
