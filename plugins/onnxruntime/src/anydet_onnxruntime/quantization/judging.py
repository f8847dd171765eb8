"""``Judge``: what a model file scores, by the product's own predictions and evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anydet
from anydet.contract.reading.load import load
from anydet.data.dataset.protocols import Dataset
from anydet.errors import EvaluationError, OptionError
from anydet.evaluation.agreement import as_ground_truth
from anydet.evaluation.analysis.comparison import Difference, compare
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.reading import Inputs, join_inputs
from anydet.evaluation.run import prepare_coco
from anydet.plugins.manager import Plugins
from anydet.prediction.pipeline import Limits
from anydet.runtime.adapter import RuntimeAdapter

METRIC = "AP"


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Predicts images with model files and evaluates what comes out.

    Attributes:
        adapter: name of the one that runs the files.
        options: of the adapter.
        plugins: adapters, formats and engines.
        folder: for predictions files.
    """

    adapter: str
    options: Mapping[str, Any]
    plugins: Plugins
    folder: Path

    def open(self, model: Path) -> RuntimeAdapter:
        """An adapter that runs a file; raises ``OptionError`` where it is none of a runtime."""
        # By the Python API's threshold and limit, which are those of `anydet export-predictions`.
        adapter = anydet.load_adapter(
            self.adapter, options=self.options, checkpoint=model, plugins=self.plugins
        )
        if not isinstance(adapter, RuntimeAdapter):
            adapter.close()
            raise OptionError(
                f"--adapter {self.adapter} runs no ONNX files",
                fix="use --adapter onnxruntime, openvino or opencv_dnn",
            )
        return adapter

    def predicted(self, model: Path, images: Dataset) -> Inputs:
        """Detections of a file beside the annotations of the images."""
        output = self.folder / f"predictions.{os.getpid()}.json"
        with self.open(model) as adapter:
            limits = Limits(score_threshold=adapter.settings.score_floor)
            anydet.export_predictions(adapter, images, output, limits=limits, wrap=True, plugins=self.plugins)
        engine = choose_engine(self.plugins)
        return join_inputs(images, load(output, engine.scanner))

    def ap(self, inputs: Inputs) -> float:
        """AP of boxes; raises ``EvaluationError`` where nothing is annotated."""
        found = self._evaluator(inputs).result().metrics[METRIC]
        if found is None:
            raise EvaluationError(
                f"none of {len(inputs.ground_truth.images)} images has an annotation, so that no AP can be "
                "compared",
                fix="give --eval-dataset a data set with labels",
            )
        return found

    def agreement(self, inputs: Inputs, reference: Inputs) -> float:
        """AP with the best detections of another model on the same images as annotations."""
        truth = as_ground_truth(reference.detections, reference.ground_truth)
        found = self._evaluator(replace(inputs, ground_truth=truth)).result().metrics[METRIC]
        return 1.0 if found is None else found

    def difference(self, reference: Inputs, inputs: Inputs, seed: int) -> Difference:
        """AP of both, their difference, and its interval by paired resampling of images."""
        both = compare(self._evaluator(reference), self._evaluator(inputs), seed=seed)
        return both.overall[METRIC]

    def _evaluator(self, inputs: Inputs) -> CocoEvaluator:
        return prepare_coco([inputs], engine=choose_engine(self.plugins))
