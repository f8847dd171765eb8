"""Find, load and report plugins. One bad plugin never takes the others down."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from anydet.dataclass import dataclass
from anydet.errors import AnydetError, PluginError, did_you_mean
from anydet.plugins import builtin, hookspecs
from anydet.plugins.api import check_api
from anydet.plugins.discovery import InstalledPoint, find_points
from anydet.plugins.folder_cache import FolderCache
from anydet.plugins.hook_memory import HookMemory
from anydet.plugins.packages import known_as, package_of, packaged_names
from anydet.plugins.registration import check_spec
from anydet.plugins.specs import (
    CAPABILITIES,
    AdapterSpec,
    CommandSpec,
    DatasetSpec,
    EngineSpec,
    EvaluatorSpec,
    FusionSpec,
    LayoutSpec,
    SceneSpec,
    Spec,
    TTTMethodSpec,
    ViewSpec,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from anydet.plugins.adapter import Adapter
    from anydet.types import AdapterSettings

KINDS: dict[str, type[Spec]] = {
    "adapters": AdapterSpec,
    "datasets": DatasetSpec,
    "scenes": SceneSpec,
    "engines": EngineSpec,
    "evaluators": EvaluatorSpec,
    "views": ViewSpec,
    "fusions": FusionSpec,
    "ttt_methods": TTTMethodSpec,
    "layouts": LayoutSpec,
    "commands": CommandSpec,
}
"""What can be registered: hook ``register_<kind>`` -> the spec it takes."""

_CORE = hookspecs.PROJECT

ADAPTATION = ("views", "fusions", "ttt_methods")
"""Kinds that ``anydet adaptation`` lists and shows."""


# As in ``inspect``, which takes long to import.
_GENERATOR, _COROUTINE = 0x20 | 0x200, 0x80


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """How loading one plugin went; one row of ``anydet adapters list``.

    Attributes:
        name: the entry point's name.
        distribution: the installed package it comes from, "?" where unknown.
        version: the package's version, "?" where unknown.
        state: "skipped" means that ``ANYDET_PLUGINS`` leaves it out.
        provides: what it registered, each as kind and name ("adapter toy", "view mirror").
        hooks: each hook that it implements, with the names that it registers there, if any.
        reason: why it failed or was skipped.
        fix: what to do about it, or an empty string.
    """

    name: str
    distribution: str
    version: str
    state: Literal["ok", "failed", "skipped"]
    provides: tuple[str, ...] = ()
    hooks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reason: str = ""
    fix: str = ""


class Plugins:
    """The plugins of one process, loaded on first use.

    Args:
        points: entry points to load; those of the group ``anydet`` by default. Tests and embedders pass
            their own instead of patching a global.
        only: names of entry points to load, or ``None`` for all.
        strict: raise what a plugin raised instead of reporting it.
        trace: print every hook call and what it gave to stderr.
    """

    def __init__(
        self,
        points: Iterable[InstalledPoint | EntryPoint] | None = None,
        *,
        only: Iterable[str] | None = None,
        strict: bool = False,
        trace: bool = False,
    ) -> None:
        self._given = None if points is None else list(points)
        self._cache = FolderCache.of_user() if points is None else FolderCache(None)
        self._memory = HookMemory(self._cache)
        self._rows: dict[int, PluginStatus] = {}
        self._only = None if only is None else frozenset(only)
        self._strict = strict
        self._specs: dict[str, dict[str, Spec]] = {kind: {} for kind in KINDS}
        self._owners: dict[tuple[str, str], str] = {}
        # (kind, name) -> package -> spec: of a name that several packages register none is chosen in silence.
        self._claims: dict[tuple[str, str], dict[str, Spec]] = {}
        self._ids: dict[str, int] = {}
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        if trace:
            self.manager.trace.root.setwriter(_write_to_stderr)
            self.manager.enable_tracing()
        # Core's own come first, so that no plugin can take one of their names.
        self._register(builtin, _CORE, _CORE)

    @classmethod
    def from_env(cls) -> Plugins:
        """From the environment: ``ANYDET_PLUGINS=a,b``, ``ANYDET_STRICT=1``, ``ANYDET_TRACE=1``."""
        names = os.environ.get("ANYDET_PLUGINS")
        only = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
        return cls(only=only, strict=_flag("ANYDET_STRICT"), trace=_flag("ANYDET_TRACE"))

    @property
    def strict(self) -> bool:
        """Whether what a plugin raises is raised as it is."""
        return self._strict

    @cached_property
    def _points(self) -> Sequence[InstalledPoint | EntryPoint]:
        given = find_points(hookspecs.PROJECT, cache=self._cache) if self._given is None else self._given
        # Sorted, so that the order of what they register does not depend on their folders.
        return sorted(given, key=lambda point: (point.name, point.value))

    @cached_property
    def status(self) -> tuple[PluginStatus, ...]:
        """Load everything once and report how it went, a row per plugin."""
        self._load_all(range(len(self._points)))
        absent = sorted((self._only or frozenset()) - {point.name for point in self._points})
        rows = (replace(self._rows[i], reason=self._shared(i)) for i in sorted(self._rows))
        return (*rows, *map(self._report_absent, absent))

    def _shared(self, position: int) -> str:
        """The reason of a row, with the names that other packages register too."""
        reasons = [self._rows[position].reason]
        for (kind, name), claims in self._claims.items():
            owners = {package: self._owners[kind, f"{package}:{name}"] for package in claims}
            own = [package for package, plugin in owners.items() if self._ids.get(plugin) == position]
            if len(claims) > 1 and own:
                others = ", ".join(sorted(set(claims) - set(own)))
                reasons.append(f"{noun(kind)} {name!r} is also one of {others}: choose {own[0]}:{name}")
        return "; ".join(filter(None, reasons))

    def is_observed(self, event: str) -> bool:
        """Whether a plugin implements the hook of an event."""
        self._load_for(event)
        return bool(getattr(self.manager.hook, event).get_hookimpls())

    def notify(self, event: str, **arguments: Any) -> None:
        """Fire an event that plugins observe, such as ``on_train_step``, at all that are loaded.

        Raises ``PluginError`` that names the plugin and says how to leave it out where one of them raises.
        """
        self._load_for(event)
        hook = getattr(self.manager.hook, event)
        observers = hook.get_hookimpls()
        if not observers:
            hook(**arguments)  # which calls nothing, and is traced
        # One at a time, so that an error names its plugin; in pluggy's order, the last registered first.
        for observer in reversed(observers):
            others = [other.plugin for other in observers if other is not observer]
            try:
                with kept_surroundings():
                    self.manager.subset_hook_caller(event, others)(**arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as exc:  # foreign code: SystemExit and the like too
                if self._strict:
                    raise
                name = observer.plugin_name
                # All that are installed, whether this command needed them or not.
                rest = ",".join(row.name for row in self.status if row.state == "ok" and row.name != name)
                row = self._rows.get(self._ids.get(name, -1))
                known = row is not None and row.distribution != "?"
                package = f" of the package {row.distribution} {row.version}" if row and known else ""
                raise PluginError(
                    f"plugin {name!r}{package} failed in its {event} hook: {_reason(exc)}",
                    fix=f"leave it out: ANYDET_PLUGINS={rest}; ANYDET_STRICT=1 shows the traceback",
                ) from exc

    def observed(self, event: str) -> bool:
        """Whether a plugin implements an event, so that ``notify`` would call anything."""
        self._load_for(event)
        return bool(getattr(self.manager.hook, event).get_hookimpls())

    def specs(self, kind: str) -> dict[str, Any]:
        """Everything registered of a kind (a key of ``KINDS``): core's own first, then plugin by plugin."""
        self._load_for(f"register_{kind}")
        return dict(self._specs[kind])

    def has(self, kind: str, name: str) -> bool:
        """Whether a name is registered; plugins are not loaded for one of core's, as none can take it."""
        if self._strict or self._owners.get((kind, name)) != _CORE:
            self._load_for(f"register_{kind}")
        return self._find(kind, name) is not None

    def _find(self, kind: str, name: str) -> Spec | None:
        """What a name stands for: ``NAME``, or ``PACKAGE:NAME``, which chooses among packages."""
        if name in self._specs[kind]:
            return self._specs[kind][name]
        package, _, bare = name.rpartition(":")
        return self._claims.get((kind, bare), {}).get(package)

    def spec(self, kind: str, name: str) -> Any:
        """One registered spec; raises ``PluginError`` that lists what is known and what failed to load."""
        if self.has(kind, name):
            return self._find(kind, name)
        self.refuse_ambiguous(kind, name)
        known = self.specs(kind)
        if self._only is not None and (left := Plugins(self._given).owner(kind, name)) is not None:
            raise PluginError(
                f"{noun(kind)} {name!r} is of the plugin {left.name!r}, which ANYDET_PLUGINS leaves out",
                fix=f"ANYDET_PLUGINS={','.join([*sorted(self._only), left.name])}",
            )
        broken = "; ".join(f"{row.name}: {row.reason}" for row in self.status if row.state == "failed")
        package, own = package_of(kind, name), known_as(kind, name)
        close = did_you_mean(name, [*known, *packaged_names(kind)])
        meant = f"; did you mean {own!r}?" if own in known else close
        raise PluginError(
            f"no {noun(kind)} called {name!r} (known: {', '.join(sorted(known)) or 'none'})"
            + meant
            + (f"; failed to load: {broken}" if broken else ""),
            fix=f"pip install {package}"
            if package
            else f"run 'anydet {_listing(kind)} list' to see what is installed",
        )

    def refuse_ambiguous(self, kind: str, name: str) -> None:
        """Raise ``PluginError`` with the names to choose from where several packages register a name."""
        claims = self._claims.get((kind, name), {})
        if len(claims) > 1:
            raise PluginError(
                f"several packages register the {noun(kind)} {name!r}: {', '.join(sorted(claims))}",
                fix=f"choose one: {' or '.join(f'{package}:{name}' for package in sorted(claims))}",
            )

    def owner(self, kind: str, name: str) -> PluginStatus | None:
        """The plugin that registered it; ``None`` for what core itself brings."""
        self._load_for(f"register_{kind}")
        owner = self._owners.get((kind, name), "")
        return self._rows.get(self._ids.get(owner, -1))

    def load(self, kind: str, name: str) -> Any:
        """Import what a spec's ``factory`` names; raises ``PluginError`` with the import's error."""
        return self.import_object(self.spec(kind, name).factory, name)

    def import_object(self, path: str, name: str) -> Any:
        """Import ``module:attribute`` for what is registered as ``name``; raises as ``load``."""
        module, _, attribute = path.partition(":")
        with self._foreign(f"{name!r} cannot be imported from {path}"):
            return getattr(importlib.import_module(module), attribute)

    def settings(
        self,
        name: str,
        *,
        options: Iterable[str] | Mapping[str, Any] = (),
        config: str | None = None,
        checkpoint: str | None = None,
        device: str | None = None,
        batch_size: int = 1,
        score_floor: float = 0.0,
        max_detections: int = 100,
        seed: int = 0,
    ) -> AdapterSettings:
        """Settings for the adapter called ``name``, its options checked against its own schema.

        ``options`` are ``key=value`` pairs as typed, or a mapping, completed by the schema; without
        ``device`` it is the one that the adapter's spec states, ``cpu`` of most; the rest is as in
        ``AdapterSettings``. Raises ``OptionError`` where an option is unknown or has the wrong type or value,
        ``PluginError`` where there is no such adapter or its schema cannot be read.
        """
        from anydet.plugins.options import check_settings, parse_options
        from anydet.types import AdapterSettings

        given = options if isinstance(options, Mapping) else parse_options(options)
        settings = AdapterSettings(
            config=_file(config),
            checkpoint=_file(checkpoint),
            device=self._adapter_device(name) if device is None else device,
            batch_size=batch_size,
            score_floor=score_floor,
            max_detections=max_detections,
            seed=seed,
            options=self.options("adapters", name, given),
        )
        check_settings(settings)
        return settings

    def _adapter_device(self, name: str) -> str:
        spec = self.spec("adapters", name)
        return spec.device if isinstance(spec, AdapterSpec) else "cpu"

    def options(self, kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options of something registered, checked against its own schema and completed by its defaults.

        Raises ``OptionError`` where one is unknown or has the wrong type or value, ``PluginError`` where
        nothing of that name is registered or its schema cannot be read.
        """
        from anydet.plugins.options import check_options, load_schema

        schema = load_schema(self.spec(kind, name).options_schema)
        return check_options(given, schema, owner=name, listing=_listing(kind))

    def adapter(self, name: str, settings: AdapterSettings) -> Adapter:
        """Import and build the adapter called ``name``; whatever goes wrong there is an ``AnydetError``."""
        from anydet.plugins.adapter import Adapter
        from anydet.types import AdapterSettings

        adapter = self.build("adapters", name, settings)
        if not isinstance(adapter, Adapter):
            raise PluginError(
                f"the factory of adapter {name!r} returned {type(adapter).__name__}, not an Adapter",
                fix="derive its class from anydet.plugins.Adapter",
            )
        if not isinstance(getattr(adapter, "settings", None), AdapterSettings):
            raise PluginError(
                f"adapter {name!r} has no settings",
                fix="call super().__init__(settings) where it is built, and leave self.settings as they are",
            )
        # Under the name that was given, which says of which package it is where that matters.
        adapter.spec = replace(self.spec("adapters", name), name=name)
        owner = self.owner("adapters", name)
        adapter.version = owner.version if owner else None
        adapter.peers = {
            capability: [n for n, spec in self.specs("adapters").items() if capability in spec.capabilities]
            for capability in CAPABILITIES
        }
        return adapter

    def build(self, kind: str, name: str, settings: Any) -> Any:
        """What the factory of something registered makes of its settings; errors as in ``adapter``."""
        factory = self.load(kind, name)
        with self._foreign(f"{noun(kind)} {name!r} cannot be set up"):
            return factory(settings)

    def blame(self, exc: BaseException) -> PluginError | None:
        """The error for what was raised within a plugin's package; ``None`` for what is no plugin's.

        The last guard: calls into plugins have their own, which know what they were for.
        """
        if self._strict:
            return None
        packages = {point.value.partition(":")[0].partition(".")[0]: point for point in self._points}
        for frame, _ in reversed(list(walk_tb(exc.__traceback__))):
            module = frame.f_globals.get("__name__", "")
            point = packages.get(module.partition(".")[0])
            if point is not None:
                return PluginError(
                    f"plugin {point.name!r} failed in {module}.{frame.f_code.co_name}: {_reason(exc)}",
                    fix="ANYDET_STRICT=1 shows the traceback; report it to the plugin's author",
                )
        return None

    def _load_for(self, hook: str) -> None:
        """Load the plugins that implement a hook, as far as that is known without loading them."""
        if self._strict:
            _ = self.status
            return
        left = [(i, point) for i, point in enumerate(self._points) if i not in self._rows]
        hooks = {i: self._memory.hooks(point) for i, point in left}
        # Lists name plugins in one order, whichever hook is called first: all before the last one of which
        # nothing is known are loaded, too. One that was refused is not remembered.
        unknown = max((i for i, known in hooks.items() if known is None), default=-1)
        self._load_all(i for i, known in hooks.items() if i <= unknown or hook in (known or ()))

    def _load_all(self, positions: Iterable[int]) -> None:
        """Load those of ``_points`` at these positions that are not loaded."""
        for i in positions:
            if i not in self._rows:
                self._rows[i] = self._load(i)
        self._memory.save()

    def _load(self, position: int) -> PluginStatus:
        point = self._points[position]
        distribution, version = _origin(point)
        row = partial(PluginStatus, point.name, distribution, version)
        if self._only is not None and point.name not in self._only:
            return row("skipped", reason="not in ANYDET_PLUGINS")
        try:
            with kept_surroundings():
                module = point.load()
                if point.name == _CORE:
                    raise PluginError(
                        f"an entry point called {_CORE!r} is anydet's own; it needs another name"
                    )
                package = point.name if distribution == "?" else distribution
                plugin = f"{package}:{point.name}" if self.manager.has_plugin(point.name) else point.name
                found = self._register(module, plugin, package)
                self._ids[plugin] = position
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # foreign code: SystemExit and the like too
            if self._strict:
                raise
            return row("failed", reason=_reason(exc), fix=exc.fix if isinstance(exc, AnydetError) else "")
        hooks = [caller.name for caller in self.manager.get_hookcallers(module) or ()]
        self._memory.learn(point, hooks)
        provides = tuple(f"{noun(kind)} {spec.name}" for kind, spec in found)
        return row("ok", provides=provides, hooks=_by_hook(hooks, found))

    def _report_absent(self, name: str) -> PluginStatus:
        reason = "named in ANYDET_PLUGINS but not installed" + did_you_mean(
            name, [point.name for point in self._points]
        )
        if self._strict:
            raise PluginError(f"plugin {name!r}: {reason}", fix="pip list shows what is installed")
        return PluginStatus(name, "?", "?", "failed", reason=reason)

    def _register(self, module: object, name: str, package: str) -> list[tuple[str, Spec]]:
        if self.manager.has_plugin(name):
            raise PluginError(f"another installed package already registers a plugin called {name!r}")
        # Before pluggy sees it, whose errors would be about hooks as another API has them.
        check_api(module)
        self.manager.register(module, name=name)
        try:
            self._check_hooks(module)
            found = self._collect(module, package)
        except BaseException:
            self.manager.unregister(name=name)
            raise
        # Only when all of it is checked: a plugin that fails halfway leaves nothing registered.
        for kind, spec in found:
            self._claim(kind, spec, name, package)
        return found

    def _claim(self, kind: str, spec: Spec, plugin: str, package: str) -> None:
        claims = self._claims.setdefault((kind, spec.name), {})
        claims[package] = spec
        self._owners[kind, f"{package}:{spec.name}"] = plugin
        if len(claims) == 1:
            self._specs[kind][spec.name] = spec
            self._owners[kind, spec.name] = plugin
            return
        self._specs[kind].pop(spec.name, None)
        self._owners.pop((kind, spec.name), None)
        self._specs[kind].update({f"{owner}:{spec.name}": claim for owner, claim in claims.items()})

    def _check_hooks(self, module: object) -> None:
        """Refuse misspelled hooks, and modules that forgot to mark theirs."""
        callers = self.manager.get_hookcallers(module) or []
        if not callers:
            raise PluginError("it implements no hook; mark them with @anydet.plugins.hookimpl")
        try:
            # pluggy accepts a function under an unknown name and never calls it, unless it is checked.
            self.manager.check_pending()
        except pluggy.PluginValidationError as exc:
            unknown = next(caller.name for caller in callers if not caller.has_spec())
            known = [name for name, caller in vars(self.manager.hook).items() if caller.has_spec()]
            raise PluginError(f"unknown hook {unknown!r}{did_you_mean(unknown, known)}") from exc
        for caller in callers:
            for hook in caller.get_hookimpls():
                if hook.plugin is module and not (hook.hookwrapper or hook.wrapper):
                    _refuse_deferred(caller.name, hook.function)

    def _collect(self, module: object, package: str) -> list[tuple[str, Spec]]:
        """What one plugin registers, checked, as (kind, spec)."""
        found: list[tuple[str, Spec]] = []
        others = [p for p in self.manager.get_plugins() if p is not module]
        for kind in KINDS:
            specs: list[Spec] = []
            # Of this plugin alone, so that an error is its own and takes no other plugin down.
            self.manager.subset_hook_caller(f"register_{kind}", others)(register=specs.append)
            for spec in specs:
                self._check(kind, spec, package, [s for k, s in found if k == kind])
                found.append((kind, spec))
        return found

    def _check(self, kind: str, spec: Spec, package: str, found: list[Spec]) -> None:
        check_spec(f"register_{kind}", KINDS[kind], spec)
        claims = self._claims.get((kind, spec.name), {})
        if package in claims or spec.name in {other.name for other in found}:
            raise PluginError(f"{noun(kind)} {spec.name!r} is registered twice by {package}")
        if _CORE in claims:
            raise PluginError(f"{noun(kind)} {spec.name!r} is one of anydet itself; it needs another name")

    @contextmanager
    def _foreign(self, problem: str) -> Iterator[None]:
        """Run a plugin's code: its prints go to stderr, what it raises becomes a ``PluginError``."""
        try:
            with kept_surroundings():
                yield
        except (AnydetError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as exc:  # foreign code: SystemExit and the like too
            if self._strict:
                raise
            raise PluginError(
                f"{problem}: {_reason(exc)}",
                fix="install what it needs; ANYDET_STRICT=1 shows where it happened"
                if isinstance(exc, ImportError)
                else "ANYDET_STRICT=1 shows where it happened; report it to the plugin's author",
            ) from exc


def _by_hook(
    hooks: Iterable[str], found: Iterable[tuple[str, Spec]]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names that each hook registers, in the order of the hooks' specifications."""
    order = [name for name in vars(hookspecs) if name in set(hooks)]
    return tuple((hook, tuple(s.name for kind, s in found if f"register_{kind}" == hook)) for hook in order)


@contextmanager
def kept_surroundings() -> Iterator[None]:
    """Run foreign code: stdout stays for the data that a command writes, and relative paths stay true."""
    try:
        folder = Path.cwd()
    except OSError:  # it was removed, and no relative path is true
        folder = None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)


def _origin(point: InstalledPoint | EntryPoint) -> tuple[str, str]:
    """Name and version of the package an entry point comes from, "?" where its metadata does not say."""
    if isinstance(point, InstalledPoint):
        return point.distribution, point.version
    dist = point.dist
    if dist is None:
        return "?", "?"
    metadata = dist.metadata  # parsed at each access
    name = metadata["Name"] if "Name" in metadata else "?"  # noqa: SIM401 (it is no mapping)
    version = metadata["Version"] if "Version" in metadata else "?"  # noqa: SIM401
    return name, version


def _file(path: str | None) -> str | None:
    """The path of a file, also of what comes through a pipe; a name that is no path stays."""
    from anydet.inputs import as_file, keep

    if not isinstance(path, str) or not path:
        return path
    keep(Path(path))
    return str(as_file(Path(path)))


def noun(kind: str) -> str:
    """One of a kind, in words: "view", "TTT method"."""
    return kind.removesuffix("s").replace("_", " ").replace("ttt", "TTT")


def _listing(kind: str) -> str:
    """The command that lists what is registered of a kind; ``plugins list`` has all that packages bring."""
    return "adaptation" if kind in ADAPTATION else "adapters" if kind == "adapters" else "plugins"


def _refuse_deferred(hook: str, function: Any) -> None:
    """Refuse a hook whose body does not run when it is called, so that it would register nothing."""
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if flags & (_GENERATOR | _COROUTINE):
        kind = "generator" if flags & _GENERATOR else "coroutine"
        raise PluginError(
            f"its hook {hook} is a {kind}, whose body would never run; make it a plain function"
        )


def _write_to_stderr(text: str) -> None:
    sys.stderr.write(text)


def _flag(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def _reason(exc: BaseException) -> str:
    """What was raised, in one line."""
    return " ".join((exc.problem if isinstance(exc, AnydetError) else described(exc)).split())


def described(exc: BaseException) -> str:
    """Type and text of an exception, whose text may fail, too."""
    try:
        text = str(exc)
    except Exception as error:  # foreign code
        text = f"(its text failed: {type(error).__name__})"
    return f"{type(exc).__name__}: {text}"
