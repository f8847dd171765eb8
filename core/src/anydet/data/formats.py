"""The built-in data set formats as names and import paths, so that listing them imports nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anydet.data.dataset import DatasetFormat

BUILTIN = (
    ("dataset.json", "anydet.data.descriptor:DATASET_JSON", "dataset.json as prepare_coco_yolo writes it"),
    ("coco", "anydet.data.coco:FORMAT", "COCO instances JSON and an image folder"),
    ("ultralytics", "anydet.data.descriptor:ULTRALYTICS", "Ultralytics data.yaml"),
    ("yolo", "anydet.data.yolo:FORMAT", "images/<split> beside labels/<split>/*.txt"),
    ("folder", "anydet.data.folder:FORMAT", "images without labels"),
)
"""(name, ``module:attribute`` of a ``DatasetFormat``, summary), in the order in which they are tried."""


def builtin_formats() -> list[DatasetFormat]:
    """The built-in formats, imported, in the order in which they are tried."""
    formats: list[DatasetFormat] = []
    for _, factory, _ in BUILTIN:
        module, _, attribute = factory.partition(":")
        formats.append(getattr(import_module(module), attribute))
    return formats
