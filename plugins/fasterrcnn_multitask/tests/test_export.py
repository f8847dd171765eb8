"""An exported model, run by ONNX Runtime with no options, predicts what the adapter predicts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("anydet_onnxruntime", reason="the exported file is run with the onnxruntime adapter")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow

from anydet.plugins.manager import Plugins
from anydet.testing.comparison import Tolerance, first_difference
from anydet.training.onnx_file import write_onnx
from anydet_delftbikes.scenes.dataset import SyntheticBikes

PLUGINS = Plugins(only=["onnxruntime", "fasterrcnn_multitask"])


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A model's adapter, and the runtime adapter of its file, for a lowest score."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"

    def make(score_floor):
        adapter, runtime = (
            PLUGINS.adapter(name, PLUGINS.settings(name, checkpoint=str(file), score_floor=score_floor))
            for name, file in (("fasterrcnn_multitask", trained.result.checkpoint), ("onnxruntime", path))
        )
        return adapter, runtime

    source = PLUGINS.settings("fasterrcnn_multitask", checkpoint=trained.result.checkpoint)
    write_onnx(PLUGINS.adapter("fasterrcnn_multitask", source).export_spec(), path)
    return make


@pytest.mark.parametrize("size_wh", [(96, 72), (70, 90), (128, 64), (160, 120)])
def test_the_file_gives_boxes_and_states_as_the_adapter_does(size_wh, exported):
    adapter, runtime = exported(0.0)
    assert runtime.classes == adapter.classes
    assert runtime.notes.states == adapter.notes.states
    records = list(SyntheticBikes(2, 0, size_wh))
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
