"""What this package offers, as data: it is read whenever anydet starts, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import AdapterSpec, hookimpl


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``rtdetr_pose`` adapter."""
    register(
        AdapterSpec(
            name="rtdetr_pose",
            factory="anydet_rtdetr_pose.adapter:RtdetrPoseAdapter",
            summary="Coloured things by their hue",
            tasks=("detect",),
            capabilities=("predict",),
            options_schema="anydet_rtdetr_pose:options.schema.json",
        )
    )
