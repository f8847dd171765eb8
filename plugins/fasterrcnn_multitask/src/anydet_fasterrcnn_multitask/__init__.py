"""What this package offers, as data: it is read whenever anydet starts, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import AdapterSpec, hookimpl


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``fasterrcnn_multitask`` adapter."""
    register(
        AdapterSpec(
            name="fasterrcnn_multitask",
            factory="anydet_fasterrcnn_multitask.adapter:FasterrcnnMultitaskAdapter",
            summary="Coloured things by their hue",
            tasks=("detect",),
            capabilities=("predict",),
            options_schema="anydet_fasterrcnn_multitask:options.schema.json",
        )
    )
