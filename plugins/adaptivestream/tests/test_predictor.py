"""Inputs of the model are what their description says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.runtime.preprocess import Preprocessor
from anydet.training.batches.samples import unlabeled_sample
from anydet.types import AdapterSettings, ClassTable
from anydet_adaptivestream.model import AdaptiveStream, Architecture
from anydet_adaptivestream.predictor import STD, Predictor, input_of, preprocess


@pytest.mark.parametrize("size_wh", [(160, 90), (64, 64), (40, 70)])
def test_the_described_preprocessing_gives_the_models_input(size_wh):
    image = np.random.default_rng(0).integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8)
    (described,), _ = Preprocessor(preprocess(64), np.float32).batch([image])
    model = AdaptiveStream(Architecture(2)).eval()
    predictor = Predictor(model, AdapterSettings(), classes=ClassTable(("a", "b")), image_size=64)
    given = predictor.prepare(Record("a", ImageArray(image)), image).pixels.numpy()
    np.testing.assert_allclose(described, given, atol=1e-6)
    # Training resizes by torchvision, which rounds some pixels to the other side, or all of them once.
    trained_on = input_of(unlabeled_sample("a", image), 64).numpy()
    levels = np.abs(trained_on - given) * np.reshape(STD, (3, 1, 1)) * 255
    assert levels.max() < 1.001
    assert levels.mean() < 0.4
