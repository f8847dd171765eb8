"""Runs with LoRA: what is trained, what is saved, what goes on, and what is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib.util import find_spec

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.slow,  # importing peft takes seconds, so it is looked for alone
    pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed"),
]


from core.tests.training.attentive import (
    ADAPTED,
    Attentive,
    AttentiveAdapter,
    base_run,
    lora_run,
    outputs,
)
from core.tests.training.processes import torchrun
from tests.first_weights import Renamed

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError, TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from anydet.training.hooks import TrainingHook
from anydet.training.lora import layers
from anydet.training.lora.quantized import dequantized, is_quantized, parts_of, rounded
from anydet.training.lora.spec import is_lora, plain_name
from anydet.types import AdapterSettings


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A checkpoint without LoRA."""
    return base_run(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A run that ended: its adapter and itself."""
    return lora_run(tmp_path_factory.mktemp("lora"), base, epochs=2, lora_alpha=4.0, merge_lora=True)


def loaded(path):
    return AttentiveAdapter(AdapterSettings(checkpoint=str(path)))


def moved(first, second):
    """Names of tensors that differ, ``num_batches_tracked`` left out."""
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_each_adapted_weight_changes_the_output(trained):
    model = copy.deepcopy(trained[0].get_model())
    found = {}
    for live, parameter in model.named_parameters():
        name = plain_name(live)
        if not name.endswith(".lora_B"):
            continue
        for training in (False, True):
            model.train(training)
            with torch.no_grad():
                before, kept = model(torch.ones(1, 3, 32, 32))[0], parameter.clone()
                parameter.add_(torch.randn(parameter.shape))
                found[name, training] = float((model(torch.ones(1, 3, 32, 32))[0] - before).abs().max())
                parameter.copy_(kept)
    assert {name for name, _ in found} == {f"{name}.lora_B" for name in ADAPTED}
    assert all(change > 1e-4 for change in found.values()), found


@pytest.mark.parametrize("bias", ["none", "all"])
def test_gradients_go_to_lora_and_to_biases_where_asked_for(base, tmp_path, bias):
    with_gradient = set()

    class Look(TrainingHook):
        def before_update(self, loop):
            with_gradient.update(n for n, p in loop.model.named_parameters() if p.grad is not None)

    import core.tests.training.attentive as module

    task = module.AttentiveTask
    look = Look()

    class Looking(task):
        def hooks(self):
            return [look]

    module.AttentiveTask = Looking
    try:
        _, run = lora_run(tmp_path, base, lora_train_bias=bias, lora_dropout=0.1)
    finally:
        module.AttentiveTask = task
    names = {plain_name(name) for name in with_gradient}
    lora = {f"{name}.lora_{part}" for name in ADAPTED for part in "AB"}
    biases = {
        n for n, _ in Attentive(6).named_parameters() if n.rpartition(".")[2] in {"bias", "in_proj_bias"}
    }
    assert names == lora | (biases if bias == "all" else set())
    first, last = load_checkpoint(base).model, load_checkpoint(run.paths.last).state
    changed = moved(first, last)
    assert changed <= (biases if bias == "all" else set())
    assert bool(changed) == (bias == "all")


def test_the_best_checkpoint_predicts_as_the_trained_model_does(trained):
    adapter, run = trained
    ours = outputs(adapter.get_model())
    assert torch.equal(outputs(loaded(run.paths.best).get_model()), ours)
    assert not torch.equal(outputs(loaded(run.settings.checkpoint).get_model()), ours)
    plain = Attentive(6)
    plain.load_state_dict(load_checkpoint(run.paths.best).model)  # merged
    torch.testing.assert_close(outputs(plain), ours, rtol=0, atol=1e-5)


def test_merged_weights_need_no_peft_and_predict_the_same(trained, monkeypatch):
    adapter, run = trained
    merged = load_checkpoint(run.paths.merged)
    assert merged.lora is None
    assert merged.model.keys() == Attentive(6).state_dict().keys()
    assert merged.step == load_checkpoint(run.paths.best).step
    monkeypatch.setattr(layers, "has_peft", lambda: False)
    monkeypatch.setattr("anydet.training.adapter.has_peft", lambda: False)
    for file in (run.paths.merged, run.paths.best):
        model = loaded(file).get_model()
        assert not any("lora" in name for name, _ in model.named_parameters())
        torch.testing.assert_close(outputs(model), outputs(adapter.get_model()), rtol=0, atol=1e-5)


def test_a_file_of_lora_layers_alone_predicts_with_its_base(trained):
    adapter, run = trained
    content = torch.load(run.paths.adapter_only, weights_only=True)
    assert all(is_lora(name) for name in content["model"])
    assert content["lora"]["base"]["path"] == str(run.settings.checkpoint)
    model = loaded(run.paths.adapter_only).get_model()
    assert torch.equal(outputs(model), outputs(adapter.get_model()))


def test_another_base_or_none_is_refused(trained, base, tmp_path):
    _, run = trained
    content = torch.load(run.paths.adapter_only, weights_only=True)
    del content["digest"]  # which a changed content does not have
    content["lora"]["base"]["path"] = "/gone/base.pt"
    torch.save(content, tmp_path / "adapter.pt")
    with pytest.raises(TrainingError, match=r"holds LoRA layers alone, and their base /gone/base\.pt is not"):
        load_checkpoint(tmp_path / "adapter.pt")
    saved = load_checkpoint(base)
    save_checkpoint(tmp_path / "base.pt", saved)  # found beside it
    assert load_checkpoint(tmp_path / "adapter.pt").lora is not None
    other = {**saved.model, "head.bias": saved.model["head.bias"] + 1}
    save_checkpoint(tmp_path / "base.pt", replace(saved, model=other))
    with pytest.raises(TrainingError, match=r"were trained on other weights than .*base\.pt holds now"):
        load_checkpoint(tmp_path / "adapter.pt")


def test_a_run_that_goes_on_ends_with_the_bits_of_one_in_a_single_piece(base, tmp_path, same_weights):
    keys = {"use_ema": True, "gradient_accumulation_steps": 2, "lora_dropout": 0.2, "lora_train_bias": "all"}
    lora_run(tmp_path / "whole", base, epochs=2, **keys)
    for epochs in (1, 2):
        lora_run(tmp_path / "parts", base, epochs=epochs, resume=epochs == 2, **keys)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert whole.lora.spec == parts.lora.spec
    assert same_weights(whole.state, parts.state)
    for state in ("model", "ema"):
        assert same_weights(whole.training[state], parts.training[state])


@pytest.mark.parametrize("keys", [{"use_ema": True, "ema_eval": True}, {"amp": "bf16"}], ids=str)
def test_an_average_and_mixed_precision_go_with_lora(base, tmp_path, keys):
    adapter, run = lora_run(tmp_path, base, **keys)
    best = load_checkpoint(run.paths.best)
    assert torch.equal(outputs(loaded(run.paths.best).get_model()), outputs(adapter.get_model()))
    assert best.lora.tensors["head.weight.lora_B"].any()
    assert not moved(load_checkpoint(base).model, best.state)


def test_rows_of_new_classes_are_trained_as_a_whole_and_get_no_lora(base, tmp_path):
    names = (*SyntheticDataset(1).classes.names[:5], "cat")
    shapes = Renamed(SyntheticDataset(8, 0, (64, 64), "train"), names)
    adapter, run = lora_run(tmp_path, base, dataset=shapes)
    spec = load_checkpoint(run.paths.best).lora.spec
    assert set(spec.weights) == ADAPTED - {"head.weight"}
    assert set(spec.whole) == {"head.weight", "head.bias"}
    small = torch.load(run.paths.adapter_only, weights_only=True)["model"]
    assert {name for name in small if not is_lora(name)} == {"head.weight", "head.bias"}
    model = loaded(run.paths.adapter_only).get_model()
    assert torch.equal(outputs(model), outputs(adapter.get_model()))


def test_rows_in_another_order_are_kept_beside_the_layers(base, tmp_path):
    names = tuple(reversed(SyntheticDataset(1).classes.names))
    shapes = Renamed(SyntheticDataset(8, 0, (64, 64), "train"), names)
    adapter, run = lora_run(tmp_path, base, dataset=shapes)
    assert set(load_checkpoint(run.paths.best).lora.spec.weights) == ADAPTED
    model = loaded(run.paths.adapter_only).get_model()
    assert torch.equal(outputs(model), outputs(adapter.get_model()))


def test_a_base_that_is_trained_too_has_no_file_of_layers_alone(base, tmp_path):
    adapter, run = lora_run(tmp_path, base, lora_freeze_base=False)
    best = load_checkpoint(run.paths.best)
    assert "backbone.0.weight" in moved(load_checkpoint(base).model, best.state)
    assert not run.paths.adapter_only.exists()
    assert torch.equal(outputs(loaded(run.paths.best).get_model()), outputs(adapter.get_model()))


def test_a_run_may_begin_with_a_checkpoint_that_has_lora(trained, tmp_path):
    _, run = trained
    start = load_checkpoint(run.paths.best).model
    second, again = lora_run(tmp_path, run.paths.best)
    best = load_checkpoint(again.paths.best)
    assert not moved(start, best.state)
    assert torch.equal(outputs(loaded(again.paths.adapter_only).get_model()), outputs(second.get_model()))


def test_first_weights_of_another_program_are_written_as_the_base(base, tmp_path):
    adapter = AttentiveAdapter(AdapterSettings(checkpoint=str(base)))
    run = lora_run(tmp_path / "first", base)[1]
    run = replace(run, paths=type(run.paths).of_folder(tmp_path / "second"))
    run = replace(run, settings=msgspec.structs.replace(run.settings, checkpoint=None))
    adapter.train(run)
    small = load_checkpoint(run.paths.adapter_only)
    assert small.lora.spec.base.path == "base.pt"
    assert not moved(load_checkpoint(base).model, load_checkpoint(run.paths.base).model)
    assert torch.equal(outputs(loaded(run.paths.adapter_only).get_model()), outputs(adapter.get_model()))


def test_what_cannot_be_adapted_is_refused_with_the_reason(base, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="this run begins with random ones"):
        lora_run(tmp_path / "a", None)
    with pytest.raises(OptionError, match="lora_r 5000 is above the rank of all weights that it adapts"):
        lora_run(tmp_path / "r", base, lora_r=5000)
    monkeypatch.setattr(Attentive, "module_names", lambda self: {"head": ["backbone"]})
    with pytest.raises(OptionError, match=r"lora_target head means no layer of this model \(layers: none"):
        lora_run(tmp_path / "b", base, lora_target="head")
    monkeypatch.setattr("core.tests.training.attentive.AttentiveTask.no_lora", "cannot have LoRA here")
    with pytest.raises(OptionError, match="lora_r: grid cannot have LoRA here"):
        lora_run(tmp_path / "c", base)
    monkeypatch.setattr(layers, "has_peft", lambda: False)
    with pytest.raises(OptionError, match="peft, which is not installed") as caught:
        lora_run(tmp_path / "d", base)
    assert "anydet[lora]" in caught.value.fix


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """A base whose linear layers are wide enough for groups of 32, and a run on it in 8 bits."""
    pytest.importorskip("torchao")
    folder = tmp_path_factory.mktemp("quantized")
    base = base_run(folder / "base")
    return base, *lora_run(folder / "run", base, torchao_quant="int8wo", use_ema=True, merge_lora=True)


def test_frozen_linear_layers_are_quantized_and_the_run_says_how_many(quantized):
    _, adapter, run = quantized
    model = adapter.get_model()
    kinds = {plain_name(name) for name, parameter in model.named_parameters() if is_quantized(parameter)}
    assert kinds == {"mix.linear1.weight", "mix.linear2.weight"}  # attention reads its weights itself
    report = json.loads(run.paths.lora_report.read_text())
    assert report["quantized"] == "int8wo"
    assert set(report["rounded"]) == kinds
    assert "int8wo: 256 of the base's" in report["says"][1]


def test_files_of_a_quantized_run_predict_as_it_does(quantized):
    base, adapter, run = quantized
    ours = outputs(adapter.get_model())
    for name in ("best", "adapter_only", "merged"):
        model = loaded(getattr(run.paths, name)).get_model()
        assert not any(is_quantized(parameter) for parameter in model.parameters())
        torch.testing.assert_close(outputs(model), ours, rtol=0, atol=1e-5)
    rounded = load_checkpoint(run.paths.best).lora.tensors["mix.linear1.weight"]
    assert not torch.equal(rounded, load_checkpoint(base).model["mix.linear1.weight"])


def test_a_quantized_run_goes_on_with_the_same_bits(quantized, tmp_path, same_weights):
    base = quantized[0]
    keys = {"torchao_quant": "int8wo", "use_ema": True, "on_nonfinite": "skip"}
    lora_run(tmp_path / "whole", base, epochs=2, **keys)
    for epochs in (1, 2):
        lora_run(tmp_path / "parts", base, epochs=epochs, resume=epochs == 2, **keys)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert "mix.linear1.weight.qdata" in whole.training["model"]
    for state in ("model", "ema"):
        assert same_weights(whole.training[state], parts.training[state])


def test_what_cannot_be_quantized_stops_the_run_or_is_recorded(base, tmp_path):
    with pytest.raises(
        OptionError, match="int4wo: the model has no frozen linear layer that can be quantized"
    ):
        lora_run(tmp_path / "a", base, qlora=True, torchao_required=True)  # 8 and 16 columns
    _, run = lora_run(tmp_path / "b", base, qlora=True)
    report = json.loads(run.paths.lora_report.read_text())
    assert report["quantized"] == "none"
    assert "the base is NOT quantized" in report["says"][1]


@pytest.mark.parametrize("kind", ["int8wo", "int4wo"])
def test_a_rounded_weight_is_near_and_the_same_each_time(kind):
    pytest.importorskip("torchao")
    weight = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    first, second = (parts_of(rounded(weight, kind)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    scale = weight.abs().amax() / (127 if kind == "int8wo" else 7)
    assert float((dequantized(rounded(weight, kind)) - weight).abs().max()) <= float(scale)
    assert first["qdata"].unique().numel() <= (256 if kind == "int8wo" else 16)


_SCRIPT = """
import sys
from pathlib import Path
import torch
from core.tests.training.attentive import lora_run
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.weights import LoraWeights
def run_weights(adapter, run):
    return LoraWeights(load_checkpoint(run.paths.best).lora.spec)
folder, base = map(Path, sys.argv[1:3])
adapter, run = lora_run(folder, base, batch_size=2, torchao_quant=sys.argv[3])
import os
state = run_weights(adapter, run).training_state(adapter.get_model())
torch.save(state, folder / f"rank{os.environ['RANK']}.pt")
"""


@pytest.mark.parametrize("name", ["gone.weight", "backbone.1.weight", "backbone.0.bias"])
def test_layers_of_a_broken_file_that_the_model_has_no_place_for_are_refused(trained, tmp_path, name):
    content = torch.load(trained[1].paths.best, weights_only=True)
    del content["digest"]
    content["lora"]["weights"] = {name: ()}
    weight = content["model"].setdefault(name, torch.zeros(8))
    content["model"] = {key: one for key, one in content["model"].items() if not is_lora(key)}
    content["model"][f"{name}.lora_A"] = torch.zeros(2, 1)
    content["model"][f"{name}.lora_B"] = torch.zeros(weight.numel(), 2)
    torch.save(content, tmp_path / "broken.pt")
    with pytest.raises(TrainingError, match=r"has no weight|unexpected"):
        loaded(tmp_path / "broken.pt").get_model()


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["none", "int8wo"])
def test_two_processes_have_the_same_layers_and_the_same_base(base, tmp_path, kind):
    done = torchrun(_SCRIPT, tmp_path, str(tmp_path), str(base), kind)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not moved(first, second)
    assert any(tensor.any() for name, tensor in first.items() if "lora_B" in name)
    changed = moved(load_checkpoint(base).model, load_checkpoint(tmp_path / "best.pt").state)
    assert changed == ({"mix.linear1.weight", "mix.linear2.weight"} if kind == "int8wo" else set())
