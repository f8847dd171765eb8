"""anydet: one predictions contract, any detector.

``load_adapter``, ``make_recipe``, ``open_dataset``, ``export_predictions``, ``read_predictions``,
``to_columns``, ``validate``, ``evaluate``, ``parity``, ``fuse``, ``train`` and ``export_onnx`` do what the
commands do; ``select``, ``to_pandas``, ``to_supervision`` and ``show`` are for scripts and notebooks.
``Meter`` evaluates inside a training loop, and ``patch_pycocotools`` changes what evaluates in
other packages. They are imported on first use, so that ``import anydet`` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anydet.version import __version__ as __version__

if TYPE_CHECKING:
    from anydet.api import (
        evaluate,
        export_onnx,
        export_predictions,
        fuse,
        load_adapter,
        make_recipe,
        open_dataset,
        parity,
        read_predictions,
        to_columns,
        train,
        validate,
    )
    from anydet.meter import Meter
    from anydet.notebook import select, show, to_pandas, to_supervision
    from anydet.pycocotools.patching import patch_pycocotools

__all__ = [
    "Meter",
    "evaluate",
    "export_onnx",
    "export_predictions",
    "fuse",
    "load_adapter",
    "make_recipe",
    "open_dataset",
    "parity",
    "patch_pycocotools",
    "read_predictions",
    "select",
    "show",
    "to_columns",
    "to_pandas",
    "to_supervision",
    "train",
    "validate",
]
_HOMES = dict.fromkeys(("select", "show", "to_pandas", "to_supervision"), "anydet.notebook")
_HOMES |= {"Meter": "anydet.meter", "patch_pycocotools": "anydet.pycocotools.patching"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(_HOMES.get(name, "anydet.api")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
