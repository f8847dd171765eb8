"""What plugins register: names and import paths as data, so that listing imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from anydet.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Spec:
    """Cheap description of something a plugin offers.

    Attributes:
        name: what people type; unique among all plugins.
        factory: ``package.module:attribute``, imported only when it is used.
        summary: one line for listings.
    """

    name: str
    factory: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ConfigurableSpec(Spec):
    """Something that has options of its own, checked and completed before it is built.

    Attributes:
        options_schema: ``package:file`` of the JSON Schema of its options; ``None`` where it has none.
            Under ``x-check`` it may have options with which checks of an adapter are quick: small inputs.
    """

    options_schema: str | None = None


@dataclass(frozen=True, slots=True)
class AdapterSpec(ConfigurableSpec):
    """An adapter: ``factory(settings: AdapterSettings) -> Adapter``; its options are ``--option key=value``.

    Attributes:
        tasks: what it predicts ("detect", "segment", "pose", ...).
        capabilities: any of ``CAPABILITIES``; ``anydet adapters check`` holds the adapter to them.
        training_schema: ``package:file`` of the JSON Schema of its own training keys.
        device: that it runs on where none is given.
    """

    tasks: tuple[str, ...] = ("detect",)
    capabilities: tuple[str, ...] = ("predict",)
    training_schema: str | None = None
    device: str = "cpu"


CAPABILITIES = {
    "predict": ("predict",),
    "train": ("train",),
    "ttt": ("get_model", "build_loader", "class_logits"),
    "features": ("get_model", "build_loader", "features", "module_names"),
    "self-supervised": ("get_model", "build_loader", "self_supervised_loss"),
    "export-onnx": ("get_model", "export_spec"),
    "inputs": ("build_loader",),
}
"""Capability -> methods of ``Adapter`` that it stands for."""

CAPABILITY_NAMES = {
    "predict": "prediction",
    "train": "training",
    "ttt": "test-time training",
    "features": "features of backbone and neck",
    "self-supervised": "losses without labels",
    "export-onnx": "export to ONNX",
    "inputs": "inputs of its model",
}
"""Capability -> what an adapter without it does not support, in words."""


@dataclass(frozen=True, slots=True)
class DatasetSpec(Spec):
    """A data set format: ``factory`` names a ``data.DatasetFormat``."""


@dataclass(frozen=True, slots=True)
class SceneSpec(Spec):
    """A kind of synthetic scenes: ``factory(count, seed, image_wh, split)`` gives a ``data.Dataset``.

    Attributes:
        writers: data set format -> ``module:function``, called with data set, folder, split and ``report``,
            a function to call with 1 after each image; the first is the default.
        next_step: command to type after writing; ``{out}`` and ``{split}`` are filled in.
        takes_objects: whether ``factory`` takes ``most_objects``, the maximum of objects in a scene.
    """

    writers: Mapping[str, str] = field(default_factory=dict)
    next_step: str = "anydet check-dataset {out} --split {split}"
    takes_objects: bool = False


@dataclass(frozen=True, slots=True)
class EngineSpec(Spec):
    """A COCO engine: ``factory()`` gives a ``evaluation.Engine``.

    Attributes:
        priority: the highest of the installed engines is the default; pycocotools has 0.
    """

    priority: int = 1


@dataclass(frozen=True, slots=True)
class EvaluatorSpec(Spec):
    """An evaluator: ``factory(ground_truth: GroundTruthColumns)`` gives an ``evaluation.Evaluator``.

    ``anydet eval`` runs all that apply, or those that are named. ``ground_truth`` says what the
    evaluator needs to know beforehand, as the class table; the images come with ``add``. Its result has
    metrics, tables and figures (``evaluation.results.Measured``), which are printed, written and drawn.

    Attributes:
        default: whether it runs without being named.
    """

    default: bool = True


@dataclass(frozen=True, slots=True)
class ViewSpec(ConfigurableSpec):
    """A test-time augmentation view: ``factory(settings: ViewSettings)`` gives a ``prediction.View``.

    ``--tta-views NAME:a:b`` fills its options in the order of its schema.
    """


@dataclass(frozen=True, slots=True)
class FusionSpec(ConfigurableSpec):
    """A fusion of results: ``factory(settings: FusionSettings)`` gives a ``prediction.Fusion``."""


@dataclass(frozen=True, slots=True)
class LayoutSpec(Spec):
    """A layout of models' outputs: ``factory()`` gives an ``anydet.runtime.layouts.layout_file.LayoutFile``.

    One that says how images are prepared is a preset of that name, too.
    """


TTT_SETTINGS = (
    "steps",
    "batch_size",
    "lr",
    "max_batches",
    "update_filter",
    "include",
    "exclude",
    "statistics",
    "source",
)
"""Settings of a run that a method of test-time training may do without."""


UPDATE_FILTERS = ("all", "norm_only", "adapter_only", "lora_only", "lora_norm_only")
"""Which parameters a method of test-time training may change."""


@dataclass(frozen=True, slots=True)
class TTTMethodSpec(ConfigurableSpec):
    """A test-time training method: ``factory(settings: TTTSettings)`` gives a ``prediction.TTTMethod``.

    Attributes:
        presets: names that ``--ttt-preset`` takes, and what each stands for: settings of ``TTT_SETTINGS``
            and the method's own options. What is given beside a preset goes before it.
        settings: those of ``TTT_SETTINGS`` that it uses; the others are refused.
    """

    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: tuple[str, ...] = TTT_SETTINGS


@dataclass(frozen=True, slots=True)
class CommandSpec(Spec):
    """A click command or group that appears as ``anydet NAME``; ``factory`` names it.

    Attributes:
        section: heading in ``anydet --help``, one of core's ("Predict", "Evaluate", ...) or another.
    """

    section: str = "From plugins"
