"""``anydet parity --locate`` between a torch adapter and its exported file names what was changed."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
for plugin in ("adaptivestream", "fasterrcnn_multitask", "onnxruntime"):
    pytest.importorskip(f"anydet_{plugin}")
pytestmark = pytest.mark.slow

from tests.small_checkpoints import whole

from anydet.crosscheck.locating.locate import locate, predict_both
from anydet.crosscheck.parity import ParitySettings
from anydet.crosscheck.tolerances import Tolerances
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.plugins.manager import Plugins
from anydet.prediction.pipeline import Limits
from anydet.training.checkpoints.checkpoint import save_checkpoint
from anydet.training.onnx_file import write_onnx

PLUGINS = Plugins(only=["adaptivestream", "fasterrcnn_multitask", "onnxruntime"])
EXACT = ParitySettings(Tolerances(box_px=0.0, score=0.0))
FLOOR = 0.05


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Adapters of torch with random weights, and their files."""
    folder = tmp_path_factory.mktemp("exported")
    made = {}
    for name in ("adaptivestream", "fasterrcnn_multitask"):
        save_checkpoint(folder / f"{name}.pt", whole(name))
        settings = PLUGINS.settings(name, checkpoint=str(folder / f"{name}.pt"), score_floor=FLOOR)
        made[name] = PLUGINS.adapter(name, settings), folder / f"{name}.onnx"
        with torch.random.fork_rng():
            write_onnx(made[name][0].export_spec(), made[name][1])
    return made


def located(adapter, path, change, folder, settings=ParitySettings(), score_floor=FLOOR):
    model = onnx.load(path)
    change(model)
    onnx.save(model, folder / "changed.onnx")
    given = PLUGINS.settings(
        "onnxruntime", checkpoint=str(folder / "changed.onnx"), batch_size=1, score_floor=score_floor
    )
    with PLUGINS.adapter("onnxruntime", given) as runtime:
        records = list(SyntheticMasks(3, 7, (90, 70)))
        return locate(predict_both(adapter, runtime, records, settings, limits=Limits(FLOOR)))


def described(change):
    """The description in the metadata, changed."""

    def edit(model):
        (entry,) = model.metadata_props
        content = json.loads(entry.value)
        change(content)
        entry.value = json.dumps(content)

    return edit


def prepares(**changes):
    return described(lambda content: content["preprocess"].update(changes))


def swapped(content):
    names = content["classes"]
    names[1], names[2] = names[2], names[1]


def larger_weights(model):
    """The weights of the first convolution, half as large again."""
    name = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
    weight = next(one for one in model.graph.initializer if one.name == name)
    array = onnx.numpy_helper.to_array(weight) * np.float32(1.5)
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))


@pytest.mark.parametrize("name", ["adaptivestream", "fasterrcnn_multitask"])
def test_an_exported_file_is_not_accused(name, exported, tmp_path):
    found = located(*exported[name], lambda _model: None, tmp_path, EXACT)
    assert found.findings == ()


@pytest.mark.parametrize(
    ("name", "change", "step", "text"),
    [
        ("fasterrcnn_multitask", prepares(mean=[0.5, 0.5, 0.5]), "normalization", "mean 0.5, 0.5, 0.5"),
        ("adaptivestream", prepares(std=[1.0, 1.0, 1.0]), "normalization", "not divided by std"),
        ("fasterrcnn_multitask", prepares(channels="bgr"), "channels", "in the order BGR, not RGB"),
        ("adaptivestream", prepares(interpolation="bilinear"), "resize", "antialias"),
        ("fasterrcnn_multitask", described(swapped), "classes", "in another order: 1 is 2"),
        ("adaptivestream", described(swapped), "masks", "classes of pixels are in another order: 1 is 2"),
        ("adaptivestream", larger_weights, "model", "weights of"),
    ],
)
def test_what_was_changed_in_the_file_is_named(name, change, step, text, exported, tmp_path):
    found = located(*exported[name], change, tmp_path)
    assert not found.ok
    assert found.findings[0].step == step
    assert text in found.findings[0].cause
    assert found.cured


def test_a_threshold_of_one_side_is_named(exported, tmp_path):
    adapter, path = exported["fasterrcnn_multitask"]
    (first, *_) = adapter.predict(list(SyntheticMasks(1, 7, (90, 70))))
    floor = float(np.sort(first.scores)[len(first) // 2])
    found = located(adapter, path, lambda _model: None, tmp_path, score_floor=floor)
    assert found.findings[0].step == "threshold"
    assert "are left out" in found.findings[0].cause
