"""What is installed, as rows for listings. Imports no adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anydet.dataclass import dataclass
from anydet.plugins.manager import Plugins, PluginStatus
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
        note: the adapter's summary, why the plugin is not there, or what else it brings.
    """

    name: str
    tasks: tuple[str, ...]
    capabilities: tuple[str, ...]
    package: str
    version: str
    state: str
    note: str


def adapter_rows(plugins: Plugins) -> list[AdapterRow]:
    """All adapters by name, then the plugins that bring none, with the reason."""
    rows = []
    owners = set()
    for name, spec in sorted(plugins.specs("adapters").items()):
        # Core's own adapters belong to no plugin.
        owner = plugins.owner("adapters", name) or PluginStatus("anydet", "anydet", __version__, "ok")
        owners.add(owner)
        rows.append(
            AdapterRow(
                name, spec.tasks, spec.capabilities, owner.distribution, owner.version, "ok", spec.summary
            )
        )
    for row in plugins.status:
        if row not in owners:
            note = row.reason or f"brings {', '.join(row.provides) or 'events only'}"
            rows.append(AdapterRow(row.name, (), (), row.distribution, row.version, row.state, note))
    return rows


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option of an adapter.

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
