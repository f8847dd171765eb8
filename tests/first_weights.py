"""What a model that begins with another one's weights must have of it, for tests of all model families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from anydet.data.dataset.base import DatasetView
from anydet.training.adapter import TorchAdapter
from anydet.training.run import Run
from anydet.types import ClassTable, GroundTruthColumns

NEW = ("cat", "dog")
ORDERS: dict[str, Callable[[Sequence[str]], tuple[str, ...]]] = {
    "same": tuple,
    "reversed": lambda names: tuple(reversed(names)),
    "subset": lambda names: (names[2], names[0]),
    "some new": lambda names: (NEW[0], names[1], NEW[1], names[0]),
    "all new": lambda names: tuple(f"other {name}" for name in names),
}
"""What becomes of the names of a checkpoint in the data that is trained on next."""


@dataclass(frozen=True, eq=False)
class Renamed(DatasetView):
    """A data set whose classes have these names; its labels mean nothing."""

    names: tuple[str, ...]

    @property
    def classes(self) -> ClassTable:
        return ClassTable(self.names)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        return replace(self.dataset.ground_truth(max_images), classes=self.classes, objects=None)


def assert_classes_follow_their_names(
    old: TorchAdapter, new: TorchAdapter, run: Run, order: str, batch: torch.Tensor
) -> None:
    """Start ``new`` from its checkpoint, of ``old``, on data of other names; compare logits name by name."""
    before = old.classes.names
    names = ORDERS[order](before)
    task = new.training_task(replace(run, dataset=Renamed(run.dataset, names), validation=None))
    task.model.eval()
    with torch.no_grad():
        theirs = old.class_logits(batch)
        ours = new.class_logits(batch, like=theirs)
    background = theirs.logits.shape[-1] - len(before)
    kept = [name for name in names if name in before]
    for name in kept:
        column, was = ours.logits[..., background + names.index(name)], before.index(name)
        torch.testing.assert_close(column, theirs.logits[..., background + was], msg=name)
    for place, name in enumerate(names):
        if name not in before:
            column = ours.logits[..., background + place, None]
            differs = (column - theirs.logits).abs().amax(dim=(0, 1))
            assert (differs > 1e-3).all(), f"{name} has an old class's weights"
    line = task.first_weights.line
    assert line.startswith(f"{len(kept)} of {len(names)} classes from ")
    new = [name for name in names if name not in before]
    assert ("new: " in line) == bool(new)
    assert all(name in line for name in new[:8])
