"""What core itself registers, through the same hooks as everyone else."""

from __future__ import annotations

from collections.abc import Callable

from anydet.data.opening import BUILTIN
from anydet.plugins.api import API_VERSION
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import (
    AdapterSpec,
    CommandSpec,
    DatasetSpec,
    EngineSpec,
    EvaluatorSpec,
    FusionSpec,
    SceneSpec,
    TTTMethodSpec,
    ViewSpec,
)

PLUGIN_API = API_VERSION

_EVALUATORS = (
    ("coco", "analysis.analyzed:coco_box_evaluator", "the 12 COCO numbers of boxes"),
    ("coco-segm", "analysis.analyzed:coco_mask_evaluator", "the 12 COCO numbers of masks"),
    ("coco-keypoints", "analysis.analyzed:coco_keypoint_evaluator", "the 10 COCO numbers of keypoints"),
    ("coco-obb", "analysis.analyzed:coco_oriented_evaluator", "the 12 COCO numbers of oriented boxes"),
    (
        "dota",
        "dota:dota_evaluator",
        "DOTA: AP of oriented boxes at IoU 0.5, area under the curve and 11 points",
    ),
    ("crowdpose", "analysis.analyzed:crowdpose_evaluator", "the 6 numbers of CrowdPose's 14 keypoints"),
    ("voc", "voc:voc_evaluator", "Pascal VOC: AP at IoU 0.5, area under the curve and 11 points"),
    (
        "open-images",
        "open_images:open_images_evaluator",
        "Open Images: AP with group-of boxes, verified labels and a hierarchy of classes",
    ),
    ("olrp", "olrp:olrp_evaluator", "optimal LRP error, its parts, and the best threshold of each class"),
    ("tide", "analysis.tide:tide_evaluator", "what kinds of errors cost how much AP"),
    ("confusion", "analysis.confusion:confusion_evaluator", "which class is taken for which, or for none"),
    ("thresholds", "analysis.thresholds:threshold_evaluator", "the score threshold of the best F1, by class"),
    ("calibration", "analysis.calibration:calibration_evaluator", "scores against precision: D-ECE, LaECE"),
    ("label-errors", "analysis.label_errors:label_error_evaluator", "annotations that look wrong or missing"),
    (
        "states",
        "states:state_evaluator",
        "states: accuracy, macro-F1, confusion, AP of a class in a state",
    ),
    (
        "pose",
        "pose:pose_evaluator",
        "6-DoF poses: rotation, translation, depth, ADD, ADD-S, MSSD, MSPD",
    ),
    ("semantic", "semantic:semantic_evaluator", "semantic masks: mIoU, Dice, pixel accuracy"),
    (
        "image-class",
        "image_class:image_class_evaluator",
        "classes of whole images: accuracy, balanced accuracy, macro-F1",
    ),
)
"""(name, ``module:function`` in ``anydet.evaluation``, summary), in the order in which they run."""


_NAMED = {"label-errors", "crowdpose", "dota", "voc", "open-images", "olrp"}
"""Evaluators that run only where they are named: a list of images to look at, and protocols of other data
sets, whose numbers are not to be confused with COCO's."""

_COMMANDS = {
    "Predict": {
        "predict": "Predict images without labels: files, folders (searched recursively), quoted patterns "
        "(also **).",
        "export-predictions": "Predict all images of a data set and write a predictions file.",
        "view": "Draw predictions on their images: one PNG per image in OUT/overlays, and "
        "OUT/sheet-001.png, ...",
        "fuse": "Fuse predictions of several models on the same images into one file.",
        "adaptation": "List and describe views and fusions (--tta) and methods of test-time training "
        "(--ttt).",
    },
    "Evaluate": {
        "eval-coco": "Compute the 12 COCO metrics of predictions (10 for keypoints, 13 for LVIS).",
        "eval-panoptic": "Compute panoptic quality (PQ, SQ, RQ) of COCO's panoptic results.",
        "eval": "Evaluate predictions with all evaluators that apply to them and the data set.",
        "compare": "Compare predictions A and B on the same images: COCO metrics, differences and p-values.",
        "browse": "Serve the page of 'anydet report' to this machine, with all detections and whole images.",
        "report": "Write a page with the numbers of one model or more and the pictures behind them.",
        "eval-suite": "Evaluate a folder of predictions under one protocol: a ranking with intervals and "
        "paired differences.",
        "test": "Measure a model in scenarios, and hold its numbers against thresholds.",
        "parity": "Check that predictions A and B are the same within tolerances; exit 1 if they are not.",
        "benchmark": "Measure latency, throughput and stages of adapters on the same images, in turn.",
    },
    "Data and files": {
        "validate-predictions": "Check predictions: .json, .jsonl, .parquet, .csv, COCO results or another "
        "tool's (with --dataset).",
        "convert": "Convert predictions: .json, .jsonl, .parquet, .csv, COCO results and other tools' "
        "(with --dataset).",
        "check-dataset": "Check a data set for mistakes in ids, boxes, masks, classes and image files, and "
        "its predictions.",
        "dataset": "Describe, filter, merge, split and sample data sets of any format that is read.",
        "prepare-coco-yolo": "Write YOLO labels of a COCO split, and a dataset.json that every --dataset "
        "accepts.",
        "synth": "Write synthetic scenes as a data set.",
        "corrupt": "Corrupt the images of a data set: 15 corruptions (of ImageNet-C and COCO-C), 5 "
        "severities.",
    },
    "Train": {
        "train": "Train the model of an adapter on a data set.",
        "plot-metrics": "Plot losses, metrics and learning rate of RUNS, which are run folders or "
        "JSON-lines files.",
        "diagnose": "Find what keeps a model from learning: data, weights, gradients, steps, learning rate.",
        "continual": "Train an adapter on tasks one after the other, and measure what it forgets.",
        "export-onnx": "Write the model of an adapter as an ONNX file that needs no options to be run.",
        "ttt-compare": "Compare methods of test-time training with the model as it is, clean and corrupted.",
        "ttt-statistics": "Write what methods of test-time training (align, eata) need to know of the "
        "source data.",
    },
    "Plugins and installation": {
        "adapters": "List, describe and check installed adapters, or write a new one.",
        "plugins": "List plugins and check what they bring: adapters, formats, evaluators, views and all "
        "other kinds.",
        "doctor": "Show Python, packages, devices, engines, plugins and folders; exit 1 if something is "
        "broken.",
        "demo": "Write synthetic scenes, predict them with the toy adapter, validate, evaluate, and draw "
        "overlays.",
    },
}
"""Heading in ``anydet --help`` -> summaries by name: the first sentence of each command's help, so that
listing them imports none of them."""


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
def register_scenes(register: Callable[[SceneSpec], None]) -> None:
    """The scenes of ``anydet.data.scenes``."""
    register(
        SceneSpec(
            "shapes",
            "anydet.data.scenes.shape_scenes:SyntheticDataset",
            "colored shapes on textured backgrounds: COCO has boxes, masks and keypoints, YOLO boxes",
            writers={
                "yolo": "anydet.data.writing.yolo:write_yolo",
                "coco": "anydet.data.scenes.shape_scenes:write_coco_shapes",
            },
            next_step="anydet export-predictions --adapter toy --dataset {out} --output predictions.json",
        )
    )
    register(
        SceneSpec(
            "segmentation",
            "anydet.data.scenes.mask_scenes:SyntheticMasks",
            "shapes with a class for each pixel, and for the image the class that covers most of it",
            writers={"class-masks": "anydet.data.writing.class_masks:write_class_masks"},
            next_step="anydet train --adapter adaptivestream --dataset {out} --split {split}",
        )
    )


@hookimpl
def register_engines(register: Callable[[EngineSpec], None]) -> None:
    """The reference engine."""
    register(EngineSpec("pycocotools", "anydet.evaluation.pycocotools_engine:PycocotoolsEngine", priority=0))


@hookimpl
def register_evaluators(register: Callable[[EvaluatorSpec], None]) -> None:
    """The evaluators of ``anydet.evaluation``."""
    for name, factory, summary in _EVALUATORS:
        register(EvaluatorSpec(name, f"anydet.evaluation.{factory}", summary, default=name not in _NAMED))


_TTA = "anydet.adaptation.tta"


@hookimpl
def register_views(register: Callable[[ViewSpec], None]) -> None:
    """The views of ``anydet.adaptation.tta``."""
    for name, factory, summary, schema in (
        ("original", "Original", "the image as it is", None),
        ("hflip", "Mirrored", "mirrored left and right", None),
        (
            "random_hflip",
            "RandomlyMirrored",
            "mirrored with a probability, by seed and image",
            "random_hflip",
        ),
        ("vflip", "UpsideDown", "mirrored top and bottom", None),
        ("rot90", "Turned", "turned counterclockwise by quarter turns", "rot90"),
        ("scale", "Scaled", "larger or smaller by a factor", "scale"),
        ("slice", "Sliced", "square windows that cover the image, for small objects", "slice"),
    ):
        options = schema and f"{_TTA}:{schema}.schema.json"
        register(ViewSpec(name, f"{_TTA}.views:{factory}", summary, options_schema=options))


@hookimpl
def register_fusions(register: Callable[[FusionSpec], None]) -> None:
    """The fusions of ``anydet.adaptation.tta``."""
    for name, factory, summary in (
        ("nms", "NonMaximumSuppression", "drops what overlaps a better detection of its class"),
        ("wbf", "WeightedBoxesFusion", "overlapping detections of a class become one, their weighted mean"),
        ("nmw", "NonMaximumWeighted", "as nms, with boxes that are the mean of what they stand for"),
        ("soft-nms", "SoftNonMaximumSuppression", "lowers scores by the overlap with better detections"),
    ):
        options = f"{_TTA}:{name}.schema.json"
        register(FusionSpec(name, f"{_TTA}.fusions:{factory}", summary, options_schema=options))


_TTT = "anydet.adaptation.ttt"
_TRAINED = ("steps", "batch_size", "lr", "max_batches", "update_filter", "include", "exclude")
_SAFE = {"steps": 1, "batch_size": 8, "lr": 1e-4, "update_filter": "norm_only", "gate": 0.12}


@hookimpl
def register_ttt_methods(register: Callable[[TTTMethodSpec], None]) -> None:
    """The methods of ``anydet.adaptation.ttt``."""
    for name, factory, summary, presets, settings in (
        (
            "tent",
            "tent:Tent",
            "norms that minimize the entropy of confident detections",
            {"safe": _SAFE, "adapter_only": {**_SAFE, "update_filter": "adapter_only"}},
            _TRAINED,
        ),
        (
            "norm",
            "norm:Norm",
            "statistics of batch norms follow the images; no parameter changes",
            {"norm_safe": {"batch_size": 8, "gate": 0.12}},
            ("batch_size", "max_batches", "include", "exclude"),
        ),
        (
            "mim",
            "mim:MaskedImages",
            "norms that minimize a loss of masked images",
            {"mim_safe": _SAFE},
            _TRAINED,
        ),
        (
            "eata",
            "eata:EfficientAntiForgetting",
            "tent on sure and new images, held to the source by Fisher information",
            {"eata_safe": _SAFE},
            (*_TRAINED, "statistics", "source"),
        ),
        (
            "sar",
            "sar:SharpnessAware",
            "tent on sure detections, where the loss is flat",
            {"sar_safe": _SAFE},
            _TRAINED,
        ),
        (
            "cotta",
            "cotta:MeanTeacher",
            "a student that learns from its averaged teacher, which predicts",
            {"cotta_safe": {**_SAFE, "lr": 1e-5, "update_filter": "all"}},
            _TRAINED,
        ),
        (
            "align",
            "align:Align",
            "norms that give features the statistics of the source's",
            {"align_safe": {**_SAFE, "lr": 1e-3}},
            (*_TRAINED, "statistics", "source"),
        ),
    ):
        register(
            TTTMethodSpec(
                name,
                f"{_TTT}.{factory}",
                summary,
                options_schema=f"{_TTT}:{name}.schema.json",
                presets=presets,
                settings=settings,
            )
        )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """One module a command in ``anydet.commands``."""
    for section, commands in _COMMANDS.items():
        for name, summary in commands.items():
            register(CommandSpec(name, f"anydet.commands.{name.replace('-', '_')}:command", summary, section))
