"""What a name stands for: a plugin with all that it registers, or something registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from anydet.dataclass import dataclass
from anydet.errors import OptionError, PluginError, did_you_mean
from anydet.plugins.hookspecs import PROJECT
from anydet.plugins.manager import KINDS, Plugins, noun
from anydet.plugins.specs import ConfigurableSpec
from anydet.testing.checks.datasets import DatasetSubject
from anydet.testing.checks.ttt_methods import TTTMethodSubject
from anydet.testing.kit import SET_UP, Outcome
from anydet.testing.kits import KITS


@dataclass(frozen=True, slots=True)
class Chosen:
    """Something registered.

    Attributes:
        kind: a key of ``KINDS``.
        name: as it is registered.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{noun(self.kind)} {self.name}"


def choose(plugins: Plugins, name: str | None, kind: str | None = None) -> list[Chosen]:
    """All that a plugin registers, by its own name or its package's; else all that is registered as ``name``.

    Args:
        plugins: what is installed.
        name: of a plugin, a package, or something registered; "anydet" is what core registers, and
            ``None`` what all installed plugins register.
        kind: only of this kind, or ``None`` for all.

    Raises:
        PluginError: nothing is called so, or the plugin did not load.
    """
    kinds = list(KINDS) if kind is None else [kind]
    if name is None:
        return _of_all(plugins, kinds)
    rows = [row for row in plugins.status if name in {row.name, row.distribution}]
    for row in rows:
        if row.state != "ok":
            raise PluginError(f"plugin {row.name!r} is not loaded: {row.reason}", fix=row.fix or _LIST)
    found = [Chosen(k, known) for k in kinds for known in plugins.specs(k) if _is_of(plugins, k, known, name)]
    if not rows and name != PROJECT:
        found = [Chosen(k, name) for k in kinds if plugins.has(k, name)]
    if not found:
        for k in kinds:
            plugins.refuse_ambiguous(k, name)
        known = [*(row.name for row in plugins.status), *(n for k in kinds for n in plugins.specs(k))]
        of = f" of kind {kind!r}" if kind else ""
        raise PluginError(f"nothing{of} is called {name!r}{did_you_mean(name, known)}", fix=_LIST)
    return found


def check(
    plugins: Plugins,
    chosen: list[Chosen],
    folder: Path,
    *,
    options: Mapping[str, Any] | None = None,
    dataset: Path | None = None,
    adapter: str | None = None,
    needy: bool = False,
) -> Iterator[tuple[Chosen, Outcome]]:
    """Run the kit of each; what cannot be set up has that one outcome.

    Args:
        plugins: what is installed.
        chosen: of ``choose``.
        folder: for files of the checks.
        options: of the one thing that is chosen.
        dataset: a data set that formats are tried on.
        adapter: registered adapter that methods of test-time training are tried on.
        needy: whether what cannot be built without options is skipped, as nobody could give some to all.

    Raises:
        OptionError: options were given for something that has none, or for several things.
    """
    configurable = [c for c in chosen if issubclass(KINDS[c.kind], ConfigurableSpec)]
    if options and (len(configurable), len(chosen)) != (1, 1):
        raise OptionError(
            f"options are given for {', '.join(map(str, chosen))}",
            fix="name one adapter, view, fusion or method, with --kind where several things have its name",
        )
    for one in chosen:
        kit = KITS[one.kind]
        try:
            subject = kit.subject.installed(plugins, one.name, folder / one.kind / one.name, options)
            if needy and one.kind == "adapters":
                subject.set_up()
        except OptionError as exc:
            # A mistake of the user's where options were given; else they are missing.
            if options:
                raise
            state: Literal["FAIL", "skip"] = "skip" if needy else "FAIL"
            yield one, Outcome(SET_UP, state, "It can be built with its own defaults.", exc.problem)
            continue
        except PluginError as exc:
            yield one, Outcome(SET_UP, "FAIL", "It can be imported.", exc.problem)
            continue
        if isinstance(subject, DatasetSubject):
            subject = subject.showing(dataset)
        if isinstance(subject, TTTMethodSubject) and adapter is not None:
            settings = plugins.settings(adapter, batch_size=2, score_floor=0.001)
            subject = subject.adapting(partial(plugins.adapter, adapter, settings))
        for outcome in kit.run(subject):
            yield one, outcome


def _of_all(plugins: Plugins, kinds: list[str]) -> list[Chosen]:
    """What all plugins register; raises ``PluginError`` where one did not load, or there is nothing."""
    for row in plugins.status:
        if row.state == "failed":
            raise PluginError(f"plugin {row.name!r} is not loaded: {row.reason}", fix=row.fix or _LIST)
    found = [
        Chosen(k, known) for k in kinds for known in plugins.specs(k) if plugins.owner(k, known) is not None
    ]
    if not found:
        of = f" of kind {kinds[0]!r}" if len(kinds) == 1 else ""
        raise PluginError(
            f"no installed plugin brings anything{of}", fix="name what to check: anydet plugins check anydet"
        )
    return found


_LIST = "run 'anydet plugins list' to see what is installed"


def _is_of(plugins: Plugins, kind: str, known: str, name: str) -> bool:
    owner = plugins.owner(kind, known)
    return name == PROJECT if owner is None else name in {owner.name, owner.distribution}
