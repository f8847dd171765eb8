"""ONNX models built for one test each, and the adapters that run them.

Constants that a layout must decode, and small networks that see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import Plugins

STRIDES = (8, 16, 32)
_TYPES = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}
_OPSET = [helper.make_opsetid("", 17)]


def save_graph(path: Path, nodes, *, inputs, outputs, initializers, metadata=None, ir_version=9):
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=_OPSET, ir_version=ir_version)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def constant_model(
    path: Path,
    outputs: Sequence[np.ndarray],
    *,
    input_shape: Sequence[int | str | None] = (1, 3, 64, 64),
    metadata: dict[str, str] | None = None,
    extra_inputs: Sequence[Any] = (),
    names: Sequence[str] = (),
    dtype: type = np.float32,
    weights_are_inputs: bool = False,
    ir_version: int = 9,
) -> Path:
    """A model that gives these arrays whatever it sees, under names that say nothing unless they are given.

    Whole numbers stay such; the rest, and the image, are of ``dtype``.
    """
    image = helper.make_tensor_value_info("pixels", _TYPES[dtype], input_shape)
    typed = [o if o.dtype.kind in "iu" else o.astype(dtype) for o in map(np.asarray, outputs)]
    weights = [numpy_helper.from_array(o, f"w{i}") for i, o in enumerate(typed)]
    names = names or [f"{700 + i}" for i in range(len(outputs))]
    nodes = [helper.make_node("Identity", [w.name], [name]) for w, name in zip(weights, names, strict=True)]
    declared = [
        helper.make_tensor_value_info(name, w.data_type, o.shape)
        for name, w, o in zip(names, weights, typed, strict=True)
    ]
    as_inputs = [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights]
    return save_graph(
        path,
        nodes,
        inputs=[image, *extra_inputs, *(as_inputs if weights_are_inputs else [])],
        outputs=declared,
        initializers=weights,
        metadata=metadata,
        ir_version=ir_version,
    )


def seeing_model(
    path: Path,
    *,
    batch: int | str = 1,
    size_hw: tuple[int | str, int | str] = (64, 64),
    classes: int = 3,
    dtype: type = np.float32,
    channels_last: bool = False,
) -> Path:
    """A one-layer network in the ``ultralytics`` layout: boxes and scores follow the colors of each cell."""
    rng = np.random.default_rng(7)
    kind = _TYPES[dtype]
    weights: list[Any] = []

    def constant(name: str, array: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(array, name))
        return name

    tastes = rng.normal(0, 9, (classes, 3))
    tastes -= tastes.mean(axis=1, keepdims=True)  # gray is to no class's taste
    sizes = rng.dirichlet([1, 1, 1], 4) * [[60], [60], [30], [30]]
    colors = np.concatenate([sizes, tastes])
    bias = constant("bias", np.array([2, 2, 5, 5] + [-3] * classes, dtype))
    nodes = []
    for stride in STRIDES:
        mean = np.full((stride, stride), 1 / stride**2)
        kernel = constant(f"k{stride}", (colors[:, :, None, None] * mean).astype(dtype))
        shape = constant(f"s{stride}", np.array([0, 4 + classes, -1]))
        nodes += [
            helper.make_node("Conv", ["pixels", kernel, bias], [f"c{stride}"], strides=[stride, stride]),
            helper.make_node("Reshape", [f"c{stride}", shape], [f"r{stride}"]),
        ]
    if channels_last:
        nodes.insert(0, helper.make_node("Transpose", ["image"], ["pixels"], perm=[0, 3, 1, 2]))
    parts = constant("parts", np.array([4, classes]))
    nodes += [
        helper.make_node("Concat", [f"r{stride}" for stride in STRIDES], ["all"], axis=2),
        helper.make_node("Split", ["all", parts], ["boxes", "logits"], axis=1),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["out"], axis=1),
    ]
    axes = [batch, *size_hw, 3] if channels_last else [batch, 3, *size_hw]
    image = helper.make_tensor_value_info("image" if channels_last else "pixels", kind, axes)
    output = helper.make_tensor_value_info("out", kind, [batch, 4 + classes, "N"])
    return save_graph(path, nodes, inputs=[image], outputs=[output], initializers=weights)


def described_model(path: Path) -> Path:
    """A model of six classes whose metadata are those of an Ultralytics export: it needs no options."""
    model = onnx.load(seeing_model(path, classes=6))
    names = dict(enumerate(("circle", "square", "triangle", "star", "cross", "hexagon")))
    stated = {"task": "detect", "stride": "32", "imgsz": "[64, 64]", "names": str(names)}
    helper.set_model_props(model, stated)
    onnx.save(model, path)
    return path


def load_runtime(
    plugins: Plugins,
    name: str,
    path: Path | None,
    *,
    device: str = "cpu",
    batch_size: int = 1,
    score_floor: float = 0.05,
    config: str | None = None,
    **options: Any,
) -> Adapter:
    """An adapter as the command line makes it: options typed as text, checked against the schema."""
    settings = plugins.settings(
        name,
        options=[f"{key}={value}" for key, value in options.items()],
        checkpoint=None if path is None else str(path),
        config=config,
        device=device,
        batch_size=batch_size,
        score_floor=score_floor,
    )
    return plugins.adapter(name, settings)
