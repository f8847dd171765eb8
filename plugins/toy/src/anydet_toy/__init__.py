"""What this plugin offers, as data: importing it imports neither NumPy nor the detector."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import AdapterSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``toy`` adapter."""
    register(
        AdapterSpec(
            name="toy",
            factory="anydet_toy.adapter:ToyAdapter",
            summary="Detects the shapes of 'anydet synth' by color and connected components",
            tasks=("detect", "segment"),
            capabilities=("predict",),
            options_schema="anydet_toy:options.schema.json",
        )
    )
