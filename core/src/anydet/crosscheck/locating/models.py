"""Outputs of two models for one input: activations, order, precision; and the first node that differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.crosscheck.locating.columns import error_of, ranges, relations
from anydet.crosscheck.locating.finding import Finding
from anydet.crosscheck.locating.nodes import first_node
from anydet.plugins.stages import Stages
from anydet.types import FloatArray

ROUNDING = 1e-3
"""Error of a model's outputs that single precision explains, as a fraction of the largest number."""


def compare_models(
    a: Stages, b: Stages, tensors: Sequence[NDArray[Any]]
) -> tuple[list[Finding], list[tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]], float]:
    """What B's model gives differently for the same inputs.

    Returns:
        Findings; the outputs of both for each input; the largest error of an output.
    """
    outputs = [(a.run(tensor), b.run(tensor)) for tensor in tensors]
    problem = _misfit(a, b, outputs)
    if problem is not None:
        return [problem], outputs, np.inf
    found: list[Finding] = []
    worst, unknown = 0.0, False
    for k, name in enumerate(a.output_names):
        one, other = (np.concatenate([table(pair[side][k]) for pair in outputs]) for side in (0, 1))
        worst = max(worst, *(error_of(one[:, j], other[:, j]) for j in range(one.shape[1])))
        for relation in relations(one, other, ROUNDING):
            where = f"output {name}, columns {ranges(relation.columns)}, error {relation.error:.2g}"
            if relation.kind == "function":
                step = "activation" if "sigmoid" in relation.text else "boxes"
                found.append(Finding(step, f"{relation.text} in the model", where))  # type: ignore[arg-type]
            elif relation.kind == "order":
                moved = list(zip(relation.columns, relation.sources, strict=True))[:4]
                pairs = ", ".join(f"{b} is A's {a}" for b, a in moved)
                found.append(
                    Finding("classes", f"columns of the output are in another order: {pairs}", where)
                )
            elif relation.kind == "line" and len(relation.columns) < one.shape[1]:
                text = (
                    f"the model's output is multiplied by {relation.factor:.4g}, plus {relation.offset:.4g}"
                )
                found.append(Finding("boxes", text, where))
            else:
                unknown = True
    if unknown or (not found and worst > ROUNDING):
        node = first_node(a, b, tensors[0])
        found += [] if node is None else [node]
    return found, outputs, worst


def table(output: NDArray[Any]) -> FloatArray:
    """(N, K) of an output: rows are cells or queries, of which there are more than columns."""
    array = output.astype(np.float64)
    if array.ndim < 2:
        return array.reshape(-1, 1)
    if array.ndim > 2:
        return (
            array.reshape(array.shape[0], -1).T
            if array.shape[0] < array[0].size
            else array.reshape(-1, array.shape[-1])
        )
    return array if array.shape[0] >= array.shape[1] else array.T


def _misfit(a: Stages, b: Stages, outputs: Sequence[tuple[Any, Any]]) -> Finding | None:
    """Outputs that cannot be compared."""
    shapes = [[tuple(o.shape) for o in side] for side in outputs[0]]
    if shapes[0] == shapes[1]:
        return None
    text = f"{_shapes(shapes[0])} in A, {_shapes(shapes[1])} in B"
    return Finding("model", "the models give outputs of other shapes", text, certain=False)


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
