"""The built-in data set formats as names and import paths, so that listing them imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anydet.data.dataset import DatasetFormat

BUILTIN = (
    ("dataset.json", "anydet.data.datasetjson:FORMAT", "dataset.json as prepare_coco_yolo writes it"),
    ("delftbikes", "anydet.data.delftbikes:FORMAT", "DelftBikes parts with states, as published"),
    ("coco-panoptic", "anydet.data.cocopanoptic:FORMAT", "COCO panoptic JSON and its PNG files"),
    ("coco-semantic", "anydet.data.cocosemantic:FORMAT", "COCO stuff or semantic JSON: masks of all pixels"),
    ("coco", "anydet.data.coco:FORMAT", "COCO instances JSON and an image folder"),
    ("ultralytics", "anydet.data.descriptor:ULTRALYTICS", "Ultralytics data.yaml"),
    ("yolo", "anydet.data.yolo:FORMAT", "images/<split> beside labels/<split>/*.txt"),
    ("class-masks", "anydet.data.maskfolder:FORMAT", "images/<split> beside masks/<split>/*.png"),
    ("bop", "anydet.data.bop:FORMAT", "BOP scenes: <split>/000000/scene_gt.json beside rgb/, and models/"),
    ("folder", "anydet.data.folder:FORMAT", "images without labels"),
)
"""(name, ``module:attribute`` of a ``DatasetFormat``, summary), in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class DeferredFormat:
    """A format that is imported when its turn comes.

    Attributes:
        name: as it is registered.
        load: imports it.
    """

    name: str
    load: Callable[[], DatasetFormat]


def builtin_formats() -> list[DeferredFormat]:
    """The built-in formats, in the order in which they are tried."""
    return [DeferredFormat(name, partial(_import, factory)) for name, factory, _ in BUILTIN]


def _import(factory: str) -> DatasetFormat:
    module, _, attribute = factory.partition(":")
    known: DatasetFormat = getattr(import_module(module), attribute)
    return known
