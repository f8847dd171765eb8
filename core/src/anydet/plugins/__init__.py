"""What plugin authors import: cheap, no numpy, no torch.

``Adapter`` is the base class of adapters; it is imported on first use because it needs numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import (
    AdapterSpec,
    CommandSpec,
    DatasetSpec,
    EngineSpec,
    EvaluatorSpec,
    FusionSpec,
    LayoutSpec,
    SceneSpec,
    TTTMethodSpec,
    ViewSpec,
)

if TYPE_CHECKING:
    from anydet.plugins.adapter import Adapter

__all__ = [
    "Adapter",
    "AdapterSpec",
    "CommandSpec",
    "DatasetSpec",
    "EngineSpec",
    "EvaluatorSpec",
    "FusionSpec",
    "LayoutSpec",
    "SceneSpec",
    "TTTMethodSpec",
    "ViewSpec",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name == "Adapter":
        from anydet.plugins.adapter import Adapter

        return Adapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
