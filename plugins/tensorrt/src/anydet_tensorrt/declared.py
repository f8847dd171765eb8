"""Options of the adapter beside a model that is not run: an engine is built where nothing may run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from anydet.errors import OptionError
from anydet.runtime.adapter import RuntimeAdapter
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo
from anydet.types import AdapterSettings
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.shapes import Profile, with_profile

_DATA = {"preset", "layout"}
"""Options that say how a model is used, where the file does not."""


def check_options(graph: Graph, profiles: Mapping[str, Profile], options: Mapping[str, Any]) -> str | None:
    """What to warn of: that nothing says how images are prepared for the model; else ``None``.

    Shapes of outputs are those that ONNX infers from the shapes of inputs. Where it cannot, nothing is said.

    Args:
        graph: the model.
        profiles: shapes of inputs that it leaves open.
        options: of the adapter, checked against its schema.

    Raises:
        OptionError: an option contradicts the model.
        ModelError: the model is not of the family that the preset names.
    """
    settings = AdapterSettings(checkpoint=str(graph.path), options=dict(options))
    try:
        _Declared(settings, graph, profiles)
    except _UnknownShapeError:
        return None
    except OptionError as exc:
        if _DATA & options.keys():
            raise
        return f"{exc.problem}. Give it now, or with each command that runs the engine: {exc.fix}"
    return None


class _UnknownShapeError(Exception):
    """Shapes of outputs follow from no shapes of inputs."""


class _Declared(RuntimeAdapter):
    """Settles options as the adapter does, on a model that gives zeros of the shapes that it declares."""

    registered_name = "tensorrt"

    def __init__(self, settings: AdapterSettings, graph: Graph, profiles: Mapping[str, Profile]) -> None:
        self._graph, self._profiles = graph, profiles
        super().__init__(settings)

    def load(self, path: str) -> _Zeros:
        """The model of the graph."""
        del path
        return _Zeros(self._graph, self._profiles)


class _Zeros:
    """A model whose outputs are zeros."""

    runtime = RuntimeInfo("onnx", onnx.__version__, "none")

    def __init__(self, graph: Graph, profiles: Mapping[str, Profile]) -> None:
        self._proto = graph.proto
        self.inputs = tuple(with_profile(tensor, profiles.get(tensor.name)) for tensor in graph.inputs)
        self.outputs = graph.outputs
        self.metadata = graph.metadata

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """Zeros; ``ModelError`` where the model does not take such inputs."""
        for tensor in self.inputs:
            pairs = zip(tensor.shape, feeds[tensor.name].shape, strict=False)
            if any(isinstance(declared, int) and declared != size for declared, size in pairs):
                raise ModelError(f"the input is {tensor}, not {feeds[tensor.name].shape}")
        shapes = {name: array.shape for name, array in feeds.items()}
        return [
            np.zeros(shape, tensor.dtype)
            for shape, tensor in zip(self._inferred(shapes), self.outputs, strict=True)
        ]

    def close(self) -> None:
        """Nothing is open."""

    def _inferred(self, shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        for value in proto.graph.input:
            if value.name in shapes:
                _set_shape(value, shapes[value.name])
        # What the exporter declared with open sizes would be taken for what is known.
        for value in proto.graph.output:
            value.type.tensor_type.ClearField("shape")
        del proto.graph.value_info[:]
        try:
            inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        except Exception as exc:  # of onnx, without a class of its own for all of them
            raise _UnknownShapeError from exc
        return [_known_shape(value) for value in inferred.graph.output]


def _set_shape(value: Any, shape: Sequence[int]) -> None:
    value.type.tensor_type.ClearField("shape")
    for size in shape:
        value.type.tensor_type.shape.dim.add().dim_value = size


def _known_shape(value: Any) -> tuple[int, ...]:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(size.HasField("dim_value") for size in tensor.shape.dim):
        raise _UnknownShapeError
    return tuple(size.dim_value for size in tensor.shape.dim)
