"""Values of a run's keys, checked against the schema of all keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from anydet.errors import OptionError, did_you_mean
from anydet.plugins.catalog import accepted
from anydet.plugins.options import said, typed, unusable
from anydet.text import shortened
from anydet.training.config.keys import ALIASES, known_as

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

FLAG = "flag"
"""Origin of what was typed."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value and its origin.

    Attributes:
        value: text or typed.
        origin: as in ``Run.origins``.
        place: for messages: ``--lr``, ``train.yaml:3: lr``.
    """

    value: Any
    origin: str
    place: str


def check_values(layer: Mapping[str, Given], schema: Mapping[str, Any], adapter: str) -> dict[str, Given]:
    """The values of one layer with text turned into the types of the schema.

    Args:
        layer: key -> value as it was given.
        schema: of all keys, as ``keys.join_schema`` makes it.
        adapter: registered name, for messages.

    Raises:
        OptionError: at the first key that is unknown or has a wrong value; states where it stands, what it
            takes, and what was probably meant.
    """
    validator = Draft202012Validator(schema)
    checked = {}
    for key, given in layer.items():
        if key not in schema["properties"]:
            raise _unknown(key, given, schema["properties"], adapter)
        part = schema["properties"][key]
        inner = validator.evolve(schema=part)
        value = _as_list(typed(given.value, inner), part, inner)
        if why := unusable(value):
            raise OptionError(f"{given.place}: {shortened(given.value)} {why}", fix=_see(adapter))
        for error in inner.iter_errors(value):
            raise OptionError(f"{given.place}: {_fault(error, part)}", fix=_see(adapter))
        checked[key] = replace(given, value=value)
    return checked


def _as_list(value: Any, part: Mapping[str, Any], validator: Validator) -> Any:
    """Text of a key that takes a list or text (``1000,2000``) as that list."""
    kinds = part.get("anyOf", ())
    if not isinstance(value, str) or [kind.get("type") for kind in kinds] != ["array", "string"]:
        return value
    found = typed(value, validator.evolve(schema=kinds[0])) if value.strip() else []
    return found.split(",") if isinstance(found, str) else found  # words that are no items: a fault


def check_whole(values: Mapping[str, Any], schema: Mapping[str, Any], adapter: str) -> None:
    """Raise ``OptionError`` for what an adapter's schema forbids of several keys together."""
    for error in Draft202012Validator(schema).iter_errors(values):
        where = ".".join(map(str, error.absolute_path))
        raise OptionError(
            f"training keys of {adapter}: {where + ': ' if where else ''}{said(error)}", fix=_see(adapter)
        )


def _fault(error: ValidationError, part: Mapping[str, Any]) -> str:
    """What is wrong with a value, where in it, and what the key takes."""
    where = "".join(f".{step}" for step in error.absolute_path).lstrip(".")
    wrong = f"{error.instance!r} is none of what it takes" if error.context else said(error)
    return f"{where + ': ' if where else ''}{wrong} (takes {accepted(part)})"


def _unknown(key: str, given: Given, known: Mapping[str, Any], adapter: str) -> OptionError:
    other = known_as(key, known)
    hint = f"; its name here is {other!r}" if other else did_you_mean(key, [*known, *ALIASES])
    error = OptionError(
        f"{given.place}: neither the engine nor adapter {adapter!r} has this key{hint}",
        fix=_see(adapter),
    )
    if given.origin == FLAG:
        error.exit_code = 2  # a flag that is none is wrong usage
    return error


def _see(adapter: str) -> str:
    return f"see 'anydet train --help', and 'anydet adapters show {adapter}' for the adapter's own keys"
