"""``adapt``: the settings of a run become LoRA layers in its task, and what is trained beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from anydet.errors import OptionError, TrainingError
from anydet.text import counted
from anydet.training.checkpoints.checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from anydet.training.checkpoints.plain_data import digest
from anydet.training.config.settings import TrainSettings
from anydet.training.devices.torchrun import is_main_process
from anydet.training.hooks import LoopState, TrainingHook
from anydet.training.lora.layers import count_layers, find_layers, insert, require_peft, same_weights
from anydet.training.lora.spec import Base, LoraSpec, is_lora, plain_name
from anydet.training.run import Run
from anydet.training.task import TrainingTask
from anydet.training.weights import LoraWeights

_BIASES = ("bias", "in_proj_bias")


@dataclass(frozen=True, slots=True)
class Adapted:
    """What a run with LoRA does beside, and says.

    Attributes:
        hooks: around its steps.
        lines: printed at its start.
    """

    hooks: Sequence[TrainingHook] = ()
    lines: Sequence[str] = ()


class FrozenNorms(TrainingHook):
    """Norms of a frozen base use the statistics that they have learned, and collect none.

    The base stays what it was, to the bit, and the layers learn on what predictions will be made with.

    Args:
        norms: in evaluation mode from the first step on.
    """

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        self.norms = tuple(norms)

    def before_step(self, loop: LoopState) -> None:
        """Each time, as an epoch begins in training mode."""
        del loop
        for norm in self.norms:
            norm.training = False


def adapt(task: TrainingTask, run: Run) -> Adapted:
    """Put LoRA into the task's model, choose what is trained, and let its weights be saved apart.

    Rows of classes that the first weights do not know, and heads that these lack, are random: a low-rank
    change of random weights learns little, so they are trained as a whole, and get no LoRA.

    Args:
        task: as it was built; nothing happens to it without ``lora_r``.
        run: its settings; a resumed run has the layers that it began with.

    Raises:
        OptionError: nothing was learned that could be adapted, the target means no layer, the adapter cannot
            have LoRA, or peft is not installed.
        TrainingError: the checkpoint that a run goes on with has no LoRA.
    """
    if not run.settings.lora_r:
        return Adapted()
    require_peft()
    if task.no_lora:
        raise OptionError(f"lora_r: {run.adapter} {task.no_lora}", fix="leave --lora-r out, or what it names")
    spec = _resumed(run) if run.settings.resume else _chosen(task, run)
    whole = None if spec.whole is None else set(spec.whole)
    insert(task.model, spec)
    if whole is not None:
        for live, parameter in task.model.named_parameters():
            name = plain_name(live)
            parameter.requires_grad_(is_lora(name) or (parameter.requires_grad and name in whole))
    task.weights = LoraWeights(spec)
    hooks = [] if whole is None else [FrozenNorms(_learned_norms(task.model, whole))]
    return Adapted(hooks, [_said(task.model, spec)])


def _resumed(run: Run) -> LoraSpec:
    lora = load_checkpoint(run.paths.last).lora
    if lora is None:
        raise TrainingError(
            f"{run.paths.last}: the run began without LoRA", fix="resume with --lora-r 0, or begin a new run"
        )
    return lora.spec


def _chosen(task: TrainingTask, run: Run) -> LoraSpec:
    """The layers that the settings mean, and the base, which is written where no checkpoint holds it."""
    settings, model, first = run.settings, task.model, task.first_weights
    if first is None:
        raise OptionError(
            "lora_r adapts weights that have learned, and this run begins with random ones",
            fix="add --checkpoint RUN, or the adapter's own key for first weights",
        )
    random = first.fresh | first.partly
    layers = find_layers(model, settings.lora_target, random)
    if not layers:
        raise _nothing_to_adapt(model, settings, random)
    names = [name for layer in layers for name in layer.weights]
    spec = LoraSpec(
        r=settings.lora_r,
        alpha=settings.lora_alpha or float(settings.lora_r),
        dropout=settings.lora_dropout,
        weights=same_weights(model, names),
        whole=None,
    )
    if not settings.lora_freeze_base:
        return spec
    whole = _trained_whole(model, settings, random, names)
    base, changed = _base(task, run)
    return replace(spec, whole=tuple(whole), base=base, changed=tuple(dict.fromkeys([*changed, *whole])))


def _nothing_to_adapt(model: nn.Module, settings: TrainSettings, random: Collection[str]) -> OptionError:
    counts = {name: count for name, count in count_layers(model).items() if count}  # type: ignore[arg-type]
    has = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none at all"
    known = " that has learned before" if random else ""
    others = [name for name in counts if name != settings.lora_target]
    return OptionError(
        f"lora_target {settings.lora_target} means no layer of this model{known} (layers: {has})",
        fix=f"choose --lora-target {' or '.join(others)}" if others else "leave --lora-r out",
    )


def _trained_whole(
    model: nn.Module, settings: TrainSettings, random: Collection[str], adapted: Collection[str]
) -> list[str]:
    """Names of parameters that are trained beside LoRA: random ones, their norms, and biases if asked for."""
    wanted = set(random)
    if settings.lora_train_bias == "all":
        wanted |= {name for name, _ in model.named_parameters() if name.rpartition(".")[2] in _BIASES}
    statistics = [name for name, _ in model.named_buffers() if name in wanted]
    parameters = [name for name, p in model.named_parameters() if name in wanted - set(adapted)]
    return [name for name in parameters if model.get_parameter(name).requires_grad] + statistics


def _base(task: TrainingTask, run: Run) -> tuple[Base, list[str]]:
    """The checkpoint that the model began with, and the names of its tensors that are others by now.

    Weights of another program, of which no checkpoint of anydet can be made from the file alone, are
    written beside the run's.
    """
    own = task.model.state_dict()
    saved = _checkpoint(run) if run.settings.checkpoint else None
    if saved is not None:
        changed = [
            name
            for name, tensor in own.items()
            if name not in saved.model or not torch.equal(tensor, saved.model[name].to(tensor))
        ]
        return Base(str(Path(saved.source).resolve()), digest(dict(saved.model))), changed
    path = run.paths.base
    if is_main_process():
        plain = {name: tensor.detach().clone() for name, tensor in own.items()}
        save_checkpoint(path, Checkpoint(run.adapter, plain, task.description(), task.classes.names))
    return Base(path.name, digest(dict(own))), []


def _checkpoint(run: Run) -> Checkpoint | None:
    """That of ``--checkpoint``; ``None`` for a file of another program, which a model family may read."""
    try:
        return load_checkpoint(find_checkpoint(str(run.settings.checkpoint)), adapter=run.adapter)
    except TrainingError:
        return None


def _learned_norms(model: nn.Module, whole: Collection[str]) -> list[nn.Module]:
    """Norms with running statistics that are not random."""
    return [
        module
        for name, module in model.named_modules()
        if getattr(module, "running_mean", None) is not None and f"{name}.running_mean" not in whole
    ]


def _said(model: nn.Module, spec: LoraSpec) -> str:
    """``LoRA of rank 4 on 38 weights: 0.3% of the weights are trained (61 k of 20.1 M)``."""
    sizes: Mapping[str, Tensor] = dict(model.named_parameters())
    total = sum(p.numel() for p in sizes.values())
    trained = sum(p.numel() for p in sizes.values() if p.requires_grad)
    low_rank = sum(p.numel() for name, p in sizes.items() if is_lora(plain_name(name)))
    beside = trained - low_rank
    line = (
        f"LoRA of rank {spec.r} on {counted(len(spec.weights), 'weight')}: {low_rank} parameters of "
        f"{total - low_rank} of the base ({low_rank / (total - low_rank):.2%})"
    )
    if spec.whole is None:
        return f"{line}; the base is trained, too"
    return f"{line}; {beside} of the base are trained as a whole" if beside else line
