"""The contract's JSON Schema, which is the normative text."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

VERSION = 1
"""The newest version of the contract that this program knows."""


@cache
def load_schema() -> dict[str, Any]:
    """``schemas/predictions.schema.json``, as it travels with the package."""
    from importlib.resources import files  # brings temporary files and archives, which most files never need

    text = (files("anydet") / "schemas" / "predictions.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def validator(definition: str | None = None) -> Draft202012Validator:
    """A validator of whole documents, or of one definition in them (a name in ``$defs``, such as "entry")."""
    from jsonschema import Draft202012Validator  # takes longer to import than most files take to read

    schema = load_schema()
    if definition is not None:
        schema = {"$schema": schema["$schema"], "$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    return Draft202012Validator(schema)
