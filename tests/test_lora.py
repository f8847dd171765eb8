"""LoRA in each adapter that trains: each layer has an effect, and all files of a run give the same model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed"),
]

from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.export.gate import train_and_export
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTT
from anydet.prediction.hooks import TTTSettings
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.first_weights import FirstWeights
from anydet.training.launch.preparation import prepare
from anydet.training.lora.layers import find_layers
from anydet.training.lora.spec import is_lora, plain_name
from anydet_bop.scenes.dataset import PoseScenes
from anydet_delftbikes.scenes.dataset import SyntheticBikes

SIZE_WH = (96, 64)
TINY = {
    "backbone": {"name": "tiny_cnn", "args": {"width_mult": 0.5}},
    "projector": {"d_model": 32},
    "transformer": {"decoder_layers": 2, "ffn_dim": 32, "attention_heads": 4, "expansion": 0.5},
}
KEYS = {
    "rtdetr_pose": {"model": TINY, "image_size": [96, 64], "num_queries": 12, "num_denoising": 8},
    "adaptivestream": {"image_size": 64, "decoder": "skip"},
    "fasterrcnn_multitask": {
        **{"weights": "none", "backbone": "resnet18_fpn", "min_size": 64, "max_size": 96},
        **{"pyramid_channels": 16, "representation_size": 32, "rois_per_image": 32, "proposals": 50},
    },
}
DATA = {
    "rtdetr_pose": lambda split: PoseScenes(2, 0, SIZE_WH, split),
    "adaptivestream": lambda split: SyntheticMasks(2, 0, (64, 64), split),
    "fasterrcnn_multitask": lambda split: SyntheticBikes(2, 0, SIZE_WH, split),
}
PLUGINS = Plugins()


@dataclass(frozen=True)
class Pair:
    """A base, and a run that adapted it."""

    name: str
    base: object
    run: object

    def open(self, checkpoint):
        return PLUGINS.adapter(self.name, PLUGINS.settings(self.name, checkpoint=str(checkpoint)))


def train(name, folder, **keys):
    usual = {
        **{"adapter": name, "run_dir": str(folder), "max_steps": 2, "batch_size": 2, "num_workers": 0},
        **{"device": "cpu", "best_metric": "val_loss", "lr": 1e-2},
    }
    data = {"dataset": DATA[name]("train"), "validation": DATA[name]("val")}
    ready = prepare({**usual, **KEYS[name], **keys}, plugins=PLUGINS, **data)
    train_and_export(ready)
    return ready.run


@pytest.fixture(scope="module", params=sorted(KEYS))
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    base = train(request.param, folder / "base", parity_policy="off")
    keys = {"lora_r": 2, "lora_target": "all_linear_conv1x1", "merge_lora": True, "parity_policy": "fail"}
    return Pair(
        request.param, base, train(request.param, folder / "lora", checkpoint=str(folder / "base"), **keys)
    )


def test_a_change_of_any_layer_changes_the_losses(pair):
    """Layers that nothing calls, or whose weights are read past them, would leave them as they are."""
    settings = PLUGINS.settings(pair.name, checkpoint=str(pair.base.paths.best))
    with PLUGINS.adapter(pair.name, settings) as adapter:
        from anydet.training.lora_run import adapt

        task = adapter.training_task(pair.run)
        adapt(task, pair.run)
    task.model.eval()
    from anydet.training.batches.samples import sample_of

    batch = task.collate([task.item(sample_of(record, task.label_kinds)) for record in pair.run.dataset])

    def losses():
        with torch.no_grad():
            return {name: float(loss) for name, loss in task.validation_step(batch).losses.items()}

    before, idle = losses(), []
    for live, parameter in task.model.named_parameters():
        if plain_name(live).endswith(".lora_B"):
            with torch.no_grad():
                parameter.normal_(generator=torch.Generator().manual_seed(0))
                idle += [live] if losses() == before else []
                parameter.zero_()
    assert losses() == before
    assert not idle


def test_nothing_of_the_base_changes_and_every_layer_learns(pair):
    base, lora = load_checkpoint(pair.base.paths.best), load_checkpoint(pair.run.paths.last)
    for name, tensor in base.model.items():
        assert torch.equal(tensor, lora.state[name]), name
    still = [name for name, tensor in lora.state.items() if name.endswith("lora_B") and not tensor.any()]
    assert not still


def test_all_files_of_a_run_predict_the_same(pair):
    records = list(pair.run.dataset)
    found = {}
    for name in ("best", "adapter_only", "merged"):
        with pair.open(getattr(pair.run.paths, name)) as adapter:
            batch = next(iter(adapter.build_loader(records, batch_size=1)))
            with torch.no_grad():
                first = adapter.class_logits(batch, like=found.get("like"))
                found.setdefault("like", first)
                found[name] = adapter.class_logits(batch, like=found["like"]).logits
            assert next(iter(adapter.predict(records))) is not None
            assert any("lora_" in n for n, _ in adapter.get_model().named_parameters()) == (name != "merged")
    assert torch.equal(found["best"], found["adapter_only"])
    # 1e-5, and 1.3e-6 of a logit, which is torch's own measure: processors add float32 in other orders.
    torch.testing.assert_close(found["merged"], found["best"], rtol=1.3e-6, atol=1e-5)


def test_the_exported_file_gives_the_tensors_of_the_adapted_model(pair):
    pytest.importorskip("onnxruntime")
    report = json.loads(pair.run.paths.onnx_parity.read_text())
    assert report["status"] == "passed", report["reason"]
    import onnx

    names = [one.name for one in onnx.load(str(pair.run.paths.exported)).graph.initializer]
    assert not any("lora" in name for name in names)  # merged


@pytest.mark.parametrize("chosen", ["lora_only", "lora_norm_only", "adapter_only"])
def test_filters_of_test_time_training_adapt_the_layers(pair, chosen):
    options = {"confidence": 0.0, "momentum": 0.0, "check_every": 0, "max_step_norm": 9.0}
    settings = TTTSettings(
        reset="stream", update_filter=chosen, include=("backbone", "neck", "head"), lr=1e-2, options=options
    )
    choice = TTT("tent", settings).resolve(PLUGINS)
    with pair.open(pair.run.paths.adapter_only) as adapter:
        method = PLUGINS.build("ttt_methods", "tent", choice.settings)
        method.prepare(adapter)
        model = adapter.get_model()
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        method.adapt(list(pair.run.dataset))
        changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        method.restore()
    layers = {name for name in changed if is_lora(plain_name(name))}
    assert layers
    assert bool(changed - layers) == (chosen == "lora_norm_only")


def test_biases_that_are_trained_are_in_the_file_of_the_layers_under_all_their_names(tmp_path):
    train("rtdetr_pose", tmp_path / "base", parity_policy="off", max_steps=1)
    keys = {"lora_r": 2, "lora_train_bias": "all", "parity_policy": "off"}
    run = train("rtdetr_pose", tmp_path / "lora", checkpoint=str(tmp_path / "base"), **keys)
    best, small = (load_checkpoint(path).state for path in (run.paths.best, run.paths.adapter_only))
    assert best.keys() == small.keys()
    assert not [key for key in best if not torch.equal(best[key], small[key])]


def usual_model(name):
    """The architecture that training starts with by default."""
    with PLUGINS.adapter(name, PLUGINS.settings(name)) as adapter:
        return adapter.build_model()


@pytest.mark.parametrize("name", ["rtdetr_pose", "fasterrcnn_multitask"])
def test_a_base_in_4_bits_is_trained_saved_and_exported(name, tmp_path):
    pytest.importorskip("torchao")
    train(name, tmp_path / "base", parity_policy="off", max_steps=1)
    keys = {"lora_r": 2, "lora_target": "all_linear", "qlora": True, "torchao_required": True}
    run = train(name, tmp_path / "lora", checkpoint=str(tmp_path / "base"), parity_policy="fail", **keys)
    report = json.loads(run.paths.lora_report.read_text())
    assert report["quantized"] == "int4wo"
    assert report["rounded"]
    best, small = (load_checkpoint(path).state for path in (run.paths.best, run.paths.adapter_only))
    assert best.keys() == small.keys()
    assert all(torch.equal(best[key], small[key]) for key in best)
    whole = load_checkpoint(tmp_path / "base").model
    assert {key for key in whole if not torch.equal(whole[key], best[key])} <= set(report["rounded"])


@pytest.mark.parametrize("name", ["rtdetr_pose", "fasterrcnn_multitask"])
def test_layers_of_rank_4_are_under_a_fiftieth_of_the_weights(name):
    model = usual_model(name)
    size = sum(parameter.numel() for parameter in model.parameters())
    shapes = [
        model.get_parameter(w).shape for layer in find_layers(model, "all_linear") for w in layer.weights
    ]
    added = sum(4 * (shape[0] + np.prod(shape[1:])) for shape in shapes)
    assert shapes
    assert added < 0.02 * size, added / size


def test_a_teacher_of_masked_modeling_and_stages_are_refused_beside_lora(tmp_path):
    from anydet.errors import OptionError

    start = partial(train, "rtdetr_pose", tmp_path / "run", lora_r=2, parity_policy="off")
    with pytest.raises(OptionError, match="rtdetr_pose cannot have LoRA where enable_mim has a teacher"):
        start(enable_mim=True)
    with pytest.raises(OptionError, match=r"cannot train single heads in stages \(stage_off_steps"):
        start(stage_off_steps=1)


def test_a_backbone_that_timm_has_trained_is_adapted_and_the_rest_is_trained():
    """Without a network there are no weights of timm: what the run would begin with is stated instead."""
    from anydet_adaptivestream.adapter import _timm_weights
    from anydet_adaptivestream.model import AdaptiveStream, Architecture

    model = AdaptiveStream(Architecture(3))
    first = _timm_weights(model, ("a", "b", "c"))
    assert isinstance(first, FirstWeights)
    assert {name.split(".")[0] for name in first.fresh} == {"decoder", "classifier"}
    layers = find_layers(model, "all_linear_conv1x1", first.fresh)
    assert layers
    assert all(layer.name.startswith("encoder.") for layer in layers)
