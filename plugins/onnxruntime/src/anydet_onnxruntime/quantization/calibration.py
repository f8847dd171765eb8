"""Ranges of activations, measured by ONNX Runtime on images that the product has prepared."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from anydet.data.record.record import Record
from anydet.runtime.stages import RuntimeStages
from anydet_onnxruntime.quantization.graph import OPERATORS

Method: TypeAlias = Literal["minmax", "entropy", "percentile"]
Feeds: TypeAlias = Mapping[str, NDArray[Any]]
_METHODS: Mapping[Method, tuple[CalibrationMethod, Mapping[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "entropy": (CalibrationMethod.Entropy, {"symmetric": True}),
    "percentile": (CalibrationMethod.Percentile, {"symmetric": True, "percentile": 99.99}),
}


class _Once:
    """A reader of one run's inputs: histograms are built run by run, as all activations fit no memory."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds: Feeds | None = feeds

    def get_next(self) -> Feeds | None:
        """The inputs, once."""
        feeds, self._feeds = self._feeds, None
        return feeds


def measure_ranges(
    model: Path, feeds: Iterator[Feeds], method: Method, folder: Path, advance: Callable[[], None]
) -> Any:
    """Ranges of what goes into and out of layers, ``onnxruntime.quantization.calibrate.TensorsData``.

    Args:
        model: the prepared model.
        feeds: inputs of its runs.
        method: how outliers are cut: not at all, to the least loss of information, or at a percentile.
        folder: for the model whose outputs are all that is measured.
        advance: called after each run.
    """
    kind, options = _METHODS[method]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line a run
        calibrator = create_calibrator(
            str(model), list(OPERATORS), str(folder / "observed.onnx"), kind, extra_options=dict(options)
        )
        for one in feeds:
            calibrator.collect_data(_Once(one))
            advance()
        return calibrator.compute_data()


def calibration_feeds(stages: RuntimeStages, records: Sequence[Record]) -> Iterator[Feeds]:
    """What the model is fed for images, as many at a time as its file is made for."""
    inputs = stages.model.inputs
    batch = inputs.fixed_batch or 1
    for start in range(0, len(records), batch):
        tensors = [
            stages.prepare(record.image()).tensor.astype(inputs.dtype)
            for record in records[start : start + batch]
        ]
        # The last batch is filled up with an image that is measured anyway.
        tensors += tensors[-1:] * (batch - len(tensors))
        yield inputs.feeds(np.stack(tensors))
