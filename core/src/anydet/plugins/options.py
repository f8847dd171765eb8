"""Options and the JSON Schemas that adapters ship for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from anydet.errors import OptionError, PluginError, did_you_mean


def load_schema(reference: str | None) -> dict[str, Any]:
    """The JSON Schema at ``package:file``; one that allows no keys where there is none."""
    if reference is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    package, _, name = reference.partition(":")
    try:
        schema: dict[str, Any] = json.loads((files(package) / name).read_text("utf-8"))
    except (OSError, ValueError, ModuleNotFoundError) as exc:
        raise PluginError(f"options schema {reference} cannot be read: {exc}") from exc
    return schema


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """``["key=value", ...]`` to a dictionary; the last of a repeated key wins."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise OptionError(f"--option {pair!r} is not key=value")
        options[key.strip().replace("-", "_")] = value
    return options


def check_options(options: Mapping[str, Any], schema: Mapping[str, Any], *, owner: str) -> dict[str, Any]:
    """Options with text turned into what the schema asks for, defaults filled in.

    Text is read as YAML (``0.65``, ``true``, ``[1, 2]``) where the schema does not take it as a string.
    Raises ``OptionError`` naming the key, what it takes and the key that was probably meant.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    fix = f"see 'anydet adapters show {owner}'"
    checked: dict[str, Any] = {k: p["default"] for k, p in properties.items() if "default" in p}
    for key, value in options.items():
        if key not in properties and schema.get("additionalProperties", True) is False:
            known = ", ".join(sorted(properties)) or "none"
            hint = did_you_mean(key, list(properties))
            raise OptionError(f"{owner} has no option {key!r} (known: {known}){hint}", fix=fix)
        checked[key] = _typed(value, properties.get(key, {}))
    for error in Draft202012Validator(schema).iter_errors(checked):
        where = ".".join(map(str, error.absolute_path)) or "options"
        raise OptionError(f"{owner} option {where}: {error.message}", fix=fix)
    return checked


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or Draft202012Validator(schema).is_valid(value):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value
