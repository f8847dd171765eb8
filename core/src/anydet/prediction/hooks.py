"""What adaptation hands to the pipeline: views (test-time augmentation) and methods (test-time training)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.plugins.adapter import Adapter


@dataclass(frozen=True, slots=True)
class TTASettings:
    """Settings of views; each view takes from them what it knows.

    Attributes:
        seed: owner of the views' random choices, beside each record's key.
        flip_prob: probability with which ``random_hflip`` mirrors an image.
    """

    seed: int = 0
    flip_prob: float = 0.5


@dataclass(frozen=True, slots=True)
class TTTSettings:
    """Settings of a test-time training method; ``None`` means the method's own default.

    Attributes:
        preset: named bundle of the method's settings ("safe", ...).
        reset: "sample" restores the model before each chunk, "stream" lets changes add up.
        steps: optimizer steps a chunk.
        batch_size: images a step.
        lr: learning rate.
        max_batches: bound on adaptation batches of the whole run.
        seed: owner of its random choices.
    """

    preset: str | None = None
    reset: str = "sample"
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    max_batches: int | None = None
    seed: int = 0


class View(Protocol):
    """A way of showing an image to the adapter. Registered by name through ``register_views``."""

    def apply(self, record: Record) -> Sequence[Record]:
        """The records that the adapter shall predict instead of ``record``.

        Each is ``record.derive(...)``, any number of times derived, or ``record`` itself: one mirrored image,
        several scales, many tiles. Results come back through the record that they were found on
        (``Record.undo``), so that a view has nothing to map back.
        """


class TTTMethod(Protocol):
    """A way of training on the test images. Registered by name through ``register_ttt_methods``."""

    def prepare(self, adapter: Adapter) -> None:
        """Once, before the first chunk: keep what ``restore`` needs."""

    def adapt(self, records: Sequence[Record]) -> None:
        """Change the adapter's model for this chunk, before it predicts."""

    def restore(self) -> None:
        """Once, at the end, also after an error: put the model back."""


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
