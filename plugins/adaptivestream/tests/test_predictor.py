"""Inputs of the model are what their description says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from anydet.runtime.preprocess import Preprocessor
from anydet.training.batches.samples import unlabeled_sample
from anydet_adaptivestream.predictor import STD, input_of, preprocess


@pytest.mark.parametrize("size_wh", [(160, 90), (64, 64), (40, 70)])
def test_the_described_preprocessing_gives_the_models_input(size_wh):
    image = np.random.default_rng(0).integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8)
    (described,), _ = Preprocessor(preprocess(64), np.float32).batch([image])
    given = input_of(unlabeled_sample("a", image), 64).numpy()
    assert described.shape == given.shape
    levels = np.abs(described - given) * np.reshape(STD, (3, 1, 1)) * 255
    assert levels.max() < 1.001, "Pillow and torch round a pixel to different sides at most"
    assert levels.mean() < 0.4
