"""What keys of a run must not say together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from anydet.errors import OptionError
from anydet.training.config.settings import TrainSettings

CONFIG_VERSIONS = (1,)
"""What ``config_version`` may be."""

_OF_LORA = (
    *("lora_alpha", "lora_dropout", "lora_target", "lora_freeze_base", "lora_train_bias", "merge_lora"),
    *("torchao_quant", "torchao_required", "qlora"),
)
_OF_METHODS = {
    "self_distill_from": ("self_distill_weight", "self_distill_temperature", "self_distill_kl"),
    "derpp": ("derpp_teacher_key", "derpp_weight", "derpp_alpha", "derpp_beta", "derpp_size"),
    "ewc": ("ewc_lambda", "ewc_images"),
    "si": ("si_c", "si_epsilon"),
}
"""Key of a method of continual learning -> its settings, but those whose defaults adapters change."""
_REDIRECTED = ("run_dir", "checkpoint_out", "metrics_jsonl", "metrics_csv")


def check_settings(settings: TrainSettings, *, strict: bool) -> None:
    """Raise ``OptionError`` for the first contradiction.

    Args:
        settings: each key right by itself.
        strict: whether the run has the fixed folder of the run contract.
    """
    for problem, fix in (
        *_optimizer(settings),
        *_lora(settings),
        *_continual(settings),
        *_schedule(settings),
        *_validation(settings),
        *_place(settings),
        *(_contract(settings) if strict else ()),
    ):
        raise OptionError(problem, fix=fix)


def _optimizer(s: TrainSettings) -> Iterator[tuple[str, str]]:
    if s.nesterov and s.optimizer != "sgd":
        yield f"nesterov is a momentum of SGD, not of {s.optimizer}", "add --optimizer sgd, or --no-nesterov"
    if s.nesterov and not s.momentum:
        yield "nesterov needs a momentum, which is 0", "add --momentum 0.9, or --no-nesterov"
    if s.ema_eval and not s.use_ema:
        yield "ema_eval evaluates an average that nobody keeps", "add --use-ema, or --no-ema-eval"


def _lora(s: TrainSettings) -> Iterator[tuple[str, str]]:
    if s.lora_r:
        yield from _quantized(s)
        return
    usual = TrainSettings()
    for key in _OF_LORA:
        if getattr(s, key) != getattr(usual, key):
            yield (
                f"{key} is a setting of LoRA, which lora_r 0 leaves out",
                f"add --lora-r 8, or leave {key} out",
            )


def _quantized(s: TrainSettings) -> Iterator[tuple[str, str]]:
    asked = "qlora" if s.qlora else "torchao_quant" if s.torchao_quant != "none" else None
    if asked and not s.lora_freeze_base:
        yield f"{asked} quantizes a base that is not trained", "leave --no-lora-freeze-base out"
    if s.torchao_required and not asked:
        yield "torchao_required needs something to quantize", "add --qlora, or --torchao-quant int8wo"


def _continual(s: TrainSettings) -> Iterator[tuple[str, str]]:
    usual = TrainSettings()
    for method, keys in _OF_METHODS.items():
        flag = method.replace("_", "-")
        for key in keys if not getattr(s, method) else ():
            if getattr(s, key) != getattr(usual, key):
                on = f"--{flag} RUN" if method == "self_distill_from" else f"--{flag}"
                yield f"{key} is a setting of {method}, which is off", f"add {on}, or leave {key} out"
    for method in ("ewc", "si"):
        if getattr(s, method) and s.lora_r:
            yield (
                f"{method} holds weights near where they were, and LoRA leaves them there: its own layers "
                "begin anew in each task",
                f"leave --{method} or --lora-r out; --self-distill-from and --derpp go with LoRA",
            )
    if s.compile and s.self_distill_from and "features" in s.self_distill_keys:
        yield (
            "self_distill_keys features looks into the model while it runs, and a compiled one is closed",
            "leave --compile or features out",
        )


def _schedule(s: TrainSettings) -> Iterator[tuple[str, str]]:
    steps = s.scheduler_milestones
    if s.scheduler == "multistep" and not steps:
        yield "scheduler multistep needs its steps", "add --scheduler-milestones 1000,2000"
    if isinstance(steps, list) and (steps != sorted(set(steps)) or min(steps, default=1) < 1):
        yield (
            f"scheduler_milestones {steps} are not rising steps from 1 on",
            "write them as 1000,2000,3000",
        )
    if s.min_lr > s.lr:
        yield f"min_lr {s.min_lr} is above lr {s.lr}", "lower --min-lr, or raise --lr"
    if s.epochs is None and s.max_steps is None:
        yield "neither epochs nor max_steps ends the run", "add --epochs 12 or --max-steps 10000"


def _validation(s: TrainSettings) -> Iterator[tuple[str, str]]:
    if s.best_metric in {"loss", "avg_val_loss", "validation_loss", "avg_loss"}:
        yield f"best_metric {s.best_metric!r} is called val_loss", "write --best-metric val_loss"
    if s.early_stop_patience and not s.val_every:
        yield (
            "early stopping counts validations, and val_every is 0",
            "add --val-every 1, or --early-stop-patience 0",
        )
    if s.scheduler == "plateau" and not s.val_every:
        yield (
            "scheduler plateau looks at validations, and val_every is 0",
            "add --val-every 1, or --scheduler none",
        )


def _place(s: TrainSettings) -> Iterator[tuple[str, str]]:
    if s.run_id is not None and not re.fullmatch(r"\w[\w.-]*", s.run_id):
        yield (
            f"run_id {s.run_id!r} is not a name of letters, digits, '_', '-' and '.'",
            "write --run-id exp01; --runs-dir names the folder above it",
        )
    if s.run_id is not None and s.run_dir is not None:
        yield (
            f"run_id {s.run_id!r} and run_dir {s.run_dir!r} are two places for one run",
            "leave out one of them",
        )


def _contract(s: TrainSettings) -> Iterator[tuple[str, str]]:
    for key in _REDIRECTED:
        if getattr(s, key) is not None:
            yield (
                f"{key}: under the run contract files are in RUNS_DIR/RUN_ID under fixed names",
                f"leave out {key}; or leave out run_contract, run_id and config_version",
            )
    if s.config_version not in {None, *CONFIG_VERSIONS}:
        yield (
            f"config_version {s.config_version} is not known (known: {', '.join(map(str, CONFIG_VERSIONS))})",
            "update anydet, or write the config file anew",
        )
