"""``adapt``: the settings of a run become LoRA layers in its task, and what is trained beside them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from anydet.errors import OptionError, TrainingError
from anydet.outputs import write_file
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
from anydet.training.lora.quantized import quantize
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


def adapt(task: TrainingTask, run: Run, *, write: bool = True) -> Adapted:
    """Put LoRA into the task's model, choose what is trained, and let its weights be saved apart.

    Rows of classes that the first weights do not know, and heads that these lack, are random: a low-rank
    change of random weights learns little, so they are trained as a whole, and get no LoRA.

    Args:
        task: as it was built; nothing happens to it without ``lora_r``.
        run: its settings; a resumed run has the layers that it began with.
        write: whether the run's files may be written: the base, and ``lora.json``.

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
    spec = _resumed(run) if run.settings.resume else _chosen(task, run, write=write)
    whole = None if spec.whole is None else set(spec.whole)
    insert(task.model, spec)
    if whole is not None:
        for live, parameter in task.model.named_parameters():
            name = plain_name(live)
            parameter.requires_grad_(is_lora(name) or (parameter.requires_grad and name in whole))
    spec, note = _quantized(task.model, spec, run.settings)
    task.weights = LoraWeights(spec)
    hooks = [] if whole is None else [FrozenNorms(_learned_norms(task.model, whole))]
    lines = [_said(task.model, spec), *([note] if note else [])]
    if write and is_main_process():
        report = {**spec.as_dict(), "parameters": _sizes(task.model), "says": lines}
        write_file(run.paths.lora_report, json.dumps(report, indent=2) + "\n")
    return Adapted(hooks, lines)


def _quantized(model: nn.Module, spec: LoraSpec, settings: TrainSettings) -> tuple[LoraSpec, str]:
    """Quantize what the settings, or a run that goes on, want; what was done, or why not, as a line."""
    kind = settings.torchao_quant
    if kind == "none" and settings.qlora:
        kind = "int4wo"
    if settings.resume:
        kind = spec.quantized  # it may have begun where weights could not be quantized
    if kind == "none":
        return spec, ""
    try:
        found = quantize(model, kind)
        if not found.names:
            raise OptionError(
                f"{kind}: the model has no frozen linear layer that can be quantized"
                + (f" ({found.left})" if found.left else ""),
                fix="leave --qlora and --torchao-quant out",
            )
    except OptionError as exc:
        if settings.torchao_required or settings.resume:
            raise
        return spec, f"the base is NOT quantized: {exc.problem} ({exc.fix})"
    whole = sum(p.numel() for name, p in model.named_parameters() if ".lora_" not in name)
    line = (
        f"{kind}: {found.numbers} of the base's {whole} numbers are quantized ({found.numbers / whole:.1%}): "
        f"{counted(len(found.names), 'weight')} of frozen linear layers"
    )
    line += f"; {found.left}" if found.left else ""
    if kind == "int4wo":
        line += "; 4-bit numbers are kept in bytes, as torchao packs them for CUDA and bfloat16 alone"
    return replace(spec, quantized=kind, rounded=found.names), line


def _resumed(run: Run) -> LoraSpec:
    lora = load_checkpoint(run.paths.last).lora
    if lora is None:
        raise TrainingError(
            f"{run.paths.last}: the run began without LoRA", fix="resume with --lora-r 0, or begin a new run"
        )
    return lora.spec


def _chosen(task: TrainingTask, run: Run, *, write: bool) -> LoraSpec:
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
    _require_lower_rank(model, names, settings.lora_r)
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
    base, changed = _base(task, run, write=write)
    return replace(spec, whole=tuple(whole), base=base, changed=tuple(dict.fromkeys([*changed, *whole])))


def _require_lower_rank(model: nn.Module, names: Sequence[str], rank: int) -> None:
    """Raise ``OptionError`` where no weight has the rank; LoRA would hold more numbers than the weights."""
    shapes = [model.get_parameter(name).flatten(1).shape for name in names]
    most = max(min(shape) for shape in shapes)
    if rank > most:
        raise OptionError(
            f"lora_r {rank} is above the rank of all weights that it adapts, which is at most {most}",
            fix=f"use 4 to 64, and at most --lora-r {most}",
        )


def _nothing_to_adapt(model: nn.Module, settings: TrainSettings, random: Collection[str]) -> OptionError:
    counts = {name: count for name, count in count_layers(model, random).items() if count}  # type: ignore[arg-type]
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
    # All names of each: a file of the layers alone must not take the base's under another one.
    named = dict(model.named_parameters(remove_duplicate=False))
    wanted = set(random)
    if settings.lora_train_bias == "all":
        wanted |= {name for name in named if name.rpartition(".")[2] in _BIASES}
    statistics = [name for name, _ in model.named_buffers() if name in wanted]
    parameters = [name for name in named if name in wanted - set(adapted)]
    return [name for name in parameters if named[name].requires_grad] + statistics


def _base(task: TrainingTask, run: Run, *, write: bool) -> tuple[Base, list[str]]:
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
    if write and is_main_process():
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
    """How many layers of which size."""
    sizes = _sizes(model)
    line = (
        f"LoRA of rank {spec.r} on {counted(len(spec.weights), 'weight')}: {sizes['lora']} parameters beside "
        f"{sizes['base']} of the base ({sizes['lora'] / sizes['base']:.2%})"
    )
    if spec.whole is None:
        return f"{line}; the base is trained, too"
    return f"{line}; {sizes['whole']} of the base are trained as a whole" if sizes["whole"] else line


def _sizes(model: nn.Module) -> dict[str, int]:
    """Numbers of parameters: of LoRA, of the base, and of the base that are trained."""
    named = [(is_lora(plain_name(name)), parameter) for name, parameter in model.named_parameters()]
    return {
        "lora": sum(parameter.numel() for lora, parameter in named if lora),
        "base": sum(parameter.numel() for lora, parameter in named if not lora),
        "whole": sum(parameter.numel() for lora, parameter in named if not lora and parameter.requires_grad),
    }
