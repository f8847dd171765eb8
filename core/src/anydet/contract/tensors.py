"""Tensors of any framework as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_of(value: Any) -> NDArray[Any]:
    """A tensor of torch, what speaks DLPack, or a list, as an array; without a copy of what is on the CPU."""
    if hasattr(value, "detach"):
        tensor = value.detach().cpu()
        # numpy has no bfloat16; float32 has all of its numbers.
        narrow = "bfloat16" in str(getattr(tensor, "dtype", ""))
        found: NDArray[Any] = (tensor.float() if narrow else tensor).numpy()
        return found
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray | np.generic):
        return np.from_dlpack(value)
    return np.asarray(value)
