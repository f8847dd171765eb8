"""What is installed, as rows for listings. Imports no adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from anydet.dataclass import dataclass
from anydet.errors import PluginError, did_you_mean
from anydet.plugins.manager import ADAPTATION, Plugins, PluginStatus, noun
from anydet.plugins.specs import TTTMethodSpec
from anydet.version import __version__


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter, or one plugin that brings none.

    Attributes:
        name: of the adapter; of the plugin where it brings none.
        tasks: what it predicts.
        capabilities: what it can do.
        package: installed distribution it comes from.
        version: the distribution's.
        state: of the plugin: "ok", "failed" or "skipped".
        note: the adapter's summary and what else its plugin brings, or why the plugin is not there.
        fix: what to do about a plugin that failed, or an empty string.
    """

    name: str
    tasks: tuple[str, ...]
    capabilities: tuple[str, ...]
    package: str
    version: str
    state: str
    note: str
    fix: str = ""


def adapter_rows(plugins: Plugins) -> list[AdapterRow]:
    """All adapters by name, then the plugins that bring none, with the reason."""
    rows = []
    owners = set()
    for name, spec in sorted(plugins.specs("adapters").items()):
        # Core's own adapters belong to no plugin.
        owner = plugins.owner("adapters", name) or PluginStatus("anydet", "anydet", __version__, "ok")
        owners.add(owner)
        others = [what for what in owner.provides if not what.startswith("adapter ")]
        brings = f"its package also brings {', '.join(others)}" if others else ""
        note = "; ".join(part for part in (spec.summary, brings) if part)
        rows.append(
            AdapterRow(name, spec.tasks, spec.capabilities, owner.distribution, owner.version, "ok", note)
        )
    for row in plugins.status:
        if row not in owners:
            note = row.reason or f"brings {', '.join(row.provides) or 'events only'}"
            rows.append(AdapterRow(row.name, (), (), row.distribution, row.version, row.state, note, row.fix))
    return rows


@dataclass(frozen=True, slots=True)
class AdaptationRow:
    """A view, a fusion or a method of test-time training.

    Attributes:
        name: as it is registered.
        kind: "view", "fusion" or "TTT method".
        package: installed distribution it comes from.
        version: the distribution's.
        summary: what it does.
        presets: of a method, names that ``--ttt-preset`` takes.
        settings: of a method, flags ``--ttt-...`` that it uses.
    """

    name: str
    kind: str
    package: str
    version: str
    summary: str
    presets: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def adaptation_rows(plugins: Plugins) -> list[AdaptationRow]:
    """All views, then all fusions, then all methods."""
    return [_adaptation_row(plugins, kind, name) for kind in ADAPTATION for name in plugins.specs(kind)]


def find_adaptation(
    plugins: Plugins, name: str, kinds: Sequence[str] = ADAPTATION
) -> list[tuple[AdaptationRow, str | None]]:
    """What is called ``name``, of each of the kinds that has it, and its options schema.

    Raises ``PluginError`` that lists what is known where nothing is.
    """
    found = [
        (_adaptation_row(plugins, kind, name), plugins.spec(kind, name).options_schema)
        for kind in kinds
        if name in plugins.specs(kind)
    ]
    if not found:
        known = [known for kind in kinds for known in plugins.specs(kind)]
        nouns = [noun(kind) for kind in kinds]
        for kind in set(ADAPTATION) - set(kinds):
            if plugins.has(kind, name):
                raise PluginError(
                    f"{name!r} is a {noun(kind)}, not a {' or '.join(nouns)}",
                    fix=f"see 'anydet adaptation show {name}'",
                )
        raise PluginError(
            f"no {', '.join(nouns[:-1])} or {nouns[-1]} called {name!r} (known: {', '.join(known)})"
            + did_you_mean(name, known),
            fix="run 'anydet adaptation list' to see what is installed",
        )
    return found


def _adaptation_row(plugins: Plugins, kind: str, name: str) -> AdaptationRow:
    owner = plugins.owner(kind, name) or PluginStatus("anydet", "anydet", __version__, "ok")
    spec = plugins.spec(kind, name)
    row = AdaptationRow(name, noun(kind), owner.distribution, owner.version, spec.summary)
    if not isinstance(spec, TTTMethodSpec):
        return row
    return replace(row, presets=tuple(spec.presets), settings=tuple(spec.settings))


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option of an adapter, a view, a fusion or a method.

    Attributes:
        name: what stands before "=" in ``--option key=value``.
        type: what it takes.
        default: as JSON knows it; ``None`` where there is none.
        description: what it does.
    """

    name: str
    type: str
    default: Any
    description: str


def option_rows(schema: Mapping[str, Any]) -> list[OptionRow]:
    """The options that an adapter's JSON Schema allows, in its order."""
    definitions = schema.get("$defs", {})
    rows = []
    for name, option in schema.get("properties", {}).items():
        # What stands beside a reference, such as the description, wins over what it refers to.
        resolved = {**definitions.get(option.get("$ref", "").removeprefix("#/$defs/"), {}), **option}
        row = OptionRow(name, accepted(resolved), resolved.get("default"), resolved.get("description", ""))
        rows.append(row)
    return rows


def accepted(schema: Mapping[str, Any]) -> str:
    """What a schema takes, in a few words: ``integer or null``, ``a|b``, ``list of number``."""
    if "enum" in schema:
        return "|".join("null" if value is None else str(value) for value in schema["enum"])
    for joint in ("anyOf", "oneOf"):
        if joint in schema:
            return " or ".join(map(accepted, schema[joint]))
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        return f"list of {accepted(schema['items'])}"
    return kind if isinstance(kind, str) else " or ".join(kind)
