"""What core itself registers, through the same hooks as everyone else."""

from __future__ import annotations

from collections.abc import Callable

from anydet.data.opening import BUILTIN
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec, CommandSpec, DatasetSpec, EngineSpec, EvaluatorSpec, ViewSpec


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """Predictions that are there already."""
    register(
        AdapterSpec(
            "precomputed",
            "anydet.prediction.precomputed:Precomputed",
            "Serves an existing predictions file",
            tasks=("detect", "segment", "pose", "classify"),
            options_schema="anydet.prediction:precomputed.schema.json",
        )
    )


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """The formats of ``anydet.data``, in the order in which they are tried."""
    for name, factory, summary in BUILTIN:
        register(DatasetSpec(name, factory, summary))


@hookimpl
def register_engines(register: Callable[[EngineSpec], None]) -> None:
    """The reference engine."""
    register(EngineSpec("pycocotools", "anydet.evaluation.pycocotools_engine:PycocotoolsEngine", priority=0))


@hookimpl
def register_evaluators(register: Callable[[EvaluatorSpec], None]) -> None:
    """The evaluators of ``anydet.evaluation``."""
    coco = "anydet.evaluation.coco"
    register(EvaluatorSpec("coco", f"{coco}:evaluate_boxes", "the 12 COCO numbers of boxes"))
    register(EvaluatorSpec("coco-segm", f"{coco}:evaluate_masks", "the 12 COCO numbers of masks"))
    register(
        EvaluatorSpec("coco-keypoints", f"{coco}:evaluate_keypoints", "the 10 COCO numbers of keypoints")
    )
    for name, factory, summary, default in (
        ("tide", "tide:evaluate_errors", "what kinds of errors cost how much AP", True),
        ("confusion", "confusion:evaluate_confusions", "which class is taken for which, or for none", True),
        (
            "thresholds",
            "thresholds:evaluate_thresholds",
            "the score threshold of the best F1, by class",
            True,
        ),
        ("calibration", "calibration:evaluate_calibration", "scores against precision: D-ECE, LaECE", True),
        ("label-errors", "label_errors:find_label_errors", "annotations that look wrong or missing", False),
    ):
        register(EvaluatorSpec(name, f"anydet.evaluation.analysis.{factory}", summary, default=default))
    for name, module, summary in (
        ("states", "states", "states of parts: accuracy, macro-F1, confusion, AP of a part in a state"),
        ("delftbikes", "delftbikes", "COCO's numbers of boxes without absent parts"),
        ("presence", "presence", "which parts an image has: AP, AUROC, accuracy beside the majority's"),
        ("pose", "pose", "6-DoF poses: rotation, translation, depth, ADD, ADD-S, BOP's MSSD and MSPD"),
        ("semantic", "semantic", "semantic masks: mIoU, Dice, pixel accuracy"),
        ("image-class", "image_class", "classes of whole images: accuracy, balanced accuracy, macro-F1"),
    ):
        register(EvaluatorSpec(name, f"anydet.evaluation.{module}:evaluate_{module}", summary))


@hookimpl
def register_views(register: Callable[[ViewSpec], None]) -> None:
    """The views of ``anydet.adaptation.tta``."""
    views = "anydet.adaptation.tta.views"
    register(ViewSpec("original", f"{views}:Original", "the image as it is"))
    register(ViewSpec("random_hflip", f"{views}:RandomHorizontalFlip", "mirrored, with --tta-flip-prob"))


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """One module a command in ``anydet.commands``."""
    for name in (
        "adapters",
        "check-dataset",
        "compare",
        "convert",
        "demo",
        "diagnose",
        "doctor",
        "eval",
        "eval-coco",
        "export-predictions",
        "plot-metrics",
        "predict",
        "prepare-coco-yolo",
        "synth",
        "train",
        "validate-predictions",
        "view",
    ):
        register(CommandSpec(name, f"anydet.commands.{name.replace('-', '_')}:command"))
