"""``read_description``: what a checkpoint says of its model, as a typed object of the model family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_type_hints

import msgspec

from anydet.errors import TrainingError

T = TypeVar("T")


def read_description(description: Any, kind: type[T], *, source: str, adapter: str) -> T:
    """The object that a description is of.

    Args:
        description: plain data, as ``TrainingTask.description`` gives it.
        kind: a dataclass or ``msgspec.Struct``; limits of values are ``msgspec.Meta`` in its types.
        source: the file, for messages.
        adapter: registered name of the adapter that reads it.

    Raises:
        TrainingError: a key is missing or unknown, or a value has another type or is beyond its limits.
    """
    unknown = next(_unknown(description, kind), None)
    if unknown is not None:
        raise broken_description(f"unknown key {unknown!r:.100}", source=source, adapter=adapter)
    try:
        return msgspec.convert(description, kind)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise broken_description(f"{exc!s:.200}", source=source, adapter=adapter) from exc


def broken_description(problem: str, *, source: str, adapter: str) -> TrainingError:
    """The error for a description that is of no model that the adapter could build."""
    return TrainingError(
        f"{source}: describes no model of {adapter}: {problem}",
        fix=f"give a checkpoint that 'anydet train --adapter {adapter}' wrote; if a newer version wrote it, "
        "update anydet and its plugins",
    )


def _unknown(values: Any, kind: Any, above: str = "") -> Iterator[str]:
    """Keys that no field has; msgspec refuses those of structs, and passes over those of dataclasses."""
    if not (is_dataclass(kind) and isinstance(values, Mapping)):
        return
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key in hints:
            yield from _unknown(value, hints[key], f"{above}{key}.")
        else:
            yield f"{above}{key}"
