"""Find, load and report plugins. One bad plugin never takes the others down."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from anydet.errors import PluginError, did_you_mean
from anydet.plugins import builtin, hookspecs
from anydet.plugins.specs import (
    API_VERSION,
    CAPABILITIES,
    AdapterSpec,
    CommandSpec,
    DatasetSpec,
    EngineSpec,
    EvaluatorSpec,
    Spec,
    TTTMethodSpec,
    ViewSpec,
)

if TYPE_CHECKING:
    from anydet.plugins.adapter import Adapter
    from anydet.types import AdapterSettings

KINDS: dict[str, type[Spec]] = {
    "adapters": AdapterSpec,
    "datasets": DatasetSpec,
    "engines": EngineSpec,
    "evaluators": EvaluatorSpec,
    "views": ViewSpec,
    "ttt_methods": TTTMethodSpec,
    "commands": CommandSpec,
}
"""What can be registered: hook ``register_<kind>`` -> the spec it takes."""


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """How loading one plugin went; one row of ``anydet adapters list``."""

    name: str
    distribution: str
    version: str
    state: Literal["ok", "failed", "skipped"]
    provides: tuple[str, ...] = ()
    reason: str = ""


class Plugins:
    """The plugins of one process, loaded on first use.

    Args:
        points: entry points to load; those of the group ``anydet`` by default. Tests and embedders pass
            their own instead of patching a global.
        only: names to load, or ``None`` for all.
        strict: raise at the first plugin that fails instead of reporting it.
    """

    def __init__(
        self,
        points: Iterable[EntryPoint] | None = None,
        *,
        only: Iterable[str] | None = None,
        strict: bool = False,
    ) -> None:
        self._points = list(entry_points(group=hookspecs.PROJECT) if points is None else points)
        self._only = None if only is None else frozenset(only)
        self._strict = strict
        self._specs: dict[str, dict[str, Spec]] = {kind: {} for kind in KINDS}
        self._owners: dict[tuple[str, str], str] = {}
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._register(builtin, "anydet")

    @classmethod
    def from_env(cls) -> Plugins:
        """As the environment says: ``ANYDET_PLUGINS=a,b``, ``ANYDET_STRICT=1``, ``ANYDET_TRACE=1``."""
        names = os.environ.get("ANYDET_PLUGINS")
        only = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
        plugins = cls(only=only, strict=_flag("ANYDET_STRICT"))
        if _flag("ANYDET_TRACE"):
            plugins.manager.trace.root.setwriter(sys.stderr.write)
            plugins.manager.enable_tracing()
        return plugins

    @cached_property
    def status(self) -> tuple[PluginStatus, ...]:
        """Load everything once and say how it went, a row per plugin."""
        return tuple(self._load(point) for point in sorted(self._points, key=lambda p: p.name))

    @property
    def hook(self) -> Any:
        """Fires events at all loaded plugins: ``plugins.hook.before_predict(...)``."""
        _ = self.status
        return self.manager.hook

    def specs(self, kind: str) -> dict[str, Any]:
        """Everything registered of a kind (a key of ``KINDS``), by name."""
        _ = self.status
        return dict(sorted(self._specs[kind].items()))

    def spec(self, kind: str, name: str) -> Any:
        """One registered spec; raises ``PluginError`` that lists what is known and what failed to load."""
        known = self.specs(kind)
        if name in known:
            return known[name]
        noun = kind.removesuffix("s").replace("_", " ").replace("ttt", "TTT")
        broken = "; ".join(f"{row.name}: {row.reason}" for row in self.status if row.state == "failed")
        raise PluginError(
            f"no {noun} called {name!r} (known: {', '.join(known) or 'none'})"
            + did_you_mean(name, list(known))
            + (f"; failed to load: {broken}" if broken else ""),
            fix=f"pip install anydet-{name.replace('_', '-')}, then run 'anydet adapters list'",
        )

    def owner(self, kind: str, name: str) -> PluginStatus | None:
        """The plugin that registered it; ``None`` for what core itself brings."""
        plugin = self._owners.get((kind, name))
        return next((row for row in self.status if row.name == plugin), None)

    def load(self, kind: str, name: str) -> Any:
        """Import what a spec's ``factory`` names; raises ``PluginError`` with what the import said."""
        return self._import(self.spec(kind, name))

    def adapter(self, name: str, settings: AdapterSettings) -> Adapter:
        """Import and build the adapter called ``name``."""
        factory = self.load("adapters", name)
        adapter: Adapter = factory(settings)
        adapter.spec = self.spec("adapters", name)
        adapter.peers = {
            capability: [n for n, spec in self.specs("adapters").items() if capability in spec.capabilities]
            for capability in CAPABILITIES
        }
        return adapter

    def _load(self, point: EntryPoint) -> PluginStatus:
        dist, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
        if self._only is not None and point.name not in self._only:
            return PluginStatus(point.name, dist, version, "skipped", reason="not in ANYDET_PLUGINS")
        try:
            provides = self._register(point.load(), point.name)
        except Exception as exc:
            if self._strict:
                raise
            return PluginStatus(point.name, dist, version, "failed", reason=_reason(exc))
        return PluginStatus(point.name, dist, version, "ok", provides=provides)

    def _register(self, module: object, name: str) -> tuple[str, ...]:
        found: list[tuple[str, Spec]] = []
        self.manager.register(module, name=name)
        try:
            self.manager.check_pending()
            others = [p for p in self.manager.get_plugins() if p is not module]
            for kind, spec_type in KINDS.items():
                specs: list[Spec] = []
                self.manager.subset_hook_caller(f"register_{kind}", others)(register=specs.append)
                for spec in specs:
                    self._check(kind, spec_type, spec, [s for k, s in found if k == kind])
                    found.append((kind, spec))
        except BaseException:
            self.manager.unregister(name=name)
            raise
        for kind, spec in found:
            self._specs[kind][spec.name] = spec
            self._owners[kind, spec.name] = name
        return tuple(spec.name for _, spec in found)

    def _check(self, kind: str, spec_type: type[Spec], spec: Spec, found: list[Spec]) -> None:
        if not isinstance(spec, spec_type):
            raise PluginError(f"register_{kind} takes {spec_type.__name__}, got {type(spec).__name__}")
        if spec.api != API_VERSION:
            raise PluginError(f"{spec.name!r} speaks API {spec.api}, this anydet speaks {API_VERSION}")
        taken = {**self._specs[kind], **{s.name: s for s in found}}
        if spec.name in taken:
            owner = self._owners.get((kind, spec.name), "the same plugin")
            raise PluginError(f"the name {spec.name!r} is already taken in {kind} by {owner!r}")
        unknown = sorted(set(getattr(spec, "capabilities", ())) - set(CAPABILITIES))
        if unknown:
            raise PluginError(
                f"{spec.name!r} declares unknown capabilities {unknown}; known: {list(CAPABILITIES)}"
            )

    def _import(self, spec: Spec) -> Any:
        module, _, attribute = spec.factory.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as exc:
            raise PluginError(
                f"{spec.name!r} cannot be imported from {spec.factory}: {_reason(exc)}",
                fix="install what it needs, then run 'anydet adapters list'",
            ) from exc


def _flag(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def _reason(exc: BaseException) -> str:
    return exc.problem if isinstance(exc, PluginError) else f"{type(exc).__name__}: {exc}"
