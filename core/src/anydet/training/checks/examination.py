"""``diagnose``: every check in its order; what raises in one is a verdict, too."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from torch import nn

from anydet.errors import AnydetError, UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.training.adapter import TorchAdapter
from anydet.training.batches.augment import Augmentation
from anydet.training.batches.loading import LoadedBatch, build_loader
from anydet.training.checks.data import check_data
from anydet.training.checks.initialization import check_initialization
from anydet.training.checks.passes import FIRST_LOSS, check_backward, check_forward, check_loss
from anydet.training.checks.raterange import RateRange, check_learning_rate, sweep_rates
from anydet.training.checks.steps import check_optimizer, check_overfit
from anydet.training.checks.subject import Subject, as_found
from anydet.training.checks.verdict import State, Verdict, worst
from anydet.training.devices.processes import Processes, open_processes
from anydet.training.launch.preparation import PreparedRun
from anydet.training.lora_run import adapt
from anydet.training.numerics.rng import isolated_rng
from anydet.training.run import Run
from anydet.training.task import TrainingTask, mirrored_keypoints

T = TypeVar("T")
Build = Callable[[Run], TrainingTask]
Say = Callable[[str], None]

_BATCHES = 4
"""Batches that the range test goes round; they stay in memory."""
_NEEDED = ("forward", "loss")
"""Groups without which those after them cannot be looked at."""


@dataclass(frozen=True, slots=True)
class Thoroughness:
    """How much is done.

    Attributes:
        images: of each split, whose content is looked at.
        range_steps: learning rates that are tried; 0 leaves the range test out.
        overfit_steps: steps on one batch; 0 leaves them out.
        overfit_share: of the first loss that the last must be under.
    """

    images: int = 1000
    range_steps: int = 40
    overfit_steps: int = 40
    overfit_share: float = 0.5


THOROUGH = Thoroughness()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All verdicts, in their order.

    Attributes:
        adapter: name of the adapter.
        dataset: on what.
        verdicts: at least one.
        rate_range: the curve of the range test, where it was made.
    """

    adapter: str
    dataset: str
    verdicts: tuple[Verdict, ...]
    rate_range: RateRange | None = None

    @property
    def state(self) -> State:
        """The worst of all."""
        return worst([verdict.state for verdict in self.verdicts])

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        verdicts = [asdict(verdict) for verdict in self.verdicts]
        return {"adapter": self.adapter, "dataset": self.dataset, "state": self.state, "verdicts": verdicts}


def examine(
    ready: PreparedRun, thoroughness: Thoroughness = THOROUGH, say: Say = lambda _text: None
) -> Diagnosis:
    """Diagnose what ``prepare`` gave; nothing is written.

    Raises:
        UnsupportedError: the adapter trains by a loop of its own.
        AnydetError: the adapter cannot be set up.
    """
    run = ready.run
    assert run.plugins is not None
    with run.plugins.adapter(run.adapter, ready.adapter) as adapter:
        return diagnose(_builder(adapter, run), run, thoroughness, say)


def _builder(adapter: Adapter, run: Run) -> Build:
    if isinstance(adapter, TorchAdapter):
        return adapter.training_task
    raise UnsupportedError(run.adapter, "diagnosis: it trains by a loop of its own")


def diagnose(
    build: Build, run: Run, thoroughness: Thoroughness = THOROUGH, say: Say = lambda _text: None
) -> Diagnosis:
    """Look at data, model and recipe of a run; the model is afterwards as it was built.

    Whatever the task raises in a check is a verdict that fails. All random choices start at the run's seed;
    global generators are afterwards as before.

    Args:
        build: makes the task, as for ``engine.train``.
        run: what would be trained on what, by which settings.
        thoroughness: how much is done.
        say: called with the name of each group of checks.

    Raises:
        TrainingError: the device is not to be had.
        AnydetError: no model can be built with these settings and this checkpoint.
    """
    run = replace(run, settings=msgspec.structs.replace(run.settings, num_workers=0, compile=False))
    with open_processes(run.settings) as processes, isolated_rng(run.settings.seed):
        examination = _Examination(run, processes, thoroughness, say)
        verdicts = tuple(examination.verdicts(build))
    return Diagnosis(run.adapter, str(run.dataset.root), verdicts, examination.rate_range)


@dataclass(eq=False)
class _Examination:
    run: Run
    processes: Processes
    thoroughness: Thoroughness
    say: Say
    rate_range: RateRange | None = None

    def verdicts(self, build: Build) -> Iterator[Verdict]:
        """All of them."""
        self.say("build")
        try:
            task = build(self.run)
            adapt(task, self.run, write=False)
        except AnydetError:  # a checkpoint or a setting that no model can be built with, as 'train' says it
            raise
        except Exception as exc:  # foreign code: the task's
            yield _raised("initialization", "model", exc)
            return
        yield from self._look("data", partial(check_data, self.run, task, self.thoroughness.images))
        batches = _attempt("data", "first batch", lambda: self._batches(task))
        if isinstance(batches, Verdict):
            yield batches
            return
        subject = Subject(self.run, task, self.processes, batches)
        with _placed(task.model, self.processes.device):
            yield from self._examine(subject)

    def _examine(self, subject: Subject) -> Iterator[Verdict]:
        blocked = ""
        for group, check in self._checks(subject):
            if blocked:
                yield Verdict(group, "", "skipped", f"{blocked} failed")
                continue
            with as_found(subject.task.model), isolated_rng(self.run.settings.seed):
                found = self._look(group, check)
            yield from found
            if group in _NEEDED and any(one.state == "fail" and one.check != FIRST_LOSS for one in found):
                blocked = group

    def _checks(self, subject: Subject) -> Iterator[tuple[str, Callable[[], Iterable[Verdict]]]]:
        for group, check in (
            ("initialization", check_initialization),
            ("forward", check_forward),
            ("loss", check_loss),
            ("backward", check_backward),
            ("optimizer", check_optimizer),
        ):
            yield group, partial(check, subject)
        how = self.thoroughness
        if how.range_steps:
            yield "learning rate", partial(self._sweep, subject)
        if how.overfit_steps:
            yield (
                "overfit",
                partial(check_overfit, subject, steps=how.overfit_steps, fraction=how.overfit_share),
            )

    def _sweep(self, subject: Subject) -> Iterator[Verdict]:
        self.rate_range = sweep_rates(subject, self.thoroughness.range_steps)
        return check_learning_rate(subject, self.rate_range)

    def _look(self, group: str, check: Callable[[], Iterable[Verdict]]) -> list[Verdict]:
        """A check's verdicts up to where it raises, and one on what it raised."""
        self.say(group)
        found: list[Verdict] = []
        problem = _attempt(group, "", lambda: found.extend(check()))
        return [*found, problem] if isinstance(problem, Verdict) else found

    def _batches(self, task: TrainingTask) -> list[LoadedBatch]:
        settings = self.run.settings
        loader = build_loader(
            self.run.dataset,
            item=task.item,
            collate=task.collate,
            settings=settings,
            augment=Augmentation.from_settings(settings, mirrored_keypoints(task, self.run.dataset)),
            label_kinds=task.label_kinds,
        )
        return list(islice(loader.batches(0), _BATCHES))


def _attempt(group: str, check: str, act: Callable[[], T]) -> T | Verdict:
    """What ``act`` gives, or a failed verdict on what it raised, and where."""
    try:
        return act()
    except AnydetError as exc:
        return Verdict(group, check, "fail", exc.problem, exc.fix)
    except Exception as exc:  # foreign code: the task's
        return _raised(group, check, exc)


def _raised(group: str, check: str, exc: Exception) -> Verdict:
    message = str(exc).strip().split("\n", maxsplit=1)[0]
    return Verdict(group, check, "fail", f"{type(exc).__name__}: {message}", f"look at {_place(exc)}")


def _place(exc: Exception) -> str:
    """File, line and function where an error left code that is not torch's."""
    frames = traceback.extract_tb(exc.__traceback__)
    torch_folder = str(Path(torch.__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith((torch_folder, "<"))]
    frame = (own or frames)[-1]
    return f"{'/'.join(Path(frame.filename).parts[-2:])}, line {frame.lineno}, in {frame.name}"


@contextmanager
def _placed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """A model on a device, and back."""
    home = next((parameter.device for parameter in model.parameters()), device)
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
