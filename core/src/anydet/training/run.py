"""``Run``: one training run, as everything that takes part in it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anydet.data.dataset.protocols import Dataset
from anydet.errors import DatasetError
from anydet.training.config.settings import TrainSettings
from anydet.training.paths import RunPaths
from anydet.types import ClassTable

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What is trained on what, where it is written, and by which settings.

    Attributes:
        adapter: registered name of the adapter.
        dataset: what is trained on.
        validation: what is validated on, or ``None``.
        settings: the engine's keys.
        options: the adapter's own training keys, checked against its training schema, defaults filled in.
        paths: files of the run.
        origins: key -> where its value comes from (flag, config file, adapter default, engine default).
        plugins: observe ``on_train_start``, ``on_train_step``, ``on_train_epoch``, ``on_train_end``.
    """

    adapter: str
    dataset: Dataset
    validation: Dataset | None
    settings: TrainSettings
    paths: RunPaths
    options: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    plugins: Plugins | None = None

    @property
    def classes(self) -> ClassTable:
        """Classes to learn; raises ``DatasetError`` where the data set names none."""
        if self.dataset.classes is None:
            raise DatasetError(
                f"{self.dataset.root}: names no classes",
                fix="give a data.yaml with names, COCO JSON with categories, or classes.txt beside masks/",
            )
        return self.dataset.classes
