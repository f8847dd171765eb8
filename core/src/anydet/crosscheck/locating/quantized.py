"""Two quantized models that no node tells apart: steps of int8 make large differences of rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.crosscheck.locating.finding import Finding
from anydet.crosscheck.locating.nodes import LOCAL
from anydet.plugins.stages import Stages

_DRAWS = 3
"""Runs with noise: in a small model few numbers are near the end of a step."""
_AS_MUCH = 2.0
"""How many times A's own difference B's may be to be of the same kind: steps are chance."""


def of_quantization(
    a: Stages, b: Stages, tensor: NDArray[Any], outputs: tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]
) -> Finding | None:
    """Whether rounding explains how outputs of two quantized models differ; ``None`` where one is not.

    A's own model is run on the input and on the input with as much noise as a node may differ by. Where that
    moves its outputs as far as B's are, rounding puts numbers on other steps of the quantization.

    Args:
        a: stages of A.
        b: stages of B.
        tensor: an input.
        outputs: of both models for it.
    """
    if not (_is_quantized(a) and _is_quantized(b)):
        return None
    mine, other = outputs
    generator, scale = np.random.default_rng(0), LOCAL * np.abs(tensor).max(initial=0)
    own = 0.0
    for _ in range(_DRAWS):
        noisy = tensor + scale * generator.standard_normal(tensor.shape)
        own = max(own, *map(_distance, mine, a.run(noisy.astype(tensor.dtype))))
    between = max(map(_distance, mine, other))
    where = (
        f"no node differs on A's own tensors; outputs differ by {between:.2g} of their deviation, and those "
        f"of A by {own:.2g} for its input with noise of {LOCAL:g}"
    )
    if between <= _AS_MUCH * own:
        return Finding("precision", "rounding puts numbers on other steps of the quantization", where)
    cause = "the runtime computes the quantized model otherwise than its nodes one by one"
    return Finding("precision", cause, where, certain=False)


def _is_quantized(stages: Stages) -> bool:
    if stages.model_file is None:
        return False
    try:
        import onnx

        nodes = onnx.load(stages.model_file, load_external_data=False).graph.node
    except Exception:  # of protobuf: no ONNX file
        return False
    return any("QuantizeLinear" in node.op_type or node.op_type.startswith("QLinear") for node in nodes)


def _distance(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Root mean square of the difference, as a fraction of the deviation of the first."""
    if x.shape != y.shape or not x.size:
        return 0.0
    one, other = x.astype(np.float64), y.astype(np.float64)
    return float(np.sqrt(np.mean((one - other) ** 2)) / max(float(one.std()), 1e-12))
