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
    "on_nonfinite": "Guards",
    "run_id": "Run",
}
"""First key of each section of ``TrainSettings`` -> its heading in help and reference."""


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys of the engine, checked and typed."""

    # Model: who is trained, and from where it starts.

    adapter: Annotated[str | None, _about("Who is trained; see 'anydet adapters list'.")] = None
    checkpoint: Annotated[str | None, _about("First weights: a file, or the folder of a run.")] = None
    adapter_options: Annotated[
        dict[str, Any], _about("What --option says to the adapter, as when it predicts.")
    ] = msgspec.field(default_factory=dict)

    # Data: what is trained on, how it is read and how it is changed.

    dataset: Annotated[str | None, _about("Training data set: a folder or file that anydet reads.")] = None
    split: Annotated[str | None, _about("Split to train on; the first of the usual ones that exists.")] = None
    val_dataset: Annotated[str | None, _about("Validation data set; null takes the training data set.")] = (
        None
    )
    val_split: Annotated[str | None, _about("Split to validate on; null takes val, where there is one.")] = (
        None
    )
    max_images: Annotated[Positive | None, _about("Only the first so many training images.")] = None
    batch_size: Annotated[int, _about("Images a process sees at once.", ge=1)] = 4
    num_workers: Annotated[int, _about("Processes that read and augment; 0 does it in the loop.", ge=0)] = 2
    prefetch_factor: Annotated[int, _about("Batches each worker reads ahead.", ge=1)] = 2
    pin_memory: Annotated[bool | None, _about("Page-locked batches; null means with CUDA.")] = None
    shuffle: Annotated[bool, _about("New order of images each epoch.")] = True
    hflip_prob: Annotated[float, _about("Share of images mirrored left to right.", ge=0, le=1)] = 0.0
    color_jitter: Annotated[
        float, _about("Brightness, contrast, saturation within 1 +- this; hue a tenth.", ge=0, lt=1)
    ] = 0.0
    scale_jitter: Annotated[
        float, _about("Scale within 1/(1 + this) to 1 + this, on a canvas of the same size.", ge=0)
    ] = 0.0
    crop_prob: Annotated[float, _about("Share of images cut to a random window.", ge=0, le=1)] = 0.0
    mosaic_prob: Annotated[float, _about("Share of images made of four.", ge=0, le=1)] = 0.0

    # Optimizer: how weights move.

    optimizer: Annotated[Literal["adamw", "sgd"], _about("Who moves the weights.")] = "adamw"
    lr: Annotated[float, _about("Base learning rate.", gt=0)] = 1e-4
    weight_decay: Annotated[float, _about("Base weight decay.", ge=0)] = 0.01
    momentum: Annotated[float, _about("Momentum of SGD.", ge=0, lt=1)] = 0.9
    nesterov: Annotated[bool, _about("Nesterov momentum; SGD only.")] = False
    use_param_groups: Annotated[bool, _about("Backbone and head get their own multipliers.")] = False
    backbone_lr_mult: Annotated[float, _about("Learning rate of the backbone, times this.", ge=0)] = 1.0
    head_lr_mult: Annotated[float, _about("Learning rate of the head, times this.", ge=0)] = 1.0
    backbone_wd_mult: Annotated[float, _about("Weight decay of the backbone, times this.", ge=0)] = 1.0
    head_wd_mult: Annotated[float, _about("Weight decay of the head, times this.", ge=0)] = 1.0
    wd_exclude_bias: Annotated[bool, _about("No weight decay on biases.")] = True
    wd_exclude_norm: Annotated[bool, _about("No weight decay on normalization layers.")] = True
    scheduler: Annotated[
        Literal["none", "cosine", "onecycle", "multistep", "plateau"],
        _about("How the learning rate moves; plateau looks at each validation, the others at each step."),
    ] = "none"
    min_lr: Annotated[float, _about("The learning rate never falls under it.", ge=0)] = 0.0
    scheduler_milestones: Annotated[
        list[int] | str, _about("Steps at which multistep decays: 1000,2000 or a list.")
    ] = ""
    scheduler_gamma: Annotated[float, _about("Decay of multistep.", gt=0, le=1)] = 0.1
    plateau_factor: Annotated[float, _about("Decay of plateau.", gt=0, lt=1)] = 0.5
    plateau_patience: Annotated[int, _about("Validations without progress before plateau decays.", ge=0)] = 3
    lr_warmup_steps: Annotated[int, _about("Steps of linear warm-up.", ge=0)] = 0
    lr_warmup_epochs: Annotated[float, _about("Linear warm-up in epochs, where steps are 0.", ge=0)] = 0.0
    lr_warmup_init: Annotated[float, _about("Learning rate at warm-up step 0.", ge=0)] = 0.0
    gradient_accumulation_steps: Annotated[int, _about("Batches an optimizer step.", ge=1)] = 1
    clip_grad_norm: Annotated[float, _about("Largest norm of all gradients; 0 does not clip.", ge=0)] = 0.0
    use_ema: Annotated[bool, _about("Keep an exponential moving average of weights and buffers.")] = False
    ema_decay: Annotated[
        float, _about("Decay of that average a step; smaller in the first steps.", ge=0, lt=1)
    ] = 0.999
    ema_eval: Annotated[bool, _about("Validate, choose and predict with the average.")] = False

    # Guards: what happens when numbers go wrong.

    on_nonfinite: Annotated[
        Literal["stop", "skip"], _about("A loss or gradient that is not finite ends the run, or is skipped.")
    ] = "stop"
    max_skips: Annotated[int, _about("Steps skipped in a row before the run ends.", ge=1)] = 10
    max_skip_share: Annotated[
        float, _about("Share of steps that may be skipped, judged at each epoch.", gt=0, le=1)
    ] = 1.0
    max_grad_norm: Annotated[
        float, _about("Steps with a larger gradient norm are skipped; 0 allows any.", ge=0)
    ] = 0.0
    check_inputs: Annotated[bool, _about("Look at each batch for NaN and infinity before it is used.")] = (
        False
    )

    # Run: how long, where, and what is kept.

    run_id: Annotated[str | None, _about("Name of the run; its files lie in RUNS_DIR/RUN_ID.")] = None
    runs_dir: Annotated[str, _about("Folder of runs with an id.")] = "runs"
    run_dir: Annotated[str | None, _about("Folder of a run without an id: DIR/checkpoint.pt.")] = None
    run_contract: Annotated[bool, _about("Strict contract mode; run_id switches it on as well.")] = False
    config_version: Annotated[int | None, _about("Version of the config file; switches strict mode on.")] = (
        None
    )
    resume: Annotated[bool, _about("Go on where the run's last checkpoint ends.")] = False
    epochs: Annotated[Positive | None, _about("Passes over the training images.")] = 12
    max_steps: Annotated[
        Positive | None, _about("Optimizer steps; whichever of epochs and steps ends first.")
    ] = None
    max_minutes: Annotated[
        Above0 | None,
        _about("The run ends after so many, validated and saved; learning rates still go by steps."),
    ] = None
    seed: Annotated[int, _about("Owner of every random choice.", ge=0)] = 42
    deterministic: Annotated[bool, _about("Only deterministic algorithms.")] = False
    device: Annotated[str | None, _about("cpu, cuda, cuda:1; null takes CUDA where there is one.")] = None
    amp: Annotated[
        Literal["none", "fp16", "bf16", "auto"],
        _about("Mixed precision; fp16 needs CUDA, auto is fp16 with CUDA and none without."),
    ] = "none"
    compile: Annotated[bool, _about("Run the model through torch.compile.")] = False
    val_every: Annotated[int, _about("Epochs between validations; 0 validates at the end only.", ge=0)] = 1
    best_metric: Annotated[
        str, _about("What the best checkpoint is chosen by: a number of the evaluation, or val_loss.")
    ] = "AP"
    early_stop_patience: Annotated[
        int, _about("Validations without progress before the run ends; 0 never.", ge=0)
    ] = 0
    early_stop_min_delta: Annotated[float, _about("Smaller progress is none.", ge=0)] = 0.0
    restore_best: Annotated[bool, _about("The live model ends with the best weights.")] = True
    save_every: Annotated[int, _about("Steps between checkpoints, beside those of epochs; 0 none.", ge=0)] = 0
    log_every: Annotated[int, _about("Steps between lines of train_metrics.", ge=1)] = 1
    log_with: Annotated[
        list[Literal["wandb", "tensorboard", "mlflow"]] | str,
        _about("Trackers beside the JSONL: wandb, tensorboard, mlflow."),
    ] = ""
    project: Annotated[str, _about("Project name for trackers.")] = "anydet"
    checkpoint_out: Annotated[str | None, _about("Last checkpoint at this path instead.")] = None
    metrics_jsonl: Annotated[str | None, _about("Training metrics at this path instead.")] = None
    metrics_csv: Annotated[str | None, _about("The same as CSV at this path instead.")] = None
