"""Options of adapters, views, fusions and methods, and the JSON Schemas that plugins ship for them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from anydet.arguments import MOST_INTEGER, require, require_integer, require_number, require_text
from anydet.errors import OptionError, PluginError, did_you_mean
from anydet.text import quoted, shortened

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from anydet.types import AdapterSettings

_BROKEN = "correct the package that ships it, or install it again"
_CHECKPOINT_TO_OTHERS = frozenset({"model", "model_path", "weights", "checkpoint", "path"})
"""What other tools call the model's file, which is no option of an adapter."""


def load_schema(reference: str | None) -> dict[str, Any]:
    """The JSON Schema at ``package:file``; one that allows no keys where there is none.

    Its ``$ref`` may name another one in the same way, whose keys it has too. Raises ``PluginError`` where it
    is missing, not JSON, or not a schema.
    """
    if reference is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    package, _, name = reference.partition(":")
    try:
        schema: dict[str, Any] = json.loads((files(package) / name).read_text("utf-8"))
        Draft202012Validator.check_schema(schema)
    except (OSError, ValueError, ModuleNotFoundError) as exc:
        raise PluginError(f"options schema {reference} cannot be read: {exc}", fix=_BROKEN) from exc
    except SchemaError as exc:
        raise PluginError(
            f"options schema {reference} is not a JSON Schema: {exc.message}", fix=_BROKEN
        ) from exc
    return _joined(load_schema(schema.pop("$ref")), schema) if "$ref" in schema else schema


def _joined(base: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    # "$ref" alone would not do: additionalProperties sees only keys that stand beside it.
    return {**base, **schema, "properties": {**base["properties"], **schema.get("properties", {})}}


def parse_options(pairs: Iterable[str], flag: str = "--option") -> dict[str, str]:
    """``["key=value", ...]`` to a dictionary; ``nms-iou`` is ``nms_iou``.

    Raises ``OptionError`` for what is no pair, and for a key that is given twice.
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise OptionError(
                f"{flag} {pair!r} is not key=value", fix=f"write {flag} {key.strip() or 'key'}=value"
            )
        name = key.strip().replace("-", "_")
        if name in options:
            raise given_twice(flag, name, options[name], value)
        options[name] = value
    return options


def given_twice(flag: str, name: str, first: str, second: str) -> OptionError:
    """The error of an option that is given twice."""
    return OptionError(
        f"{flag} {name} is given twice, as {quoted(first)} and {quoted(second)}", fix="leave out one of them"
    )


def check_settings(settings: AdapterSettings) -> None:
    """Raise ``OptionError`` where a field of an adapter's settings has the wrong type or value.

    Its options are not looked at: ``check_options`` does that by the adapter's schema.
    """
    for name, text in (("config", settings.config), ("checkpoint", settings.checkpoint)):
        require(text is None or isinstance(text, str), name, text, "a path as text, or None")
    require_text("device", settings.device)
    require_integer("batch_size", settings.batch_size, 1)
    require_number("score_floor", settings.score_floor, 0, 1)
    require_integer("max_detections", settings.max_detections, 1)
    require_integer("seed", settings.seed, 0)


def check_options(
    options: Mapping[str, Any], schema: Mapping[str, Any], *, owner: str, listing: str = "adapters"
) -> dict[str, Any]:
    """Options with text turned into the types of the schema, defaults filled in, in the schema's order.

    Args:
        options: as typed, or of the right types already.
        schema: JSON Schema of an object.
        owner: name of what has them.
        listing: command that shows them: ``anydet LISTING show OWNER``.

    Text is read as JSON, then as YAML (``1e-3``, ``true``, ``[1, 2]``), where the schema does not take it as
    a string. Raises ``OptionError`` naming the key, what it takes and the key that was probably meant.
    """
    require(isinstance(options, Mapping), "options", options, "a mapping of names to values")
    validator = Draft202012Validator(schema)
    properties: Mapping[str, Any] = schema.get("properties", {})
    fix = f"see 'anydet {listing} show {owner}'"
    checked: dict[str, Any] = {k: p["default"] for k, p in properties.items() if "default" in p}
    for key, value in options.items():
        if key not in properties and schema.get("additionalProperties", True) is False:
            known = ", ".join(sorted(properties)) or "none"
            hint = did_you_mean(key, list(properties))
            if listing == "adapters" and key in _CHECKPOINT_TO_OTHERS:
                fix = f"name the model's file by --checkpoint; for options {fix}"
            raise OptionError(f"{owner} has no option {key!r} (known: {known}){hint}", fix=fix)
        checked[key] = typed(value, validator.evolve(schema=properties.get(key, {})))
        if why := unusable(checked[key]):
            raise OptionError(f"{owner} option {key}: {shortened(value)} {why}", fix=fix)
    for error in validator.iter_errors(checked):
        absent = _absent(error)
        if absent:
            raise OptionError(f"{owner} needs option {absent}", fix=fix)
        where = ".".join(map(str, error.absolute_path)) or "options"
        raise OptionError(f"{owner} option {where}: {said(error)}", fix=fix)
    return {key: checked[key] for key in sorted(checked, key=_order(properties))}


def _absent(error: ValidationError) -> str:
    """The options that are required and not given, where that is what is wrong; else an empty string."""
    if error.validator != "required" or error.absolute_path:
        return ""
    required: Any = error.validator_value
    given: Any = error.instance
    return ", ".join(key for key in required if key not in given)


def _order(properties: Mapping[str, Any]) -> Callable[[str], int]:
    """Sort key: the schema's own options in its order, then all others."""
    places = {name: place for place, name in enumerate(properties)}
    return lambda name: places.get(name, len(places))


def typed(value: Any, validator: Validator) -> Any:
    """What text means to a schema: JSON, YAML, or a list with commas; itself where it takes text.

    Args:
        value: as typed, or already of some type.
        validator: of the schema of this one value.
    """
    # Text that the schema takes as text stays text, even where it looks like a number.
    if not isinstance(value, str) or validator.is_valid(value):
        return value
    for read in (json.loads, yaml.safe_load):  # YAML alone would read 1e-3 as text
        try:
            found = read(value)
        except (ValueError, yaml.YAMLError):
            continue
        if not isinstance(found, str):
            return found
    listed = [from_text(word.strip()) for word in value.split(",") if word.strip()]
    return listed if validator.is_valid(listed) else value


def from_text(word: str) -> Any:
    """The JSON value that a text is, else the text itself."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def unusable(value: Any) -> str:
    """Why a number, or one in a list or a mapping, is of no use anywhere; an empty string where none is."""
    if isinstance(value, list | dict):
        found = map(unusable, value.values() if isinstance(value, dict) else value)
        return next(filter(None, found), "")
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not finite"
    return "has more than 64 bits" if isinstance(value, int) and abs(value) > MOST_INTEGER else ""


def said(error: ValidationError) -> str:
    """What is wrong, with what was probably meant: of a key that nobody knows, a choice, or another value."""
    if error.validator != "additionalProperties" or not isinstance(error.schema, Mapping):
        return f"{error.message}{nearest(error)}"
    known, given = error.schema.get("properties", {}), error.instance
    unknown = [key for key in given if key not in known] if isinstance(given, dict) else []
    if not unknown or error.validator_value is not False or "patternProperties" in error.schema:
        return error.message
    names = ", ".join(sorted(known)) or "none"
    return f"no key {quoted(str(unknown[0]))} (known: {names}){did_you_mean(str(unknown[0]), list(known))}"


def nearest(error: ValidationError) -> str:
    """A hint at the choice that was probably meant, or an empty string."""
    if error.validator != "enum" or not isinstance(error.instance, str):
        return ""
    known: Any = error.validator_value
    return did_you_mean(error.instance, [value for value in known if isinstance(value, str)])
