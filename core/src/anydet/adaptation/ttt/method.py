"""What all methods have in common: batches, guard rails, rollback, report; and those with an optimizer."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from anydet.adaptation.ttt.guards import Collapse, Limits, norm_of, relative_norm
from anydet.adaptation.ttt.selection import (
    Scope,
    check_patterns,
    require_parameters,
    select_statistics,
    shorten,
)
from anydet.adaptation.ttt.snapshot import Modes, Snapshot, named_tensors
from anydet.adaptation.ttt.statistics import NormStatistics
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.prediction.hooks import TTTDescription, TTTMethod, TTTSettings
from anydet.types import ImagePredictions

_MOST_LOGGED = 1000
_BACKBONE = ("backbone",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Settings of a method where none are given.

    Attributes:
        steps: optimizer steps a batch; 0 for a method without optimizer.
        batch_size: images a batch.
        lr: learning rate.
        update_filter: which parameters change; "none" for a method that changes none.
        include: patterns of names; parts that the adapter does not name do not count.
    """

    steps: int = 1
    batch_size: int = 8
    lr: float = 1e-4
    update_filter: str = "norm_only"
    include: tuple[str, ...] | None = _BACKBONE


@dataclass(slots=True)
class State:
    """What a rollback puts back.

    Attributes:
        tensors: of the model, those that the method changes.
        optimizer: its state, or ``None``.
        own: what else the method keeps from batch to batch.
    """

    tensors: Snapshot
    optimizer: Any
    own: Any


@dataclass(slots=True)
class Tally:
    """What happened so far, for the report.

    Attributes:
        batches: that came.
        adapted: whose change was kept.
        skipped: reason -> batches that changed nothing.
        rollbacks: guard -> batches that were taken back.
        stop_reason: guard that ended adaptation, or ``None``.
        steps: numbers of the first batches.
        unlogged: batches after those.
    """

    batches: int = 0
    adapted: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    rollbacks: dict[str, int] = field(default_factory=dict)
    stop_reason: str | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    unlogged: int = 0


class SkipBatchError(Exception):
    """Nothing can be learned of a batch; its text says why, in one word."""


class ModelMethod(TTTMethod):
    """A method that changes an adapter's torch model, batch by batch, within guard rails.

    A batch that breaks a limit is taken back: parameters, buffers and optimizer are what they were before it.
    After ``max_rollbacks`` such batches in a row adaptation stops, and the rest is predicted by the last good
    model. Where images are as the unadapted model knows them (``gate``), the unadapted model predicts them.
    Every few chunks the confident detections are compared with those of the unadapted model, and where
    they have collapsed the model goes back to the last one that passed.

    Attributes:
        name: registered name.
        defaults: settings where none are given.
    """

    name: ClassVar[str]
    defaults: ClassVar[Defaults] = Defaults()

    def __init__(self, settings: TTTSettings) -> None:
        super().__init__(settings)
        options = settings.options
        self.steps = self.defaults.steps if settings.steps is None else settings.steps
        self.batch_size = settings.batch_size or self.defaults.batch_size
        self.lr = self.defaults.lr if settings.lr is None else settings.lr
        self.update_filter = settings.update_filter or self.defaults.update_filter
        self.limits = Limits(**{each.name: options[each.name] for each in fields(Limits)})
        self.confidence = float(options["confidence"])
        self.gate = float(options["gate"])
        self.tally = Tally()
        self._shift: float | None = None

    @property
    def min_images(self) -> int:
        """Images of a batch."""
        return self.batch_size

    def prepare(self, adapter: Adapter, source: Dataset | None = None) -> None:
        """Look at the model, and keep all of it."""
        self.adapter = adapter
        self.model: Any = adapter.get_model()
        if not isinstance(self.model, torch.nn.Module):
            raise UnsupportedError(adapter.name, f"{self.name}, which needs a torch model")
        self.scope = self.read_scope(adapter)
        check_patterns(self.model, self.scope)
        norms = select_statistics(self.model, self.scope)
        self.statistics = NormStatistics(norms, float(self.settings.options["momentum"]), self.batch_size)
        self._first, self._modes = Snapshot.of(self.model), Modes.of(self.model)
        try:
            self._begin_with(adapter)
        except BaseException:
            self.restore()
            raise

    def _begin_with(self, adapter: Adapter) -> None:
        self.parameters = self.choose_parameters()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.parameters)
        names = [*self.parameters, *(self.statistics.names() if self.statistics.momentum else [])]
        self._unadapted = Snapshot({name: self._first.tensors[name] for name in names})
        self._norms = {
            "parameters": norm_of(self._first.tensors[name] for name in self.parameters),
            "statistics": norm_of(self._first.tensors[name] for name in names[len(self.parameters) :]),
        }
        classes = adapter.classes
        self._collapse = Collapse(
            0 if classes is None else len(classes),
            self.confidence,
            **{name: self.settings.options[name] for name in ("least_ratio", "most_ratio", "most_drift")},
        )
        self.start()
        self.begin()

    def start(self) -> None:
        """What a method looks at before the first batch, once; raises ``AnydetError`` where it cannot run."""

    def begin(self) -> None:
        """Everything as it is before the first batch of a stream, or of each sample."""
        self.go_back()
        self._in_a_row, self._chunks = 0, 0
        self._mean_loss: float | None = None
        self._mean_shift: float | None = None
        self._collapse.reset()
        self._verified = self._save()

    def go_back(self) -> None:
        """The unadapted model, and nothing kept from the batches before."""
        self._unadapted.restore(self.model)
        self.reset_own()

    def reset_own(self) -> None:
        """Forget what the method itself keeps from batch to batch: optimizer, averages."""

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Name -> parameter that changes; raises ``OptionError`` where there is none."""
        return require_parameters(self.model, self.update_filter, self.scope, method=self.name)

    def adapt(self, records: Sequence[Record]) -> None:
        """A batch after the other, then a look at what is detected."""
        if self.settings.reset == "sample":
            self.begin()
        if self.defaults.steps and not self.steps:
            return
        changed = False
        for start in range(0, len(records), self.batch_size):
            changed |= self._adapt_batch(records[start : start + self.batch_size])
        every = 1 if self.settings.reset == "sample" else int(self.settings.options["check_every"])
        if every and changed and self._chunks % every == 0:
            self._check_collapse(records)
        self._chunks += 1

    @abstractmethod
    def learn(self, batches: Sequence[Tensor], records: Sequence[Record]) -> dict[str, float]:
        """Change the model by a batch of images.

        Args:
            batches: inputs of the model, several where images of the batch cannot be stacked.
            records: the same images.

        Returns numbers for the log; ``loss`` and ``last_loss`` are guarded where they are there. Raises
        ``SkipBatchError`` where there is nothing to learn.
        """

    def restore(self) -> None:
        """Put the model back, bit for bit, with its modes."""
        self._first.restore(self.model)
        self._modes.restore(self.model)

    def describe(self) -> TTTDescription:
        """The settings that it runs with."""
        settings = self.settings
        optimized = self.defaults.steps > 0
        return TTTDescription(
            steps=self.steps if optimized else 0,
            batch_size=self.batch_size,
            lr=self.lr if optimized else 0.0,
            update_filter=self.update_filter if optimized else "none",
            include=self.scope.include,
            exclude=self.scope.exclude,
            max_batches=settings.max_batches or 0,
        )

    def report(self) -> Mapping[str, Any]:
        """Counts, what was taken back and why, what changes, and the numbers of the first batches."""
        tally = self.tally
        return {
            "batches": tally.batches,
            "adapted": tally.adapted,
            "skipped": dict(tally.skipped),
            "rollbacks": dict(tally.rollbacks),
            "stop_reason": tally.stop_reason,
            "parameters": len(self.parameters),
            "parameter_names": shorten(list(self.parameters)),
            "norms": len(self.statistics.norms) if self.statistics.momentum else 0,
            **self.own_report(),
            "log": list(tally.steps),
            "log_cut": tally.unlogged > 0,
        }

    def own_report(self) -> Mapping[str, Any]:
        """What the method itself has to report."""
        return {}

    def generator(self, records: Sequence[Record]) -> torch.Generator:
        """Random numbers of a batch, which depend on the seed and its first image alone."""
        digest = hashlib.sha256(f"{self.settings.seed}:{records[0].key}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))

    def read_scope(self, adapter: Adapter) -> Scope:
        """Where the method may change the model."""
        try:
            parts = dict(adapter.module_names())
        except UnsupportedError:
            parts = {}
        include = self.settings.include
        if include is None:
            include = self.defaults.include if parts else None
        return Scope(parts, include, self.settings.exclude)

    def follow(self, batches: Sequence[Tensor]) -> None:
        """Let the statistics of norms follow a batch, in a pass of their own."""
        if self.statistics.norms:
            with torch.no_grad(), self.statistics.following():
                self._run_norms(batches)

    def _run_norms(self, batches: Sequence[Tensor]) -> None:
        """Let a batch go through the norms whose statistics are re-estimated, and no further than that."""
        head = Scope(self.scope.parts, ("head",))
        short = "head" in self.scope.parts and not any(map(head.has, self.statistics.norms))
        forward = self.adapter.features if short else self.adapter.class_logits
        for batch in batches:
            forward(batch)

    def _is_near(self, batches: Sequence[Tensor]) -> bool:
        """Whether images are as the unadapted model knows them, so that nothing is to be adapted.

        Measured through the unadapted model, and averaged over the stream: after adaptation nothing would be
        far any more, and single batches vary with what they show.
        """
        if not self.gate or not self.statistics.norms:
            return False
        adapted = self._unadapted.swap(self.model)
        with torch.no_grad(), self.statistics.measuring() as shifts:
            self._run_norms(batches)
        adapted.restore(self.model)
        self._shift = sum(shifts.values()) / len(shifts)
        mean = self._mean_shift
        self._mean_shift = self._shift if mean is None else 0.7 * mean + 0.3 * self._shift
        return self._mean_shift < self.gate

    def _adapt_batch(self, records: Sequence[Record]) -> bool:
        tally, most = self.tally, self.settings.max_batches
        if tally.stop_reason or (most is not None and tally.batches >= most):
            return False
        tally.batches += 1
        batches = list(self.adapter.build_loader(records, batch_size=len(records)))
        self._shift = None
        if self._is_near(batches):
            self.go_back()
            return self._skip("no_shift", records)
        before = self._save()
        try:
            numbers = self.learn(batches, records)
        except SkipBatchError as exc:
            self._load(before)
            return self._skip(str(exc), records)
        numbers.update(self._changes(before))
        broken = self.limits.broken(numbers)
        if broken:
            self._roll_back(broken, before)
        else:
            tally.adapted += 1
            self._in_a_row = 0
            self._average(numbers.get("loss"))
        self._log(records, numbers, rolled_back=broken)
        return broken is None

    def _skip(self, reason: str, records: Sequence[Record]) -> bool:
        self.tally.skipped[reason] = self.tally.skipped.get(reason, 0) + 1
        self._log(records, {} if self._shift is None else {"shift": self._shift}, skipped=reason)
        return False

    def _changes(self, before: State) -> dict[str, float]:
        """Norms of a batch's change and of all changes, and how the loss compares."""
        live = dict(named_tensors(self.model))
        tensors, first = before.tensors.tensors, self._unadapted.tensors
        own = set(self.parameters)
        numbers = {}
        for title, source, names, base in (
            ("step_norm", tensors, own, "parameters"),
            ("total_norm", first, own, "parameters"),
            ("statistics_norm", first, set(first) - own, "statistics"),
        ):
            numbers[title] = relative_norm(
                {name: source[name] for name in names}, live, self._norms[base] or 1.0
            )
        if self._shift is not None:
            numbers["shift"] = self._shift
        return numbers

    def _average(self, loss: float | None) -> None:
        if loss is not None:
            self._mean_loss = loss if self._mean_loss is None else 0.9 * self._mean_loss + 0.1 * loss

    def _roll_back(self, guard: str, state: State) -> None:
        self._load(state)
        tally = self.tally
        tally.rollbacks[guard] = tally.rollbacks.get(guard, 0) + 1
        self._in_a_row += 1
        # In sample mode each chunk starts anew, so that nothing is wrong with the next one.
        if self.settings.reset == "stream" and self._in_a_row >= self.limits.max_rollbacks:
            tally.stop_reason = guard

    def _check_collapse(self, records: Sequence[Record]) -> None:
        if not self._collapse.classes:
            return
        with self.predicting():
            adapted = self._predict(records)
        live = self._unadapted.swap(self.model)
        unadapted = self._predict(records)
        live.restore(self.model)
        collapsed, numbers = self._collapse.check(adapted, unadapted)
        if collapsed is None:
            self._verified = self._save()
        else:
            self._collapse.reset()
            self._roll_back(collapsed, self._verified)
        self._log(records, numbers, rolled_back=collapsed)

    def _predict(self, records: Sequence[Record]) -> list[ImagePredictions]:
        return list(self.adapter.predict(records))

    def _save(self) -> State:
        return State(Snapshot.of(self.model, self._unadapted.tensors), self.save_optimizer(), self.save_own())

    def _load(self, state: State) -> None:
        state.tensors.restore(self.model)
        self.load_optimizer(state.optimizer)
        self.load_own(state.own)

    def save_optimizer(self) -> Any:
        """State of the optimizer, copied; ``None`` without one."""
        return None

    def load_optimizer(self, state: Any) -> None:
        """Put it back."""

    def save_own(self) -> Any:
        """What else the method keeps from batch to batch, copied."""
        return None

    def load_own(self, own: Any) -> None:
        """Put it back."""

    def _log(self, records: Sequence[Record], numbers: Mapping[str, float], **events: str | None) -> None:
        entry: dict[str, Any] = {
            "batch": self.tally.batches,
            "first_image": records[0].key,
            "images": len(records),
            # JSON has no NaN, which is just what a step that went wrong has.
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            **{name: value for name, value in events.items() if value},
        }
        if len(self.tally.steps) < _MOST_LOGGED:
            self.tally.steps.append(entry)
        else:
            self.tally.unlogged += 1
        self.on_step(entry)


class GradientMethod(ModelMethod):
    """A method that minimizes a loss by an optimizer (Adam).

    Attributes:
        one_pass: whether the loss runs each batch through the model once and as it is, so that norm
            statistics can follow that very pass.
    """

    one_pass: ClassVar[bool] = False

    def reset_own(self) -> None:
        """A new optimizer."""
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=self.lr)

    @abstractmethod
    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """Mean loss of a batch's images, or ``None`` where nothing in it counts."""

    def learn(self, batches: Sequence[Tensor], records: Sequence[Record]) -> dict[str, float]:
        """``steps`` times a step of the optimizer, on the gradient of all images of the batch."""
        if not self.one_pass:
            self.follow(batches)
        generator = self.generator(records)
        losses = []
        for step in range(self.steps):
            self.optimizer.zero_grad(set_to_none=True)
            follow = self.one_pass and not step
            with self.statistics.following() if follow else nullcontext():
                loss = self.backward(batches, generator)
            if loss is None:
                break
            losses.append(loss)
            if not math.isfinite(loss):
                break
            self.take_step(batches, generator)
        return self.numbers(losses)

    def backward(self, batches: Sequence[Tensor], generator: torch.Generator) -> float | None:
        """Gradients of the mean loss of all images; gives the loss, ``None`` where nothing counts."""
        total, images = 0.0, 0
        for batch in batches:
            loss = self.loss(batch, generator)
            if loss is None:
                continue
            (loss * len(batch)).backward()  # type: ignore[no-untyped-call]
            total, images = total + float(loss.detach()) * len(batch), images + len(batch)
        if not images:
            return None
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad /= images
        return total / images

    def take_step(self, batches: Sequence[Tensor], generator: torch.Generator) -> None:
        """Move the parameters by their gradients."""
        del batches, generator
        self.optimizer.step()

    def numbers(self, losses: Sequence[float]) -> dict[str, float]:
        """First and last loss of a batch, and how they compare."""
        if not losses:
            return {}
        first, last = losses[0], losses[-1]
        numbers = {"loss": first}
        if self._mean_loss:
            numbers["loss_ratio"] = first / self._mean_loss
        if len(losses) > 1:
            numbers["last_loss"] = last
            numbers["loss_increase"] = (last - first) / abs(first) if first else 0.0
        return numbers

    def save_optimizer(self) -> Any:
        """A copy of its state."""
        return deepcopy(self.optimizer.state_dict())

    def load_optimizer(self, state: Any) -> None:
        """Put its state back."""
        # load_state_dict keeps references to the state's tensors, which the next steps would change.
        self.optimizer.load_state_dict(deepcopy(state))
