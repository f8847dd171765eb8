"""BOP data sets and pose scenes for anydet. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import DatasetSpec, hookimpl


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """The format ``bop``."""
    register(
        DatasetSpec(
            "bop",
            "anydet_bop.format:FORMAT",
            "BOP scenes: <split>/000000/scene_gt.json beside rgb/, and models/",
        )
    )
