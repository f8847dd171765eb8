"""Inputs of the model are what their description says."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from torchvision.models.detection.transform import GeneralizedRCNNTransform

from anydet.runtime.preprocess import Preprocessor
from anydet.training.detectors.inputs import image_tensor
from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.model import MEAN, STD
from anydet_fasterrcnn_multitask.predictor import preprocess

ARCHITECTURE = Architecture.of(3, "resnet18_fpn", min_size=96, max_size=128)


@pytest.mark.parametrize("size_wh", [(160, 90), (96, 96), (40, 70), (50, 51), (300, 31)])
def test_the_described_preprocessing_gives_the_models_input(size_wh):
    image = np.random.default_rng(0).integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8)
    (described,), (placement,) = Preprocessor(preprocess(ARCHITECTURE), np.float32).batch([image])
    transform = GeneralizedRCNNTransform(96, 128, MEAN, STD).eval()
    inputs, _ = transform([image_tensor(image, torch.device("cpu"))])
    assert inputs.image_sizes == [placement.content_wh[::-1]]
    np.testing.assert_allclose(described, inputs.tensors[0].numpy(), atol=2e-3)


@pytest.mark.slow
def test_sizes_are_those_of_torchvision_for_all_images():
    how, transform = preprocess(Architecture.of(3)), GeneralizedRCNNTransform(800, 1333, MEAN, STD).eval()
    for width, height in np.random.default_rng(0).integers(20, 3000, (300, 2)).tolist():
        expected = transform.resize(torch.empty(1, height, width))[0].shape[:0:-1]
        assert how.content_wh((width, height)) == tuple(expected), (width, height)
