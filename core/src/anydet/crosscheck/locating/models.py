"""Outputs of two models for one input: activations, order, precision; and the first node that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.crosscheck.locating.columns import error_of, ranges, relations
from anydet.crosscheck.locating.finding import Finding, Step
from anydet.crosscheck.locating.nodes import first_node
from anydet.crosscheck.locating.quantized import of_quantization
from anydet.errors import AnydetError
from anydet.plugins.stages import Prepared, Stages
from anydet.types import FloatArray

ROUNDING = 1e-3
"""Error of a model's outputs that single precision explains, as a fraction of the largest number."""


STEPS: Mapping[str, Step] = {
    "state_scores": "states",
    "keypoints": "keypoints",
    **dict.fromkeys(("log_z", "rot6d", "offsets", "log_sigma_z", "log_sigma_rot", "camera_delta"), "poses"),
}
"""Output, as exports of anydet name theirs -> the step that it is of."""
_ROWS = 1000
"""Most rows that are looked for in other places."""


def compare_models(
    a: Stages, b: Stages, prepared: Sequence[Prepared]
) -> tuple[list[Finding], list[tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]], float]:
    """What B's model gives differently for the same inputs.

    Returns:
        Findings; the outputs of both for each input; the largest error of an output.
    """
    outputs = [(a.run(one.tensor), b.run(one.tensor)) for one in prepared]
    problem = _misfit(a, b, outputs) or _fewer_rows(a, b, prepared, outputs)
    if problem is not None:
        return [problem], outputs, np.inf
    aligned = [(mine, _aligned(mine, other)) for mine, other in outputs]
    found: list[Finding] = []
    worst, unknown = 0.0, False
    for k, name in enumerate(a.output_names):
        one, other = (np.concatenate([table(pair[side][k]) for pair in aligned]) for side in (0, 1))
        worst = max(worst, *(error_of(one[:, j], other[:, j]) for j in range(one.shape[1])))
        for relation in relations(one, other, ROUNDING):
            where = f"output {name}, columns {ranges(relation.columns)}, error {relation.error:.2g}"
            if relation.kind == "function":
                step = STEPS.get(name) or ("activation" if "sigmoid" in relation.text else "boxes")
                found.append(Finding(step, f"{relation.text} in the model", where))
            elif relation.kind == "order":
                moved = list(zip(relation.columns, relation.sources, strict=True))[:4]
                pairs = ", ".join(f"{b} is A's {a}" for b, a in moved)
                text = f"columns of the output are in another order: {pairs}"
                found.append(Finding(STEPS.get(name, "classes"), text, where))
            elif relation.kind == "line" and len(relation.columns) < one.shape[1]:
                text = (
                    f"the model's output is multiplied by {relation.factor:.4g}, plus {relation.offset:.4g}"
                )
                found.append(Finding(STEPS.get(name, "boxes"), text, where))
            else:
                unknown = True
    if unknown or (not found and worst > ROUNDING):
        node = first_node(a, b, prepared[0].tensor)
        if node is None and worst > ROUNDING:
            node = of_quantization(a, b, prepared[0].tensor, outputs[0])
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


def _aligned(mine: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
    """B's outputs with rows in A's places, where rows of nearly equal scores have changed places."""
    counts = {len(values) for values in (*mine, *other) if values.ndim in (1, 2)}
    if len(counts) != 1 or max(counts) > _ROWS or any(values.ndim > 2 for values in mine):
        return other
    x, y = (
        np.concatenate([values.reshape(len(values), -1) for values in side], axis=1).astype(np.float64)
        for side in (mine, other)
    )
    near = ROUNDING * np.maximum(np.abs(x).max(axis=0), 1e-6)
    order = np.arange(len(x))
    apart = np.flatnonzero((np.abs(x - y) > near).any(axis=1))
    free = list(apart)
    for row in apart.tolist():
        fits = [k for k, there in enumerate(free) if (np.abs(x[row] - y[there]) <= near).all()]
        if not fits:
            return other
        order[row] = free.pop(fits[0])
    return [values[order] for values in other]


def _fewer_rows(
    a: Stages, b: Stages, prepared: Sequence[Prepared], outputs: Sequence[tuple[Any, Any]]
) -> Finding | None:
    """A score threshold inside of a model whose outputs are detections."""
    missing, lowest, left_out = 0, np.inf, 0.0
    for one, (mine, other) in zip(prepared, outputs, strict=True):
        try:
            first, second = a.decode(mine, one.placement), b.decode(other, one.placement)
        except AnydetError:
            return None
        if first is None or second is None or first.labels is None or second.labels is None:
            return None
        x, y = first.scores[:, 0], second.scores[:, 0]
        kept = np.sort(x)[::-1][: len(y)]
        if len(y) > len(x) or not np.allclose(kept, np.sort(y)[::-1], atol=ROUNDING):
            return None
        missing += len(x) - len(y)
        lowest = min(lowest, float(y.min(initial=np.inf)))
        left_out = max(left_out, float(np.sort(x)[::-1][len(y) :].max(initial=0.0)))
    if not missing or left_out > lowest + ROUNDING:
        return None
    text = f"the model leaves out scores below about {min(lowest, 1.0):.4g}"
    where = f"{missing} rows of A, whose scores reach {left_out:.4g}, are not in B's outputs"
    return Finding("threshold", text, where)


def _misfit(a: Stages, b: Stages, outputs: Sequence[tuple[Any, Any]]) -> Finding | None:
    """Outputs that cannot be compared."""
    shapes = [[tuple(o.shape) for o in side] for side in outputs[0]]
    if shapes[0] == shapes[1]:
        return None
    text = f"{_shapes(shapes[0])} in A, {_shapes(shapes[1])} in B"
    return Finding("model", "the models give outputs of other shapes", text, certain=False)


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
