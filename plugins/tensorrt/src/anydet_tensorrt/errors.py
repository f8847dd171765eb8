"""What can go wrong between an ONNX model and the predictions of its engine."""

from __future__ import annotations

from anydet.errors import AnydetError
from anydet.runtime.errors import ModelError


class LibraryError(AnydetError):
    """TensorRT, TensorRT-RTX or cuda-bindings is not installed, or there is no GPU."""


class BuildError(ModelError):
    """TensorRT cannot build an engine of a model with these settings."""


class StaleEngineError(ModelError):
    """An engine is not for this GPU, this version of TensorRT or this ONNX model."""
