"""What plugin authors import: cheap, no numpy, no torch.

``hookimpl`` and the specs are here at once, as a package's ``__init__`` needs them. All other names, those of
``AUTHORS``, are imported from their modules on first use, because they need numpy, and some of them torch or
OpenCV: import them where the work is done. ``docs/reference/hooks.md`` says what each is.
"""

from __future__ import annotations

from typing import Any

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

# Without most of AUTHORS: ``import *`` would import torch.
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

AUTHORS: dict[str, tuple[str, ...]] = {
    "anydet.types": (
        "AdapterSettings",
        "ClassTable",
        "ImagePredictions",
        "DetectionColumns",
        "GroundTruthColumns",
    ),
    "anydet.data.record.record": ("Record",),
    "anydet.data.dataset.protocols": ("Dataset", "DatasetFormat"),
    "anydet.plugins.adapter": (
        "Adapter",
        "AdapterNotes",
        "ClassLogits",
        "RowValues",
        "Masking",
        "TrainResult",
    ),
    "anydet.plugins.preprocess": ("Preprocess",),
    "anydet.plugins.export": ("ExportSpec", "ModelDescription", "ModelOutput"),
    "anydet.prediction.hooks": (
        "View",
        "ViewSettings",
        "Fusion",
        "FusionSettings",
        "ViewResult",
        "TTTMethod",
        "TTTSettings",
        "TTTDescription",
    ),
    "anydet.evaluation.evaluator": ("Evaluator", "Engine", "EngineParams", "EngineArrays"),
    "anydet.evaluation.results": ("Measured",),
    "anydet.evaluation.tables": ("Table",),
    "anydet.training.adapter": ("TorchAdapter",),
    "anydet.training.model": ("TorchModel", "NamedRows"),
    "anydet.training.predictor": ("BatchPredictor",),
    "anydet.training.task": ("TrainingTask", "StepOutput"),
    "anydet.training.batches.sample": ("Sample",),
    "anydet.training.run": ("Run",),
    "anydet.training.hooks": ("TrainingHook",),
    "anydet.training.extra_loss": ("ExtraLoss",),
    "anydet.training.first_weights": ("start_from", "FirstWeights", "Names"),
    "anydet.training.checkpoints.checkpoint": ("Checkpoint", "load_checkpoint"),
    "anydet.training.checkpoints.description": ("read_description",),
    "anydet.runtime.adapter": ("RuntimeAdapter",),
    "anydet.runtime.loaded": ("LoadedModel",),
    "anydet.runtime.layouts.layout_file": ("LayoutFile",),
}
"""Module -> names in it that authors need; types of all of them are in ``__init__.pyi``."""

_HOME = {name: module for module, names in AUTHORS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOME})
