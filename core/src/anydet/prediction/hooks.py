"""What adaptation hands to the pipeline: views and fusions, and methods of test-time training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import Any, Protocol

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.plugins.adapter import Adapter
from anydet.types import ImagePredictions


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """What a view is built with.

    Attributes:
        options: its own options, checked against its schema and complete.
        seed: of its random choices, which depend on it and each record's key.
        keypoint_names: of the adapter that gets its records, where it has keypoints; else empty.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    keypoint_names: tuple[str, ...] = ()


class View(Protocol):
    """A way of showing an image to the adapter. Registered by name through ``register_views``."""

    def apply(self, record: Record) -> Sequence[Record]:
        """The records that the adapter shall predict instead of ``record``.

        Each is ``record.derive(...)``, any number of times derived, or ``record`` itself: one mirrored image,
        several scales, many tiles. Results are mapped back by the transforms of the derived record
        (``Record.undo``), so that a view has nothing to map back.
        """


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """What a fusion is built with.

    Attributes:
        options: its own options, checked against its schema and complete.
    """

    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ViewResult:
    """What was found on one derived record.

    Attributes:
        predictions: in pixels of the record that the views derived from.
        weight: of the view, positive.
        window_xyxy_px: the part of the image that the derived record shows: all of it, or a tile.
    """

    predictions: ImagePredictions
    weight: float
    window_xyxy_px: tuple[float, float, float, float]


class Fusion(Protocol):
    """A way of making one result of several. Registered by name through ``register_fusions``.

    Which detections are the same object, and its box and score, are the fusion's own matter; also that tiles
    cut objects at their borders. All else is one rule for every fusion, in ``anydet.adaptation.tta.merging``:
    image-level values are those of ``join_results``, and detections that become one have the masks,
    keypoints, states, poses and extras of ``merge_clusters``.
    """

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """One result of the two or more results of an image; a single result is never fused."""


@dataclass(frozen=True, slots=True)
class TTTSettings:
    """What a method of test-time training is built with; ``None`` means the method's own default.

    Attributes:
        preset: named bundle of the method's settings ("safe", ...), which are in the other fields already.
        reset: "sample" restores the model before each chunk, "stream" lets changes add up.
        steps: optimizer steps a batch.
        batch_size: images a batch.
        lr: learning rate.
        max_batches: bound on adaptation batches of the whole run.
        update_filter: which parameters may change ("all", "norm_only", ...).
        include: patterns of names of parameters and modules that may change.
        exclude: patterns of those that may not.
        statistics: path of what ``anydet ttt-statistics`` wrote about the source data.
        seed: of its random choices.
        options: the method's own options, checked against its schema and complete.
    """

    preset: str | None = None
    reset: str = "sample"
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    max_batches: int | None = None
    update_filter: str | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    statistics: str | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TTTDescription:
    """Settings that a method runs with, presets and defaults resolved; ``meta.ttt`` states them.

    Attributes:
        steps: optimizer steps a batch; 0 for a method without optimizer.
        batch_size: images a batch.
        lr: learning rate; 0 for a method without one.
        update_filter: which parameters it changes ("all", "norm_only", ...), or "none".
        include: patterns of parameter names that it changes, or ``None``.
        exclude: patterns of parameter names that it leaves alone, or ``None``.
        max_batches: bound on adaptation batches of the run; 0 means none.
        mim: mask_prob, patch_size and mask_value of masked-image training; empty where there is none.
    """

    steps: int = 0
    batch_size: int = 0
    lr: float = 0.0
    update_filter: str = "none"
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    max_batches: int = 0
    mim: Mapping[str, float] = field(default_factory=dict)


class TTTMethod(ABC):
    """A way of training on the test images. Registered by name through ``register_ttt_methods``.

    Order of the calls: ``prepare``; for each chunk ``adapt``, then ``predict`` of the adapter inside
    ``predicting``; ``restore``; ``describe`` and ``report`` at any time after ``prepare``.

    Attributes:
        settings: those of the run.
        on_step: to be called with the numbers of each step, plain data that ``--ttt-log-out`` writes.
    """

    def __init__(self, settings: TTTSettings) -> None:
        self.settings = settings
        self.on_step: Callable[[Mapping[str, Any]], None] = _nothing

    @property
    def min_images(self) -> int:
        """Minimum of images in a chunk; the last chunk of a run may hold fewer.

        Where it is more than the adapter's batch size, the adapter still predicts in batches of its own size.
        """
        return self.settings.batch_size or 1

    @abstractmethod
    def prepare(self, adapter: Adapter, source: Dataset | None = None) -> None:
        """Once, before the first chunk: keep what ``restore`` needs.

        Args:
            adapter: whose model is trained; raise ``UnsupportedError`` where it lacks a capability.
            source: images like those that the model was trained on, where the run names such a data set.
        """

    @abstractmethod
    def adapt(self, records: Sequence[Record]) -> None:
        """Change the adapter's model for this chunk, before it predicts."""

    def predicting(self) -> AbstractContextManager[object]:
        """Around the prediction of a chunk; a method with a teacher puts the teacher's weights in for it."""
        return nullcontext()

    @abstractmethod
    def restore(self) -> None:
        """Once, at the end, also after an error: put the model back."""

    @abstractmethod
    def describe(self) -> TTTDescription:
        """The settings that it runs with."""

    def report(self) -> Mapping[str, Any]:
        """What happened so far, as JSON knows it: steps taken, steps skipped and why, losses.

        ``preset``, ``reset``, ``options`` and ``source`` in it give way to the run's own.
        """
        return {}


def _nothing(_step: Mapping[str, Any]) -> None:
    """For steps that are not logged."""


@dataclass(frozen=True, slots=True)
class PredictContext:
    """What the events ``before_predict`` and ``after_predict`` get beside their data.

    Attributes:
        adapter: registered name.
        first: position of the chunk's first record in the run.
        total: number of records in the run.
    """

    adapter: str
    first: int
    total: int
