"""An adapter that finds every object where the labels of its record say that it is, if it sees the image."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from anydet.data.scenes.shapes import CLASSES
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.plugins import Adapter, AdapterSpec, hookimpl
from anydet.plugins.manager import Plugins
from anydet.types import RLE, ImagePredictions


class Oracle(Adapter):
    """Labels as predictions, with a score of 0.9 and without crowds; in the dark it finds nothing."""

    seen: list[str] = []  # noqa: RUF012  (emptied by the fixture)

    @property
    def classes(self):
        return CLASSES

    def predict(self, records):
        for record in records:
            Oracle.seen.append(record.key)
            labels = record.labels.take(~record.labels.iscrowd)
            if record.image().mean() < 20:
                labels = labels.take(np.zeros(len(labels), bool))
            shapes = labels.segmentations
            yield ImagePredictions(
                record.key,
                record.size_wh,
                xywh_to_xyxy(labels.boxes_xywh_px),
                np.full(len(labels), 0.9),
                labels.class_ids,
                masks=shapes if shapes and all(isinstance(one, RLE) for one in shapes) else None,
                keypoints=None
                if labels.keypoints is None
                else np.minimum(labels.keypoints, [np.inf, np.inf, 1]),
                poses=labels.poses,
            )


@pytest.fixture
def oracle_plugins(monkeypatch):
    """The adapter is called oracle."""
    module = types.ModuleType("oracle_plugin")
    spec = AdapterSpec("oracle", "oracle_plugin:Oracle", "finds what is labeled")
    module.Oracle = Oracle
    module.PLUGIN_API = 2
    module.register_adapters = hookimpl(lambda register: register(spec))
    monkeypatch.setitem(sys.modules, "oracle_plugin", module)
    Oracle.seen = []
    return Plugins([EntryPoint("oracle", "oracle_plugin", "anydet")])


@pytest.fixture
def seen():
    """Keys of the images that the oracle looked at."""
    return lambda: Oracle.seen
