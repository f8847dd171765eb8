"""``TrainSettings``: every key that the engine knows, with its type, default and meaning. One home.

Flags of ``anydet train``, keys of a config file, the JSON Schema and the reference page are made from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


def _about(text: str, **limits: float) -> Meta:
    return Meta(description=text, **limits)  # type: ignore[call-overload, no-any-return]


Positive = Annotated[int, Meta(ge=1)]
Above0 = Annotated[float, Meta(gt=0)]

SECTIONS = {
    "adapter": "Model",
    "dataset": "Data",
    "optimizer": "Optimizer",
    "lora_r": "LoRA",
    "self_distill_from": "Continual learning",
    "on_nonfinite": "Guards",
    "run_id": "Run",
}
"""First key of each section of ``TrainSettings`` -> its heading in help and reference."""


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys of the engine, checked and typed."""

    # Model: the adapter, and its initial weights.

    adapter: Annotated[str | None, _about("Adapter to train; see 'anydet adapters list'.")] = None
    checkpoint: Annotated[
        str | None, _about("Initial weights: a checkpoint file, or the folder of a run.")
    ] = None
    adapter_options: Annotated[dict[str, Any], _about("Options of the adapter, as --option sets them.")] = (
        msgspec.field(default_factory=dict)
    )

    # Data: what is trained on, how it is read and how it is changed.

    dataset: Annotated[str | None, _about("Training data set: a folder or file that anydet reads.")] = None
    split: Annotated[
        str | None, _about("Split to train on; by default the first of the usual names that exists.")
    ] = None
    val_dataset: Annotated[str | None, _about("Validation data set; null is the training data set.")] = None
    val_split: Annotated[str | None, _about("Split to validate on; null is val, if it exists.")] = None
    max_images: Annotated[Positive | None, _about("Train on the first N images only.")] = None
    batch_size: Annotated[int, _about("Images per batch and process.", ge=1)] = 4
    num_workers: Annotated[
        int, _about("Worker processes of the data loader; 0 loads in the main process.", ge=0)
    ] = 2
    prefetch_factor: Annotated[int, _about("Batches that each worker prefetches.", ge=1)] = 2
    pin_memory: Annotated[bool | None, _about("Pin memory of batches; null pins with CUDA only.")] = None
    shuffle: Annotated[bool, _about("Shuffle images in each epoch.")] = True
    hflip_prob: Annotated[float, _about("Probability of a horizontal flip.", ge=0, le=1)] = 0.0
    color_jitter: Annotated[
        float,
        _about(
            "Range of random brightness, contrast and saturation, 1 +- this; a tenth for hue.", ge=0, lt=1
        ),
    ] = 0.0
    scale_jitter: Annotated[
        float, _about("Range of random scale, 1/(1 + this) to 1 + this, on a canvas of the same size.", ge=0)
    ] = 0.0
    crop_prob: Annotated[float, _about("Probability of a random crop.", ge=0, le=1)] = 0.0
    mosaic_prob: Annotated[float, _about("Probability of a mosaic of four images.", ge=0, le=1)] = 0.0

    # Optimizer: how weights move.

    optimizer: Annotated[Literal["adamw", "sgd"], _about("Optimizer.")] = "adamw"
    lr: Annotated[float, _about("Base learning rate.", gt=0)] = 1e-4
    weight_decay: Annotated[float, _about("Base weight decay.", ge=0)] = 0.01
    momentum: Annotated[float, _about("Momentum of SGD.", ge=0, lt=1)] = 0.9
    nesterov: Annotated[bool, _about("Nesterov momentum; SGD only.")] = False
    use_param_groups: Annotated[
        bool, _about("Use the multipliers below for parameters of backbone and head.")
    ] = False
    backbone_lr_mult: Annotated[float, _about("Factor on the learning rate of the backbone.", ge=0)] = 1.0
    head_lr_mult: Annotated[float, _about("Factor on the learning rate of neck and head.", ge=0)] = 1.0
    backbone_wd_mult: Annotated[float, _about("Factor on the weight decay of the backbone.", ge=0)] = 1.0
    head_wd_mult: Annotated[float, _about("Factor on the weight decay of neck and head.", ge=0)] = 1.0
    wd_exclude_bias: Annotated[bool, _about("No weight decay on biases.")] = True
    wd_exclude_norm: Annotated[bool, _about("No weight decay on normalization layers.")] = True
    scheduler: Annotated[
        Literal["none", "cosine", "onecycle", "multistep", "plateau"],
        _about("Learning-rate schedule; plateau steps at each validation, the others at each step."),
    ] = "none"
    min_lr: Annotated[float, _about("Lower bound of the learning rate.", ge=0)] = 0.0
    scheduler_milestones: Annotated[
        list[int] | str, _about("Steps at which multistep decays, such as 1000,2000.")
    ] = ""
    scheduler_gamma: Annotated[float, _about("Factor by which multistep decays.", gt=0, le=1)] = 0.1
    plateau_factor: Annotated[float, _about("Factor by which plateau decays.", gt=0, lt=1)] = 0.5
    plateau_patience: Annotated[
        int, _about("Validations without improvement before plateau decays.", ge=0)
    ] = 3
    lr_warmup_steps: Annotated[int, _about("Steps of linear warm-up.", ge=0)] = 0
    lr_warmup_epochs: Annotated[float, _about("Epochs of linear warm-up, if lr_warmup_steps is 0.", ge=0)] = (
        0.0
    )
    lr_warmup_init: Annotated[float, _about("Learning rate at warm-up step 0.", ge=0)] = 0.0
    gradient_accumulation_steps: Annotated[int, _about("Batches per optimizer step.", ge=1)] = 1
    clip_grad_norm: Annotated[float, _about("Maximum gradient norm to clip to; 0 does not clip.", ge=0)] = 0.0
    use_ema: Annotated[bool, _about("Keep an exponential moving average of weights and buffers.")] = False
    ema_decay: Annotated[
        float, _about("Decay of the average per step; smaller in the first steps.", ge=0, lt=1)
    ] = 0.999
    ema_eval: Annotated[
        bool, _about("Validate, select the best checkpoint and predict with the average.")
    ] = False

    # LoRA: few weights are trained beside a base that stays.

    lora_r: Annotated[int, _about("Rank of LoRA layers; 0 trains the weights themselves.", ge=0)] = 0
    lora_alpha: Annotated[
        Above0 | None, _about("LoRA is scaled by lora_alpha / lora_r; null is lora_r, a scale of 1.")
    ] = None
    lora_dropout: Annotated[
        float, _about("Dropout on the inputs of LoRA layers, but those of attention projections.", ge=0, lt=1)
    ] = 0.0
    lora_target: Annotated[
        Literal["head", "all_linear", "all_conv1x1", "all_linear_conv1x1"],
        _about(
            "What LoRA is put into: linear layers, attention projections and 1 x 1 convolutions of the head, "
            "or all of the kinds named."
        ),
    ] = "head"
    lora_freeze_base: Annotated[
        bool, _about("Train LoRA and what begins at random alone, such as rows of new classes.")
    ] = True
    lora_train_bias: Annotated[Literal["none", "all"], _about("Biases of the base that are trained.")] = (
        "none"
    )
    merge_lora: Annotated[
        bool, _about("Also write the best checkpoint as plain weights, merged.pt, beside best.pt.")
    ] = False

    torchao_quant: Annotated[
        Literal["none", "int8wo", "int4wo"],
        _about("Quantize frozen linear layers beside LoRA, by torchao; int4wo takes memory as int8wo does."),
    ] = "none"
    torchao_required: Annotated[
        bool, _about("Stop where weights cannot be quantized, rather than train on them as they are.")
    ] = False
    qlora: Annotated[bool, _about("LoRA on a quantized, frozen base; torchao_quant none is int4wo then.")] = (
        False
    )

    # Continual learning: what was learned before is kept while something new is.

    self_distill_from: Annotated[
        str | None,
        _about("Teacher of self-distillation: a checkpoint of the adapter, or the folder of a run."),
    ] = None
    self_distill_weight: Annotated[float, _about("Weight of all losses of self-distillation.", ge=0)] = 1.0
    self_distill_temperature: Annotated[
        float, _about("Temperature by which logits of teacher and student are divided.", gt=0)
    ] = 1.0
    self_distill_kl: Annotated[
        Literal["forward", "reverse", "sym"],
        _about(
            "Divergence of classes: forward is KL(teacher || student), reverse KL(student || teacher), sym "
            "their mean."
        ),
    ] = "reverse"
    self_distill_keys: Annotated[
        list[str] | str,
        _about("What the teacher teaches: logits, bbox, features, and what else the adapter gives of a row."),
    ] = "logits,bbox"
    derpp: Annotated[
        bool, _about("DER++: replay of stored images with their labels and the logits they once had.")
    ] = False
    derpp_teacher_key: Annotated[
        str,
        _about(
            "Key of a record's sidecar that names an npz file of stored outputs; where no record has it, the "
            "run fills a reservoir by itself."
        ),
    ] = "derpp_teacher_npz"
    derpp_weight: Annotated[float, _about("Weight of both terms of DER++.", ge=0)] = 1.0
    derpp_alpha: Annotated[float, _about("Weight of the squared difference of logits in DER++.", ge=0)] = 0.5
    derpp_beta: Annotated[float, _about("Weight of the losses of replayed labels in DER++.", ge=0)] = 0.5
    derpp_size: Annotated[int, _about("Images that the reservoir of DER++ holds.", ge=1)] = 200
    ewc: Annotated[
        bool, _about("EWC: weights that earlier tasks need are held by their Fisher information.")
    ] = False
    ewc_lambda: Annotated[float, _about("Weight of the penalty of EWC.", ge=0)] = 1.0
    ewc_images: Annotated[
        int, _about("Images of which the Fisher information is the mean, evenly spread over the data.", ge=1)
    ] = 1000
    si: Annotated[
        bool, _about("SI: weights are held by how much their way through training lowered the loss.")
    ] = False
    si_c: Annotated[float, _about("Weight of the penalty of SI.", ge=0)] = 1.0
    si_epsilon: Annotated[
        float, _about("Added to the squared change of a weight by which SI divides.", gt=0)
    ] = 1e-3

    # Guards: what happens when numbers go wrong.

    on_nonfinite: Annotated[
        Literal["stop", "skip"],
        _about("Whether a loss or gradient that is not finite stops the run, or its step is skipped."),
    ] = "stop"
    max_skips: Annotated[int, _about("Consecutive skipped steps before the run stops.", ge=1)] = 10
    max_skip_share: Annotated[
        float, _about("Maximum fraction of skipped steps in an epoch before the run stops.", gt=0, le=1)
    ] = 1.0
    max_grad_norm: Annotated[
        float, _about("Gradient norm above which a step is skipped; 0 for no limit.", ge=0)
    ] = 0.0
    check_inputs: Annotated[bool, _about("Check each batch for NaN and infinity before its step.")] = False

    # Run: how long, where, and what is kept.

    run_id: Annotated[str | None, _about("Name of the run; its files are written to RUNS_DIR/RUN_ID.")] = None
    runs_dir: Annotated[str, _about("Folder of runs with an id.")] = "runs"
    run_dir: Annotated[
        str | None, _about("Folder of a run without a run_id; the last checkpoint is DIR/checkpoint.pt.")
    ] = None
    run_contract: Annotated[bool, _about("Strict contract mode; run_id switches it on as well.")] = False
    parity_policy: Annotated[
        Literal["fail", "warn", "off"] | None,
        _about(
            "What happens when the exported ONNX file differs from the trained model; off exports nothing, "
            "null is fail in strict contract mode and warn without."
        ),
    ] = None
    config_version: Annotated[int | None, _about("Version of the config file; switches strict mode on.")] = (
        None
    )
    resume: Annotated[bool, _about("Continue from the last checkpoint of the run.")] = False
    epochs: Annotated[Positive | None, _about("Epochs to train.")] = 12
    max_steps: Annotated[
        Positive | None,
        _about("Optimizer steps to train; the run ends at epochs or max_steps, whichever comes first."),
    ] = None
    max_minutes: Annotated[
        Above0 | None,
        _about("Time limit, including final validation and checkpoint; the schedule still goes by steps."),
    ] = None
    seed: Annotated[int, _about("Seed of all random generators of the run.", ge=0)] = 42
    deterministic: Annotated[bool, _about("Use deterministic algorithms only.")] = False
    device: Annotated[str | None, _about("cpu, cuda or cuda:1; null is CUDA if available.")] = None
    amp: Annotated[
        Literal["none", "fp16", "bf16", "auto"],
        _about("Mixed precision; fp16 needs CUDA, auto is fp16 with CUDA and none without."),
    ] = "none"
    compile: Annotated[bool, _about("Compile the model with torch.compile.")] = False
    val_every: Annotated[int, _about("Epochs between validations; 0 validates at the end only.", ge=0)] = 1
    best_metric: Annotated[
        str, _about("Metric that selects the best checkpoint: one of the evaluation, or val_loss.")
    ] = "AP"
    early_stop_patience: Annotated[
        int, _about("Validations without improvement before the run stops; 0 for no early stopping.", ge=0)
    ] = 0
    early_stop_min_delta: Annotated[
        float, _about("Minimum improvement that early stopping counts.", ge=0)
    ] = 0.0
    restore_best: Annotated[bool, _about("Load the best weights into the model when training ends.")] = True
    save_every: Annotated[
        int, _about("Steps between additional checkpoints within an epoch; 0 for none.", ge=0)
    ] = 0
    log_every: Annotated[int, _about("Steps between logged lines of train_metrics.", ge=1)] = 1
    log_with: Annotated[
        list[Literal["wandb", "tensorboard", "mlflow"]] | str,
        _about("Experiment trackers to log to: wandb, tensorboard, mlflow."),
    ] = ""
    project: Annotated[str, _about("Project name in experiment trackers.")] = "anydet"
    checkpoint_out: Annotated[str | None, _about("Path of the last checkpoint, instead of the default.")] = (
        None
    )
    metrics_jsonl: Annotated[str | None, _about("Path of the training metrics, instead of the default.")] = (
        None
    )
    metrics_csv: Annotated[
        str | None, _about("Path of the training metrics as CSV, instead of the default.")
    ] = None
