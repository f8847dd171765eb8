"""Each method with each feature of the engine: it trains, and after a stop it ends with the same bits."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

from core.tests.training.attentive import AttentiveAdapter, base_run
from core.tests.training.continual.runs import Signal
from core.tests.training.grid import tiny_run

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import InterruptedTraining
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.checkpoints.plain_data import digest
from anydet.training.engine import train
from anydet.types import AdapterSettings

LORA = {"lora_r": 2, "lora_target": "all_linear_conv1x1"}
METHODS = {
    "distillation": {"self_distill_from": "{base}", "self_distill_keys": "logits"},
    "derpp": {"derpp": True, "derpp_size": 3},
    "ewc": {"ewc": True},
    "si": {"si": True},
    "lora": LORA,
    "biases": {**LORA, "lora_train_bias": "all", "lora_dropout": 0.1},
    "int8": {**LORA, "torchao_quant": "int8wo"},
    "lora and derpp": {
        **LORA,
        "derpp": True,
        "derpp_size": 3,
        "self_distill_from": "{base}",
        "self_distill_keys": "logits",
    },
}
FEATURES = {
    "average": {"use_ema": True},
    "average that predicts": {"use_ema": True, "ema_eval": True},
    "bf16": {"amp": "bf16"},
    "accumulation": {"gradient_accumulation_steps": 2},
    "all": {
        "use_ema": True,
        "ema_eval": True,
        "amp": "bf16",
        "gradient_accumulation_steps": 2,
        "clip_grad_norm": 1.0,
    },
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return base_run(tmp_path_factory.mktemp("base"))


def run_of(folder, base, *hooks, method, feature, **more):
    """A run of the method, which begins with the base."""
    chosen = {key: str(base) if value == "{base}" else value for key, value in METHODS[method].items()}
    keys = {"checkpoint": str(base), "images": 8, "epochs": 2, **chosen, **FEATURES[feature], **more}
    run = tiny_run(folder, **keys)
    run = replace(run, dataset=SyntheticDataset(8, 1, (64, 64), "train"), validation=None)
    adapter = AttentiveAdapter(AdapterSettings(checkpoint=str(base)))
    train(adapter.training_task, run, hooks, open_teacher=adapter.open_teacher)
    return run


@pytest.mark.parametrize(
    "feature", [*(pytest.param(one, marks=pytest.mark.soak) for one in FEATURES if one != "all"), "all"]
)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_goes_with_a_feature_and_on_after_a_signal(base, tmp_path, method, feature):
    needs = {"peft": "lora_r", "torchao": "torchao_quant"}
    for package, key in needs.items():
        if key in METHODS[method] and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    chosen = {"method": method, "feature": feature}
    whole = run_of(tmp_path / "whole", base, **chosen)
    steps = [json.loads(line) for line in whole.paths.train_metrics.read_text().splitlines()]
    assert steps
    assert all(math.isfinite(value) for line in steps for key, value in line.items() if "loss" in key)
    with pytest.raises(InterruptedTraining):
        run_of(tmp_path / "part", base, Signal(signal.SIGTERM, 1), **chosen)
    part = run_of(tmp_path / "part", base, resume=True, **chosen)
    ours, theirs = (load_checkpoint(run.paths.last) for run in (whole, part))
    for kind in ("model", "ema", "optimizer", "hooks"):
        assert digest(ours.training[kind]) == digest(theirs.training[kind]), kind
    best, again = (load_checkpoint(run.paths.best).state for run in (whole, part))
    assert digest(best) == digest(again)
    start = load_checkpoint(base).model
    moved = {
        name for name, tensor in best.items() if name not in start or not torch.equal(tensor, start[name])
    }
    assert moved
    if "lora_r" in METHODS[method]:
        rounded = set(load_checkpoint(whole.paths.best).lora.spec.rounded)
        kept = {n for n in moved & set(start) if not n.endswith("bias")} - rounded
        assert not kept, "the base stays as it is"
