"""Config files: YAML or JSON on disk, those that an adapter's package brings, and what a run resolved to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from anydet.errors import OptionError, PluginError, did_you_mean
from anydet.inputs import read_text_bytes, unique_keys
from anydet.outputs import new_file

if TYPE_CHECKING:
    from importlib.abc import Traversable

SUFFIXES = (".yaml", ".yml", ".json")
PACKAGED = "x-configs"
"""Key of a training schema that names ``package:folder`` of the adapter's own config files."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Content of a config file; nothing of it is checked but that it is keys and values.

    Attributes:
        name: path, or name within the adapter's package; for messages.
        values: key as written -> value.
        lines: key as written -> line in the file, where that is known.
        origins: of a resolved config: key -> where its value came from.
    """

    name: str
    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """Where a key stands: ``train.yaml:3: lr``."""
        line = f":{self.lines[key]}" if key in self.lines else ""
        return f"{self.name}{line}: {key}"


def open_config(config: Path | str, adapter_schema: Mapping[str, Any] | None = None) -> ConfigFile:
    """Read a config file by its path, or by its name within the adapter's package.

    Args:
        config: a file; or ``base`` where the package has ``base.yaml`` or ``base.json``.
        adapter_schema: training schema of the adapter, whose ``x-configs`` names their folder in the package.

    Raises:
        OptionError: there is no such file, or it is not keys and values; lists what the package has.
    """
    path = Path(config)
    if path.is_file():
        return read_config(read_text_bytes(path), str(path))
    packaged = packaged_configs(adapter_schema or {})
    name = next((n for n in (str(config), *(f"{config}{s}" for s in SUFFIXES)) if n in packaged), None)
    if name is not None:
        return read_config(packaged[name].read_bytes(), name)
    known = sorted(Path(name).stem for name in packaged)
    listed = f"the adapter brings {', '.join(known)}" if known else "the adapter brings none of its own"
    raise OptionError(
        f"{config}: no such config file ({listed}){did_you_mean(str(config), known)}",
        fix="name a YAML or JSON file, or leave it out and give --adapter and --dataset",
    )


def open_setting(given: Path | str, folder: str, what: str) -> ConfigFile:
    """Read a file of keys by its path, or one that anydet brings by its name.

    Args:
        given: a file; or ``base`` where the folder has ``base.yaml`` or ``base.json``.
        folder: of those that anydet brings, ``package:folder``.
        what: what such a file is called in messages, such as "setting".

    Raises:
        OptionError: there is no such file, or it is not keys and values; lists what anydet brings.
    """
    path, packaged = Path(given), settings_of(folder)
    if path.is_file():
        return read_config(read_text_bytes(path), str(path))
    if str(given) in packaged:
        return read_config(packaged[str(given)].read_bytes(), packaged[str(given)].name)
    names = sorted(packaged)
    raise OptionError(
        f"{given}: no such file, and no {what} of anydet ({', '.join(names)})"
        f"{did_you_mean(str(given), names)}",
        fix=f"name a YAML or JSON file of keys, or one of these {what}s",
    )


def settings_of(folder: str) -> dict[str, Traversable]:
    """Name -> file of the keys in a folder ``package:folder`` of anydet."""
    package, _, name = folder.partition(":")
    entries = (files(package) / name).iterdir()
    return {Path(entry.name).stem: entry for entry in entries if Path(entry.name).suffix in SUFFIXES}


def packaged_configs(adapter_schema: Mapping[str, Any]) -> dict[str, Traversable]:
    """File name -> config file that the adapter's package brings; empty where it brings none.

    Raises ``PluginError`` where its schema names a folder that is not there.
    """
    reference = adapter_schema.get(PACKAGED)
    if reference is None:
        return {}
    package, _, folder = str(reference).partition(":")
    try:
        return {
            entry.name: entry
            for entry in (files(package) / folder).iterdir()
            if Path(entry.name).suffix in SUFFIXES
        }
    except (OSError, ModuleNotFoundError) as exc:
        raise PluginError(
            f"{PACKAGED} of the training schema: {reference} cannot be listed: {exc}",
            fix="correct the package that ships it, or install it again",
        ) from exc


def read_config(content: bytes, name: str) -> ConfigFile:
    """Keys and values of YAML or JSON text.

    Raises ``OptionError`` with the line where it is malformed or has a key twice.
    """
    try:
        text = content.decode("utf-8-sig")
        values, lines = _from_json(text) if name.endswith(".json") else _from_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise OptionError(
            f"{name}{line}: cannot be read: {getattr(exc, 'problem', None) or exc}",
            fix="correct it; a config file is key: value lines, or a JSON object",
        ) from exc
    origins = values.pop("origins", None) or {}
    if not isinstance(origins, dict):
        raise OptionError(f"{name}: origins: expected key: text lines", fix="leave out 'origins'")
    return ConfigFile(name, values, lines, {str(key): str(origin) for key, origin in origins.items()})


def write_config(path: Path, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Write every key with its value and origin; ``open_config`` reads it. The file appears whole."""
    text = yaml.safe_dump(
        {**values, "origins": dict(origins)}, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    with new_file(path) as file:
        file.write(b"# Every key of this run; 'anydet train' takes this file as CONFIG.\n" + text.encode())


def _from_json(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    values = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(values, dict):
        raise ValueError(f"expected an object of keys and values, found {type(values).__name__}")
    return values, {}


def _from_yaml(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    loader = unique_keys(yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        if not isinstance(node, yaml.MappingNode):
            raise ValueError("expected key: value lines")
        lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
        values = loader.construct_document(node)
    finally:
        loader.dispose()
    return {str(key): value for key, value in values.items()}, lines


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} occurs twice")
        found[key] = value
    return found
