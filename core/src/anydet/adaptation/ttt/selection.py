"""Which parameters and which norms a method changes: filters, and patterns of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from anydet.errors import OptionError, did_you_mean
from anydet.plugins.specs import UPDATE_FILTERS
from anydet.text import counted

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """Names that count: those that ``include`` has, without those that ``exclude`` has.

    A pattern is the name of a part of the model ("backbone"), a name with or without all that is below it
    ("backbone.body.layer1"), or has wildcards ("*.norm?.weight").

    Attributes:
        parts: "backbone", "neck" and "head" -> names of their modules; empty where the adapter names none.
        include: patterns, of which one must match; ``None`` matches all.
        exclude: patterns, of which none may match; ``None`` matches nothing.
    """

    parts: Mapping[str, Sequence[str]]
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None

    def has(self, name: str) -> bool:
        """Whether the name of a module, a parameter or a buffer counts."""
        included = self.include is None or any(self._matches(name, pattern) for pattern in self.include)
        return included and not any(self._matches(name, pattern) for pattern in self.exclude or ())

    def _matches(self, name: str, pattern: str) -> bool:
        roots = self.parts.get(pattern, (pattern,))
        return any(name == root or name.startswith(f"{root}.") or fnmatchcase(name, root) for root in roots)


def select_parameters(model: nn.Module, update_filter: str, scope: Scope) -> dict[str, nn.Parameter]:
    """Name -> parameter, of floating-point numbers, that the filter and the scope choose.

    ``norm_only`` takes weights and biases of batch, group, instance, layer and RMS norms, ``adapter_only``
    parameters with "adapter" or "adaptor" in their names, ``lora_only`` those with "lora_".
    """
    norms = {
        f"{name}.{own}" for name, module in _norms(model) for own, _ in module.named_parameters(recurse=False)
    }
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point() and _passes(name, update_filter, norms) and scope.has(name)
    }


def require_parameters(
    model: nn.Module, update_filter: str, scope: Scope, *, method: str
) -> dict[str, nn.Parameter]:
    """``select_parameters``; raises ``OptionError`` that says what the model has where nothing is chosen."""
    chosen = select_parameters(model, update_filter, scope)
    if chosen:
        return chosen
    everything = Scope(scope.parts)
    there = {known: len(select_parameters(model, known, everything)) for known in UPDATE_FILTERS}
    unscoped = there[update_filter]
    limits = "" if scope.include is None else f" in {', '.join(scope.include)}"
    limits += "" if scope.exclude is None else f" without {', '.join(scope.exclude)}"
    has = ", ".join(f"{name} {count}" for name, count in there.items())
    if unscoped:
        fix = f"change --ttt-include or --ttt-exclude: {update_filter} has {unscoped} elsewhere"
    else:
        others = [name for name in ("norm_only", "adapter_only", "lora_only") if there[name]]
        fix = f"choose --ttt-update-filter {' or '.join([*others, 'all'])}"
    raise OptionError(
        f"{method} has nothing to change: update filter {update_filter}{limits} selects none of the model's "
        f"{counted(there['all'], 'parameter')} ({has})",
        fix=fix,
    )


def select_statistics(model: nn.Module, scope: Scope) -> dict[str, nn.Module]:
    """Name -> norm with running statistics that the scope chooses, also of frozen ones.

    Recognized by the buffers ``running_mean`` and ``running_var``: torchvision's and timm's frozen norms are
    no subclasses of torch's.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if getattr(module, "running_mean", None) is not None
        and getattr(module, "running_var", None) is not None
        and scope.has(name)
    }


def check_patterns(model: nn.Module, scope: Scope) -> None:
    """Raise ``OptionError`` where a pattern matches nothing of the model."""
    names = [name for name, _ in model.named_parameters()] + [name for name, _ in model.named_modules()]
    for flag, patterns in (("include", scope.include), ("exclude", scope.exclude)):
        for pattern in patterns or ():
            single = Scope(scope.parts, (pattern,))
            if not any(single.has(name) for name in names if name):
                known = [*scope.parts, *(name for name, _ in model.named_children())]
                raise OptionError(
                    f"--ttt-{flag} {pattern!r} matches no parameter and no module of the model"
                    + did_you_mean(pattern, known),
                    fix=f"parts and modules are {', '.join(dict.fromkeys(known))}; wildcards are * and ?",
                )


def shorten(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _norms(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        # By name, too: model families bring norms of their own, such as those of channels first.
        if isinstance(module, _NORMS) or type(module).__name__.lower().endswith(("norm", "norm2d")):
            yield name, module


def _passes(name: str, update_filter: str, norms: set[str]) -> bool:
    lora = "lora_" in name.lower()
    return {
        "all": True,
        "norm_only": name in norms,
        "adapter_only": "adapter" in name.lower() or "adaptor" in name.lower(),
        "lora_only": lora,
        "lora_norm_only": lora or name in norms,
    }[update_filter]
