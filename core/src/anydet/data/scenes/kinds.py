"""The kinds of synthetic scenes, as names and import paths, so that listing them imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.types import Size


@dataclass(frozen=True, slots=True)
class SceneKind:
    """One kind of scenes.

    Attributes:
        dataset: ``module:class`` of a ``Dataset``, built from count, seed, (width, height) and split.
        writers: format -> ``module:function``, called with the data set, a folder, the split and ``report``;
            the first is the default.
        next_step: what to type next; ``{out}`` and ``{split}`` are filled in.
        takes_objects: whether the number of objects in a scene can be chosen.
    """

    dataset: str
    writers: Mapping[str, str]
    next_step: str
    takes_objects: bool = False

    def make(
        self, count: int, seed: int, image_wh: Size, split: str, most_objects: int | None = None
    ) -> Dataset:
        """The first ``count`` scenes of a seed; ``most_objects`` limits objects where the kind allows it."""
        options = {} if most_objects is None else {"most_objects": most_objects}
        made: Dataset = _import(self.dataset)(count, seed, image_wh, split, **options)
        return made

    def write(self, dataset: Dataset, out: Path, layout: str, report: Callable[[int], None]) -> None:
        """Write scenes as the format ``layout``; ``report`` is called with 1 after each image."""
        _import(self.writers[layout])(dataset, out, dataset.split, report=report)


SCENES = {
    "shapes": SceneKind(
        "anydet.data.scenes.shape_scenes:SyntheticDataset",
        {
            "yolo": "anydet.data.writing.yolo:write_yolo",
            "coco": "anydet.data.scenes.shape_scenes:write_coco_shapes",
        },
        "anydet export-predictions --adapter toy --dataset {out} --output predictions.json",
    ),
    "bikes": SceneKind(
        "anydet_delftbikes.scenes.dataset:SyntheticBikes",
        {
            "delftbikes": "anydet_delftbikes.writing:write_delftbikes",
            "coco": "anydet.data.writing.coco:write_coco",
        },
        "anydet check-dataset {out} --split {split}",
    ),
    "segmentation": SceneKind(
        "anydet.data.scenes.mask_scenes:SyntheticMasks",
        {"class-masks": "anydet.data.writing.class_masks:write_class_masks"},
        "anydet train --adapter adaptivestream --dataset {out} --split {split}",
    ),
    "pose": SceneKind(
        "anydet_bop.scenes.dataset:PoseScenes",
        {"bop": "anydet_bop.writing:write_bop", "yolo": "anydet_bop.posed_yolo:write_posed_yolo"},
        "anydet check-dataset {out} --split {split}",
        takes_objects=True,
    ),
}
"""Kind of scenes by the name that ``anydet synth --scene`` takes; the first is the default."""


def _import(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
