"""``About``: everything that decides which tensors a model has, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from anydet.training.checkpoints.description import broken_description, read_description
from anydet.types import ClassTable
from anydet_torchvision.zoo import USUAL_MODEL, model_names

NAME = "torchvision"
NO_CLASS = "N/A"
"""What torchvision calls those of COCO's 90 ids that no object has."""
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Pixels: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class About:
    """A model, described so that its checkpoint rebuilds it; ``None`` is torchvision's own number.

    Attributes:
        model: name in torchvision's registry.
        rows: names of labels 1, 2, ... of the model, whose 0 is the background; "N/A" is no class where
            ``gaps`` says so.
        gaps: whether labels called "N/A" are none.
        keypoint_names: of a Keypoint R-CNN, in the order of its outputs.
        norm_eps: epsilon of batch norms whose statistics are frozen; ``None`` where they are not.
        min_size: the short side of an input, in pixels.
        max_size: the most that the long side may have.
        proposals: regions of an image that go into the second stage in prediction.
        nms_iou: detections of a class that overlap more than this are one.
    """

    model: str = USUAL_MODEL
    rows: tuple[str, ...] = ()
    gaps: bool = False
    keypoint_names: tuple[str, ...] = ()
    norm_eps: Annotated[float, Meta(ge=0, le=1)] | None = None
    min_size: Pixels | None = None
    max_size: Pixels | None = None
    proposals: Count | None = None
    nms_iou: Annotated[float, Meta(ge=0, le=1)] | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Label of each class."""
        return tuple(label for label, name in enumerate(self.rows, 1) if not (self.gaps and name == NO_CLASS))

    @property
    def classes(self) -> ClassTable:
        """Contiguous classes; their own ids are the model's labels, which are COCO's for COCO's weights."""
        return ClassTable(tuple(self.rows[label - 1] for label in self.labels), self.labels)

    def named(self, classes: Sequence[str]) -> About:
        """The same with other names of its classes."""
        rows = list(self.rows)
        for label, name in zip(self.labels, classes, strict=True):
            rows[label - 1] = name
        return replace(self, rows=tuple(rows))

    def with_options(self, options: Mapping[str, Any]) -> About:
        """Those options that are numbers of it and not ``None``, in place of what is here."""
        keys = "min_size", "max_size", "proposals", "nms_iou"
        return replace(self, **{key: options[key] for key in keys if options.get(key) is not None})

    def description(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        lists = {"rows": list(self.rows), "keypoint_names": list(self.keypoint_names)}
        return {**asdict(self), **lists}

    @classmethod
    def from_description(cls, description: Any, *, source: str) -> About:
        """What ``description`` gave; raises ``TrainingError`` where it is something else."""
        about = read_description(description, cls, source=source, adapter=NAME)
        if about.model not in model_names():
            problem = f"the installed torchvision has no model {about.model!r:.100}"
            raise broken_description(problem, source=source, adapter=NAME)
        if not about.labels:
            raise broken_description("it has no classes", source=source, adapter=NAME)
        return about
