"""``TorchAdapter``: the life of an adapter whose model is a torch module, from weights to training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.inputs import keep
from anydet.plugins.adapter import Adapter, AdapterNotes, Masking, TrainResult
from anydet.training.checkpoints.checkpoint import find_checkpoint
from anydet.training.checkpoints.plain_data import digest
from anydet.training.continual.distillation import Teacher
from anydet.training.engine import train
from anydet.training.first_weights import Names
from anydet.training.lora.layers import has_peft, insert
from anydet.training.lora.spec import LoraState
from anydet.training.masking import masked_feature_loss
from anydet.training.model import TorchModel
from anydet.training.predictor import BatchPredictor
from anydet.training.run import Run
from anydet.training.stages import Staged, TorchStages
from anydet.training.task import TrainingTask
from anydet.training.weights import Bounded, LoraWeights, load_weights
from anydet.types import AdapterSettings, ImagePredictions


class SavedWeights(Protocol):
    """Weights as they were read: a ``Checkpoint``, or what a model family makes of one.

    One that passes on ``Checkpoint.lora`` under the same name has its LoRA layers in the live model; of
    another they are merged into the weights.
    """

    @property
    def model(self) -> Mapping[str, Tensor]:
        """State dictionary."""

    @property
    def source(self) -> str:
        """File, for messages."""


ModelT = TypeVar("ModelT", bound=TorchModel)
SavedT = TypeVar("SavedT", bound=SavedWeights)


class TorchAdapter(Adapter, Generic[ModelT, SavedT]):
    """Base class of adapters of torch models.

    A model family defines how weights are read (``read_saved``), how the model is built (``build_model``),
    which predictor goes with it (``build_predictor``) and what training it means (``build_task``).

    Attributes:
        registered_name: name that messages and checkpoints have; ``name`` is known after ``__init__`` only.
        has_configs: whether ``settings.config`` is used.
        weights_hint: options that give weights, for the warning of a random model.
        saved: what ``settings.checkpoint`` holds, or ``None``.
        trained: whether the weights are learned, rather than random.

    Raises:
        TrainingError: the checkpoint cannot be read, or is another adapter's.
        OptionError: a configuration is given where there are none.
    """

    registered_name: ClassVar[str]
    has_configs: ClassVar[bool] = False
    weights_hint: ClassVar[str] = "--checkpoint RUN (a run's folder or best.pt)"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        if settings.config is not None and not self.has_configs:
            raise OptionError(
                f"the {self.registered_name} adapter has no configurations (got {settings.config!r})",
                fix="leave --config out; a checkpoint stores its architecture",
            )
        # read now, so that a wrong checkpoint is an error before anything is decoded; the model itself is
        # built on first use, as training builds another one
        self.saved: SavedT | None = self.read_saved(settings.checkpoint) if settings.checkpoint else None
        self.trained = self.saved is not None
        self._kept: dict[int, tuple[Record, Any]] | None = None

    @abstractmethod
    def read_saved(self, checkpoint: str) -> SavedT:
        """Weights of a run's folder or a file.

        Raises ``TrainingError`` where they cannot be read or are another adapter's.
        """

    @abstractmethod
    def build_model(self) -> ModelT:
        """The model that ``predict`` uses, on the CPU; random numbers start at ``settings.seed``.

        ``saved`` weights are put into it afterwards.
        """

    @abstractmethod
    def build_predictor(self, model: ModelT) -> BatchPredictor[Any]:
        """How predictions are made with ``model``, by ``settings`` and marked by ``stage``."""

    @abstractmethod
    def build_task(self, run: Run) -> TrainingTask:
        """What ``run.options`` train, for the classes of ``run.dataset``, with its first weights.

        Called after the seeds are set; a checkpoint in ``settings`` gives the first weights.
        """

    @property
    def notes(self) -> AdapterNotes:
        """Whether the weights mean anything; a model family adds its preprocessing."""
        random = (
            f"{self.registered_name} has RANDOM WEIGHTS: no checkpoint was given, and its predictions mean "
            f"nothing; add {self.weights_hint}"
        )
        return AdapterNotes(warnings=() if self.trained else (random,))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order."""
        return self._live_predictor()(records)

    @property
    def stages(self) -> TorchStages | None:
        """Its stages one by one, where its predictor has them and its model can be exported."""
        predictor = self.build_predictor(self.model)
        return TorchStages(predictor, self.export_spec()) if isinstance(predictor, Staged) else None

    def get_model(self) -> ModelT:
        """The live module that ``predict`` uses."""
        model: ModelT = self.model
        return model

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterable[Tensor]:
        """(B, 3, H, W) inputs as ``predict`` prepares them, on the model's device."""
        predictor = self._live_predictor()
        return map(predictor.stack, predictor.batches(records, batch_size))

    @contextmanager
    def keeping_inputs(self) -> Iterator[None]:
        """Keep the inputs of all records, in memory, until it is closed."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def synchronize(self) -> None:
        """Wait for the model's device, which has its work queued; the CPU does its own at once."""
        # A model that is not built yet has given its device no work, and is not built for this.
        if "model" in self.__dict__:
            device = next(self.model.parameters()).device
            if device.type != "cpu":
                torch.accelerator.synchronize(device)

    def features(self, batch: Tensor) -> Mapping[str, Tensor]:
        """Feature maps of the live model."""
        return self.model.features(batch)

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """Names of the live model's modules."""
        return self.model.module_names()

    def self_supervised_loss(
        self, batch: Tensor, generator: torch.Generator, masking: Masking | None = None
    ) -> Tensor:
        """``masked_feature_loss`` of the live model; a family that trains a branch for it has its own."""
        return masked_feature_loss(self.model, batch, generator, masking or Masking())

    def training_task(self, run: Run) -> TrainingTask:
        """The task of ``build_task``; its model is from now on the one that ``predict`` uses."""
        with self._bounded():
            task = self.build_task(run)
        model: Any = task.model
        self.model, self.trained = model, True
        return task

    def train(self, run: Run) -> TrainResult:
        """Train by the engine's loop; the result's checkpoint is what ``predict`` loads."""
        result = train(self.training_task, run, open_teacher=self.open_teacher)
        self.model.eval()
        return result

    def open_teacher(self, checkpoint: str) -> Teacher:
        """The model of another checkpoint of this adapter, as its file describes it; see ``read_saved``."""
        keep(find_checkpoint(checkpoint))
        other = type(self)(replace(self.settings, checkpoint=checkpoint, config=None, options={}))
        other.spec, other.version = self.spec, self.version
        assert other.saved is not None
        classes = other.classes.names if other.classes is not None else ()
        names = Names(classes, other.notes.states)
        return Teacher(other.model, names, other.saved.source, digest(dict(other.saved.model)))

    @cached_property
    def model(self) -> ModelT:
        """With the saved weights, or random ones of the settings' seed; in evaluation mode."""
        # the process's own random numbers go on as if no model had been built
        with torch.random.fork_rng([]):
            torch.manual_seed(self.settings.seed)
            with self._bounded():
                model = self.build_model()
            self._load(model)
        return model.to(self.settings.device).eval()

    def _load(self, model: nn.Module) -> None:
        """The saved weights; LoRA layers stay apart, so that test-time training can choose them."""
        if self.saved is None:
            return
        lora: LoraState | None = getattr(self.saved, "lora", None)
        if lora is None or not has_peft():  # merged weights predict the same
            load_weights(model, self.saved.model, source=self.saved.source)
            return
        insert(model, lora.spec)
        state = {**self.saved.model, **lora.tensors}
        LoraWeights(lora.spec).load_predicting_state(model, state, source=self.saved.source)

    def _bounded(self) -> AbstractContextManager[object]:
        """Around the building of a model that ``saved`` describes."""
        return nullcontext() if self.saved is None else Bounded(self.saved.model, source=self.saved.source)

    def _live_predictor(self) -> BatchPredictor[Any]:
        return replace(self.build_predictor(self.model), kept=self._kept)

    def class_names(self, known: Sequence[str]) -> tuple[str, ...]:
        """Names of the classes: those of the option ``names``, else ``known``.

        Raises ``OptionError`` where there are more or fewer.
        """
        names = tuple(self.settings.options.get("names") or known)
        if len(names) != len(known):
            raise OptionError(
                f"option names: {len(names)} names for {len(known)} classes",
                fix="give one name a class, or leave names out",
            )
        return names
