"""DelftBikes data sets, bicycle scenes and evaluators for anydet. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import DatasetSpec, EvaluatorSpec, SceneSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """The format ``delftbikes``."""
    register(
        DatasetSpec(
            "delftbikes", "anydet_delftbikes.format:FORMAT", "DelftBikes parts with states, as published"
        )
    )


@hookimpl
def register_evaluators(register: Callable[[EvaluatorSpec], None]) -> None:
    """The evaluators ``delftbikes`` and ``presence``."""
    register(
        EvaluatorSpec(
            "delftbikes",
            "anydet_delftbikes.evaluation.boxes:delftbikes_evaluator",
            "COCO's numbers of boxes without absent parts",
        )
    )
    register(
        EvaluatorSpec(
            "presence",
            "anydet_delftbikes.evaluation.presence:presence_evaluator",
            "which parts an image has: AP, AUROC, accuracy beside the majority's",
        )
    )


@hookimpl
def register_scenes(register: Callable[[SceneSpec], None]) -> None:
    """The scenes ``bikes``."""
    register(
        SceneSpec(
            "bikes",
            "anydet_delftbikes.scenes.dataset:SyntheticBikes",
            "bicycles of 22 parts that are intact, damaged, absent or occluded",
            writers={
                "delftbikes": "anydet_delftbikes.writing:write_delftbikes",
                "coco": "anydet.data.writing.coco:write_coco",
            },
        )
    )
