from __future__ import annotations

import json
from importlib.resources import files

import pytest

from anydet.errors import OptionError
from anydet.plugins.options import load_schema

pytest.importorskip("torch")

from anydet.commands.train import command as train
from anydet.commands.train_options import given, read_words
from anydet.training.config.keys import canonical
from anydet.training.config.resolve import FLAG, resolve
from anydet_rtdetr_pose.minimal import as_train_words

pytestmark = pytest.mark.slow

SCHEMA = load_schema("anydet_rtdetr_pose:training.schema.json")
SEED = {
    "num_queries": "10",
    "stage_off_steps": "1000",
    "stage_k_steps": "1000",
    "cost_z": "1.0",
    "cost_rot": "1.0",
    "cost_t": "1.0",
    "cost_z_start_step": "500",
    "cost_rot_start_step": "1000",
    "cost_t_start_step": "1500",
    "task_aligner": "uncertainty",
    "use_matcher": True,
    "use_ema": "true",
    "dataset_root": "data/coco128",
}
DEFAULTS = {
    "optimizer": "adamw",
    "lr": "1e-4",
    "weight_decay": "0.01",
    "momentum": "0.9",
    "nesterov": "false",
    "use_param_groups": "false",
    "backbone_lr_mult": "1.0",
    "head_lr_mult": "1.0",
    "backbone_wd_mult": "1.0",
    "head_wd_mult": "1.0",
    "wd_exclude_bias": "true",
    "wd_exclude_norm": "true",
    "scheduler": "none",
    "min_lr": "0.0",
    "scheduler_milestones": "",
    "scheduler_gamma": "0.1",
    "lr_warmup_steps": "0",
    "lr_warmup_init": "0.0",
    "gradient_accumulation_steps": "1",
    "clip_grad_norm": "0.0",
    "use_ema": "false",
    "ema_decay": "0.999",
    "ema_eval": "false",
    "amp": "none",
    "use_amp": "false",
    "task_aligner": "none",
    "cost_z": "0.0",
    "cost_rot": "0.0",
    "cost_t": "0.0",
    "cost_z_start_step": "0",
    "cost_rot_start_step": "0",
    "cost_t_start_step": "0",
    "stage_off_steps": "0",
    "stage_k_steps": "0",
    "lora_r": "0",
    "lora_dropout": "0.0",
    "lora_target": "head",
    "lora_freeze_base": "true",
    "lora_train_bias": "none",
    "torchao_quant": "none",
    "torchao_required": "false",
    "qlora": "false",
    "self_distill_weight": "1.0",
    "self_distill_temperature": "1.0",
    "self_distill_kl": "reverse",
    "self_distill_keys": "logits,bbox",
    "derpp": "false",
    "derpp_teacher_key": "derpp_teacher_npz",
    "derpp_weight": "1.0",
    "ewc": "false",
    "ewc_lambda": "1.0",
    "si": "false",
    "si_c": "1.0",
    "si_epsilon": "1e-3",
}
"""Of the old trainer, as its tables have them."""
LINES = (
    "--config rtdetr_pose/configs/base.json --max-steps 50 --run-dir runs/train_minimal_smoke",
    "--config rtdetr_pose/configs/base.json --max-steps 50 --use-matcher",
    "--device cuda:0 --batch-size 4 --num-queries 10 --stage-off-steps 1000 --stage-k-steps 1000",
    "--cost-z 1.0 --cost-rot 1.0 --cost-t 1.0 --cost-z-start-step 500 --cost-rot-start-step 1000",
    "--cost-t-start-step 1500 --checkpoint-out reports/rtdetr_pose_ckpt.pt",
    "--metrics-jsonl reports/train_metrics.jsonl --metrics-csv reports/train_metrics.csv",
    "--optimizer sgd --lr 0.1 --momentum 0.9 --nesterov --weight-decay 1e-4",
    "--use-param-groups --backbone-lr-mult 0.1 --head-lr-mult 1.0 --backbone-wd-mult 0.5 --head-wd-mult 1.0",
    "--scheduler cosine --min-lr 1e-6 --lr-warmup-steps 500 --lr-warmup-init 1e-6",
    "--scheduler onecycle",
    "--scheduler multistep --scheduler-milestones 1000,2000,3000 --scheduler-gamma 0.1",
    "--batch-size 2 --gradient-accumulation-steps 4 --clip-grad-norm 1.0",
    "--device cuda:0 --use-amp",
    "--lora-r 8 --lora-alpha 16 --lora-dropout 0.05 --lora-target all_linear_conv1x1 --lora-freeze-base",
    "--lora-r 8 --lora-train-bias all --torchao-quant int8wo --torchao-required",
    "--lora-r 8 --qlora",
    "--self-distill-from runs/a --self-distill-weight 2 --self-distill-temperature 4 --self-distill-kl sym",
    "--self-distill-from runs/a --self-distill-keys logits",
    "--derpp --derpp-teacher-key teacher --derpp-weight 0.5 --ewc --ewc-lambda 10 --si --si-c 0.1 "
    "--si-epsilon 0.01",
    "--optimizer sgd --momentum 0.9 --scheduler cosine --min-lr 1e-6 --lr-warmup-steps 500 "
    "--use-param-groups --backbone-lr-mult 0.1 --use-ema --ema-decay 0.999 --ema-eval",
)
"""Lines of its guide, each after ``--dataset-root``."""


def test_the_old_name_of_a_config_is_the_packaged_one(tmp_path):
    words = as_train_words(
        ["--dataset-root", "d", "--config", "rtdetr_pose/configs/base.json", "--use-matcher"]
    )
    assert words == ["train", "base", "--adapter", "rtdetr_pose", "--dataset-root", "d", "--use-matcher"]
    own = tmp_path / "own.yaml"
    own.write_text("lr: 1.0")
    assert as_train_words([f"--config={own}"])[1] == str(own)


def test_the_flags_of_the_old_trainer_are_known():
    resolved = resolve(SEED, None, SCHEMA, adapter_name="rtdetr_pose")
    assert resolved.options["cost_t_start_step"] == 1500
    assert resolved.options["num_queries"] == 10
    assert resolved.settings.use_ema


def test_the_defaults_of_the_old_trainer_are_ours():
    silent = resolve({}, None, SCHEMA, adapter_name="rtdetr_pose").values
    values = resolve(DEFAULTS, None, SCHEMA, adapter_name="rtdetr_pose").values
    assert values == silent


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_old_guide_is_taken_whole(line):
    words = ["--dataset-root", "data/coco128", *line.split()]
    flags = train.make_context("train", as_train_words(words)[1:]).params
    config, keys = read_words(flags.pop("words"), flags.pop("config"))
    del flags["json_path"], flags["strict"]  # of the command, no keys
    typed = {**keys, **given(flags)}
    resolved = resolve(typed, config, SCHEMA, adapter_name="rtdetr_pose")
    named = {canonical(word[2:].replace("-", "_")) for word in words if word.startswith("--")}
    assert {key for key, origin in resolved.origins.items() if origin == FLAG} == (
        (named | {"adapter"}) - {"config"}
    )


def test_the_matcher_cannot_be_switched_off():
    with pytest.raises(OptionError, match="--use-matcher"):
        resolve({"use_matcher": False}, None, SCHEMA, adapter_name="rtdetr_pose")


@pytest.mark.parametrize("name", ["base", "n", "s", "m", "l", "x"])
def test_packaged_configs_are_what_the_adapter_takes(name):
    from anydet_rtdetr_pose.architecture import read_model

    resolved = resolve({}, name, SCHEMA, adapter_name="rtdetr_pose")
    model = read_model(resolved.options["model"])
    assert model.backbone.norm == "bn"


def test_the_config_base_is_the_default_but_for_the_norm_that_it_names():
    from anydet_rtdetr_pose.architecture import Model, read_model

    text = (files("anydet_rtdetr_pose") / "configs" / "base.json").read_text()
    values = json.loads(text)
    del values["model"]["backbone"]["norm"]
    model = read_model(values["model"])
    assert model.transformer == Model().transformer
    assert model.projector == Model().projector
    assert values["num_queries"] == SCHEMA["properties"]["num_queries"]["default"]
    assert values["image_size"] == SCHEMA["properties"]["image_size"]["default"]
