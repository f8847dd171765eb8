"""``Run``: one training run, as everything that takes part in it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anydet.data.dataset.protocols import Dataset
from anydet.training.config.settings import TrainSettings
from anydet.training.paths import RunPaths

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
        paths: where the run's files lie.
        origins: key -> where its value comes from (flag, config file, adapter default, engine default).
        plugins: who is told of ``on_train_start``, ``step``, ``epoch``, ``end``.
    """

    adapter: str
    dataset: Dataset
    validation: Dataset | None
    settings: TrainSettings
    paths: RunPaths
    options: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    plugins: Plugins | None = None
