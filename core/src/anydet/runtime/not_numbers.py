"""NaN in the outputs of a model: where it is, said in place of what it breaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import Array, Outputs
from anydet.text import counted

_FIX = (
    "check the weights, and use the model in float32 where it computes in float16, whose numbers end at "
    "65504; 'anydet parity --locate' against the float32 model names the first node that differs"
)


def require_numbers(outputs: Outputs, names: Sequence[str]) -> None:
    """Raise ``ModelError`` where an output has NaN, with how much of it.

    Args:
        outputs: of one image.
        names: of the outputs.
    """
    found = [text for output, name in zip(outputs, names, strict=True) if (text := _nan_in(output, name))]
    if found:
        raise ModelError("; ".join(found), fix=_FIX)


def _nan_in(output: Array, name: str) -> str:
    """``output 'boxes': 3 of 1200 numbers are NaN``; empty where it has none."""
    if not np.issubdtype(output.dtype, np.floating):
        return ""
    lost = np.isnan(output)
    if not lost.any():
        return ""
    return f"output {name!r}: {lost.sum()} of {counted(output.size, 'number')} are NaN"
