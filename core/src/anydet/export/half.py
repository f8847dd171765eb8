"""Half precision: weights and layers as float16, with float32 at the border and where it is needed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

from anydet.errors import OptionError


def half_precision(model: Any, float32_scopes: Sequence[str] = ()) -> Any:
    """An ``onnx.ModelProto`` whose weights are float16; inputs, outputs and metadata are as they were.

    Args:
        model: in float32; it is changed.
        float32_scopes: as ``ExportSpec.float32_scopes``.

    Raises ``OptionError`` where the converter, a part of ONNX Runtime, is missing.
    """
    try:
        # Of the two converters that there are, the one that is kept up.
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as exc:
        raise OptionError(
            "half precision needs the converter of the package onnxruntime", fix="pip install 'anydet[onnx]'"
        ) from exc
    kept = [node.name for node in model.graph.node if _matches(node.name, float32_scopes)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each weight that is below the smallest number
        return convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)


def _matches(name: str, scopes: Sequence[str]) -> bool:
    scope = name.rpartition("/")[0]
    return any(re.fullmatch(pattern, scope) for pattern in scopes)
