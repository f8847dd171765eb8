"""Backbone, neck and head of the live model: statistics, filters and distillation stand on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from anydet.plugins.adapter import Adapter
from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.live_model import live_model, reached_parameters

GROUPS = ("backbone", "neck", "head")


def module_names_cover_the_model(subject: AdapterSubject) -> None:
    """``module_names`` has backbone, neck and head, and each parameter is in exactly one of them."""
    subject.require("features")
    with subject.adapter() as adapter:
        _, model = live_model(adapter)
        groups = adapter.module_names()
        assert tuple(groups) == GROUPS, f"the keys are {tuple(groups)}; give {GROUPS}"
        modules = dict(model.named_modules())
        for group, names in groups.items():
            unknown = [name for name in names if name not in modules]
            assert not unknown, f"{group} names {unknown[0]!r}, which is no module of get_model()"
        owners = {id(parameter): set[str]() for parameter in model.parameters()}
        for group, names in groups.items():
            for parameter in (p for name in names for p in modules[name].parameters()):
                owners[id(parameter)].add(group)
        for name, parameter in model.named_parameters():
            found = sorted(owners[id(parameter)])
            assert len(found) == 1, f"{name} is in {found or 'none'}; put its module into exactly one"


def features_have_contract_shapes(subject: AdapterSubject) -> None:
    """``features`` gives the same levels for each batch: finite (B, C, h, w) of ``backbone`` and ``neck``."""
    subject.require("features")
    with subject.adapter() as adapter:
        torch, _ = live_model(adapter)
        levels: dict[str, int] = {}
        for batch in adapter.build_loader(subject.records(), batch_size=2):
            with torch.no_grad():
                found = adapter.features(batch)
            for name, level in found.items():
                group, _, rest = name.partition(".")
                assert group in GROUPS[:2] and rest, (  # noqa: PT018
                    f"a level is called {name!r}; call it backbone.<level> or neck.<level>"
                )
                assert isinstance(level, torch.Tensor) and level.ndim == 4 and len(level) == len(batch), (  # noqa: PT018
                    f"{name} has shape {tuple(getattr(level, 'shape', ()))}; give (B, C, h, w) with "
                    f"B = {len(batch)}"
                )
                fits = level.shape[2] <= batch.shape[2] and level.shape[3] <= batch.shape[3]
                assert fits, f"{name} is {tuple(level.shape[2:])} for inputs of {tuple(batch.shape[2:])}"
                finite = level.is_floating_point() and bool(torch.isfinite(level).all())
                assert finite, f"{name} is {level.dtype}, or not finite"
            channels = {name: level.shape[1] for name, level in found.items()}
            assert channels, "there is no level; give those of backbone and neck"
            assert channels == (levels or channels), (
                f"levels and channels are {channels}, were {levels}; give the same for every batch"
            )
            levels = channels


def features_are_differentiable(subject: AdapterSubject) -> None:
    """Gradients of a level of ``features`` reach the backbone or neck that gives it, never the head."""
    subject.require("features")
    with subject.adapter() as adapter:
        torch, model = live_model(adapter)
        groups = adapter.module_names()
        batch = _first_batch(adapter, subject)
        with torch.no_grad():
            names = list(adapter.features(batch))
        for name in names:
            level = adapter.features(batch)[name]
            assert level.requires_grad, f"{name} carries no gradient; compute it outside torch.no_grad()"
            reached = reached_parameters(model, level.float().square().mean())
            group = name.partition(".")[0]
            own = _learning(model, groups, group) or _learning(model, groups, "backbone")
            assert not own or reached & own, (
                f"no parameter of {group} got a gradient from {name}; compute it with get_model()"
            )
            stray = sorted(reached & _learning(model, groups, "head"))
            assert not stray, f"{name} depends on {stray[0]}, which is the head's; take it before the head"


def features_leave_the_head_out(subject: AdapterSubject) -> None:
    """No module of the head runs for ``features``."""
    subject.require("features")
    with subject.adapter() as adapter:
        torch, model = live_model(adapter)
        batch = _first_batch(adapter, subject)
        with torch.no_grad(), _calls(model, adapter.module_names()) as called:
            adapter.features(batch)
    assert not called, f"{called[0]} ran, which is the head's; stop at the neck"


def _first_batch(adapter: Adapter, subject: AdapterSubject) -> Any:
    return next(iter(adapter.build_loader(subject.records(), batch_size=2)))


def _learning(model: Any, groups: Mapping[str, Sequence[str]], group: str) -> set[str]:
    """Names of the parameters of backbone, neck or head that require a gradient."""
    modules = dict(model.named_modules())
    own = {id(parameter) for name in groups[group] for parameter in modules[name].parameters()}
    return {name for name, p in model.named_parameters() if p.requires_grad and id(p) in own}


@contextmanager
def _calls(model: Any, groups: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Names of modules of the head, and of those below them, that run inside the block."""
    modules, called = dict(model.named_modules()), list[str]()
    heads = [name for name in modules if any(f"{name}.".startswith(f"{h}.") for h in groups["head"])]
    hooks = [modules[n].register_forward_pre_hook(lambda *_, n=n: called.append(n)) for n in heads]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


CHECKS = (
    module_names_cover_the_model,
    features_have_contract_shapes,
    features_are_differentiable,
    features_leave_the_head_out,
)
