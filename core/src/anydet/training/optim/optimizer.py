"""``build_optimizer``: parameter groups with their learning rates and weight decays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from anydet.errors import OptionError, TrainingError
from anydet.training.config.settings import TrainSettings
from anydet.training.task import TrainingTask

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_NORM_NAME = re.compile(r"Norm(\dd)?$")
"""Norms of other packages (``LlamaRMSNorm``) are known by the name of their class only."""


def build_optimizer(task: TrainingTask, settings: TrainSettings) -> Optimizer:
    """The optimizer of all parameters of ``task.model`` that require a gradient.

    Raises:
        OptionError: nothing is left to train, or ``nesterov`` is on without momentum.
        TrainingError: the model's ``module_names`` name a module twice, or one that it does not have.
    """
    parts = task.model.module_names() if settings.use_param_groups else {}
    groups = parameter_groups(task.model, parts, settings)
    if not groups:
        raise OptionError(
            "nothing to train: no parameter of the model requires a gradient",
            fix="freeze less of the model",
        )
    if settings.optimizer == "adamw":
        return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)
    if settings.nesterov and not settings.momentum:
        raise OptionError("nesterov needs a momentum above 0", fix="--momentum 0.9, or leave --nesterov out")
    return SGD(
        groups,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
    )


def parameter_groups(
    model: nn.Module, parts: Mapping[str, Sequence[str]], settings: TrainSettings
) -> list[dict[str, Any]]:
    """Each trained parameter in exactly one group of ``params``, ``name``, ``lr`` and ``weight_decay``.

    A group is named by its part, and ``<part>/no_decay`` holds the part's biases and norms where they are
    excluded. Parameters of no part are in ``other``, whose multipliers are 1. Frozen ones are in none.

    Args:
        model: whose parameters are trained.
        parts: ``{"backbone": [...], "neck": [...], "head": [...]}``, names of modules; the neck has the
            head's multipliers, a part of another name has multipliers 1.
        settings: learning rate, weight decay, their multipliers, and what is excluded.

    Raises:
        TrainingError: a module or parameter stands in two places, or is not the model's.
    """
    part_of = _parts_of_parameters(model, parts)
    groups: dict[str, dict[str, Any]] = {}
    for name, module, parameter in _parameters(model):
        if not parameter.requires_grad:
            continue
        part = part_of.get(id(parameter), "other")
        multipliers = "head" if part == "neck" else part
        decays = not _excluded(name, module, settings)
        group = groups.setdefault(
            part if decays else f"{part}/no_decay",
            {
                "params": [],
                "lr": settings.lr * getattr(settings, f"{multipliers}_lr_mult", 1.0),
                "weight_decay": settings.weight_decay
                * getattr(settings, f"{multipliers}_wd_mult", 1.0)
                * decays,
            },
        )
        group["params"].append(parameter)
    # Sorted: torch matches a saved optimizer state to groups by position alone.
    return [{"name": name, **groups[name]} for name in sorted(groups)]


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """(its own name, the module that holds it, parameter), a shared one once."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            # torch refuses a parameter that is in two groups.
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, module, parameter


def _excluded(name: str, module: nn.Module, settings: TrainSettings) -> bool:
    """``bias`` may be a part of a name: attention has ``in_proj_bias``, recurrent layers ``bias_ih_l0``."""
    norm = isinstance(module, _NORMS) or _NORM_NAME.search(type(module).__name__) is not None
    return (settings.wd_exclude_bias and "bias" in name) or (settings.wd_exclude_norm and norm)


def _parts_of_parameters(model: nn.Module, parts: Mapping[str, Sequence[str]]) -> dict[int, str]:
    """Id of a parameter -> its part."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    modules = dict(model.named_modules())
    listed = [name for part in parts.values() for name in part]
    if unknown := [name for name in listed if name not in modules]:
        raise _wrong_parts(f"the model has no module {unknown[0]!r}")
    if len(set(listed)) < len(listed):
        raise _wrong_parts("a module is listed twice")
    part_of: dict[int, str] = {}
    for part, own in parts.items():
        for parameter in (p for name in own for p in modules[name].parameters()):
            if part_of.setdefault(id(parameter), part) != part:
                first = part_of[id(parameter)]
                raise _wrong_parts(f"{names[id(parameter)]} is in {first!r} and in {part!r}")
    return part_of


def _wrong_parts(problem: str) -> TrainingError:
    return TrainingError(
        f"module_names of the model: {problem}",
        fix="name each module once, or train without --use-param-groups",
    )
