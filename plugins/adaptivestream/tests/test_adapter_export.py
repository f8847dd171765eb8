"""An exported model, run by ONNX Runtime with no options, predicts what the adapter predicts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("anydet_onnxruntime", reason="the exported file is run with the onnxruntime adapter")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow

from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.export.onnx_export import OnnxSettings, export_onnx
from anydet.export.parity import opened_file
from anydet.geometry import masks
from anydet.plugins.manager import Plugins
from anydet.training.onnx_file import write_onnx

PLUGINS = Plugins(only=["onnxruntime", "adaptivestream"])


@pytest.fixture
def exported(tmp_path):
    """Makes a model of a decoder with random weights, and the runtime adapter of its file."""

    def make(decoder, batch_size=3, **options):
        keys = {"image_size": 64, "decoder": decoder, **options}
        adapter = PLUGINS.adapter("adaptivestream", PLUGINS.settings("adaptivestream", options=keys))
        path = tmp_path / "model.onnx"
        write_onnx(adapter.export_spec(), path)
        settings = PLUGINS.settings("onnxruntime", checkpoint=str(path), batch_size=batch_size)
        return adapter, PLUGINS.adapter("onnxruntime", settings)

    return make


def maps_of(results):
    return [masks.class_map(r.semantic_mask, r.size_wh[::-1]) for r in results]


@pytest.mark.parametrize("decoder", ["plain", "skip"])
@pytest.mark.parametrize(
    ("batch_size", "size_wh", "differing"),
    [(1, (64, 64), 1e-3), (3, (64, 64), 1e-3), (1, (80, 48), 0.02), (3, (40, 90), 0.02)],
)
def test_the_file_gives_masks_and_image_classes_as_the_adapter_does(
    decoder, batch_size, size_wh, differing, exported
):
    adapter, runtime = exported(decoder, batch_size)
    assert runtime.classes == adapter.classes
    assert runtime.notes.preprocess == adapter.notes.preprocess
    scenes = list(SyntheticMasks(3, 7, size_wh))
    ours, theirs = list(adapter.predict(scenes)), list(runtime.predict(scenes))
    for a, b in zip(maps_of(ours), maps_of(theirs), strict=True):
        assert (a != b).mean() <= differing  # pixels of two almost equal classes
    for a, b in zip(ours, theirs, strict=True):
        assert a.size_wh == b.size_wh == size_wh
        atol = 1e-5 if size_wh == (64, 64) else 0.02
        assert b.classification.score == max(b.classification.scores)
        np.testing.assert_allclose(a.classification.scores, b.classification.scores, atol=atol)


def test_objects_are_the_regions_of_the_semantic_mask(exported):
    adapter, runtime = exported("plain", min_area_px=40)
    scenes = list(SyntheticMasks(3, 7, (64, 64)))
    ours, theirs = list(adapter.predict(scenes)), list(runtime.predict(scenes))
    assert sum(map(len, ours)) > 3
    for a, b in zip(ours, theirs, strict=True):
        large = [masks.decode(r.masks[row]).sum() >= 44 for r in (a, b) for row in range(len(r))]
        assert sum(large[: len(a)]) == sum(large[len(a) :])
        assert min((masks.decode(rle).sum() for rle in b.masks), default=40) >= 40


@pytest.mark.parametrize("decoder", ["plain", "skip"])
@pytest.mark.parametrize("side", [64, 128])
def test_a_file_of_any_size_predicts_as_an_adapter_of_that_size(decoder, side, tmp_path):
    keys = {"image_size": 96, "decoder": decoder}
    with PLUGINS.adapter("adaptivestream", PLUGINS.settings("adaptivestream", options=keys)) as adapter:
        how = OnnxSettings(dynamic_size=True, dynamic_batch=True)
        written = export_onnx(adapter, tmp_path / "model.onnx", how, plugins=PLUGINS)
    assert written.parity.passed, written.parity.findings()
    assert written.outputs[0].shape == ("batch", 5, "height", "width")
    other = PLUGINS.settings("adaptivestream", options={**keys, "image_size": side})
    files = PLUGINS.settings(
        "onnxruntime", checkpoint=str(tmp_path / "model.onnx"), options={"size": str(side)}, batch_size=2
    )
    scenes = list(SyntheticMasks(3, 7, (side, side)))
    with (
        PLUGINS.adapter("adaptivestream", other) as adapter,
        PLUGINS.adapter("onnxruntime", files) as runtime,
    ):
        ours, theirs = list(adapter.predict(scenes)), list(runtime.predict(scenes))
    for a, b in zip(maps_of(ours), maps_of(theirs), strict=True):
        assert (a != b).mean() <= 1e-3
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.classification.scores, b.classification.scores, atol=1e-5)


@pytest.mark.parametrize("decoder", ["plain", "skip"])
def test_a_file_of_any_size_takes_sides_that_are_no_multiples_of_32(decoder, tmp_path):
    keys = {"image_size": 64, "decoder": decoder}
    with PLUGINS.adapter("adaptivestream", PLUGINS.settings("adaptivestream", options=keys)) as adapter:
        export_onnx(adapter, tmp_path / "model.onnx", OnnxSettings(dynamic_size=True), plugins=PLUGINS)
        images = torch.randn(1, 3, 50, 81, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            wanted = adapter.get_model()(images)
    with opened_file(tmp_path / "model.onnx", PLUGINS) as loaded:
        found = loaded.run({"images": images.numpy()})
    for theirs, ours in zip(found, wanted, strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-4)
