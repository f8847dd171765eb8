"""The keys of a run: the engine's, and the adapter's own beside them, as one JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from anydet.training.config.settings import SECTIONS, TrainSettings

ALIASES = {"grad_accum": "gradient_accumulation_steps", "dataset_root": "dataset", "use_amp": "amp"}
"""Other names of keys. ``use_amp: true`` means ``amp: fp16``, ``use_amp: false`` has no effect."""


OTHER_NAMES = {
    "backbone": "model.backbone.name",
    "base_lr": "lr",
    "batch": "batch_size",
    "bs": "batch_size",
    "data": "dataset",
    "epoch": "epochs",
    "img_size": "image_size",
    "imgsz": "image_size",
    "iterations": "max_steps",
    "learning_rate": "lr",
    "lr0": "lr",
    "max_iters": "max_steps",
    "num_epochs": "epochs",
    "steps": "max_steps",
    "workers": "num_workers",
}
"""What other trainers call a key -> its name here, for hints."""


def known_as(name: str, properties: Mapping[str, Any]) -> str | None:
    """What a key of another trainer is called here, if a schema with these properties has it."""
    other = OTHER_NAMES.get(name)
    return other if other and other.partition(".")[0] in properties else None


@cache
def engine_properties() -> Mapping[str, Mapping[str, Any]]:
    """Key of the engine -> JSON Schema of its value, with default and description."""
    schema = msgspec.json.schema(TrainSettings)
    properties: Mapping[str, Mapping[str, Any]] = schema["$defs"][TrainSettings.__name__]["properties"]
    return properties


def join_schema(adapter_schema: Mapping[str, Any]) -> dict[str, Any]:
    """One schema of all keys that a run of this adapter takes.

    A key of the engine that the adapter's schema lists as well keeps the engine's type and text and takes the
    adapter's default.
    """
    engine = engine_properties()
    own = adapter_schema.get("properties", {})
    defaults = {key: own[key]["default"] for key in engine if "default" in own.get(key, {})}
    properties = {
        **{
            key: {**part, **({"default": defaults[key]} if key in defaults else {})}
            for key, part in engine.items()
        },
        **own_properties(adapter_schema),
    }
    return {**adapter_schema, "type": "object", "properties": properties, "additionalProperties": False}


def described_schema(adapter_schema: Mapping[str, Any]) -> dict[str, Any]:
    """An adapter's training schema with the engine's keys in it as the engine describes them."""
    joint = join_schema(adapter_schema)["properties"]
    own = adapter_schema.get("properties", {})
    return {**adapter_schema, "properties": {key: joint[key] for key in own}}


def own_properties(adapter_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that an adapter's training schema adds to the engine's."""
    engine = engine_properties()
    return {key: part for key, part in adapter_schema.get("properties", {}).items() if key not in engine}


def canonical(key: str) -> str:
    """A key as settings know it: underscores, no alias."""
    name = str(key).replace("-", "_")
    return ALIASES.get(name, name)


def engine_section(title: str) -> dict[str, Any]:
    """JSON Schema of the engine's keys below one of its headings."""
    keys = section_rows(SECTIONS)[title]
    return {"type": "object", "properties": {key: engine_properties()[key] for key in keys}}


def section_rows(sections: Mapping[str, str]) -> dict[str, list[str]]:
    """Heading -> the engine's keys below it, in their order.

    Args:
        sections: first key of each section -> its heading, as ``settings.SECTIONS``.
    """
    found: dict[str, list[str]] = {}
    title = ""
    for key in engine_properties():
        title = sections.get(key, title)
        found.setdefault(title, []).append(key)
    return found
