"""Half precision: weights and arithmetic as float16, with float32 at the border and where it is needed."""

from __future__ import annotations

import warnings
from typing import Any

from anydet.errors import OptionError


def half_precision(model: Any) -> Any:
    """An ``onnx.ModelProto`` whose weights are float16; inputs, outputs and metadata are as they were.

    Raises ``OptionError`` where the converter, a part of ONNX Runtime, is missing.
    """
    try:
        # Of the two converters that there are, the one that is kept up; it needs no runtime.
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    except ImportError as exc:
        raise OptionError(
            "half precision needs the converter of the package onnxruntime", fix="pip install 'anydet[onnx]'"
        ) from exc
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each weight that is below the smallest number
        return convert_float_to_float16(model, keep_io_types=True, op_block_list=list(DEFAULT_OP_BLOCK_LIST))
