"""What a method of test-time training is held to: the model comes back, and runs can be repeated."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import AnydetError, OptionError, UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import TTTMethodSpec
from anydet.prediction.hooks import TTTDescription, TTTMethod, TTTSettings
from anydet.testing.comparison import Tolerance, first_difference
from anydet.testing.images import default_images, in_memory
from anydet.testing.kit import NotApplicable, Subject, checks_of
from anydet.testing.live_model import changed_tensor, tensors_of
from anydet.types import AdapterSettings, ByteImage, ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self

_EXACT = Tolerance(0.0, 0.0)


def grid_detector() -> Adapter:
    """The kit's own adapter with a torch model; leaves the check where torch is not installed."""
    try:
        from anydet.testing.grid import GridDetector
    except ImportError as exc:
        raise NotApplicable(f"the kit's own adapter needs torch: {exc}; name another adapter") from exc
    return GridDetector(AdapterSettings(batch_size=2, score_floor=0.001))


@dataclass(frozen=True)
class TTTMethodSubject(Subject):
    """A method of test-time training under test.

    Attributes:
        spec: what the plugin registered.
        build: gives a new method.
        settings: what it is built with.
        adapter: gives a new adapter, always the same, that the method can adapt.
        images: (H, W, 3) uint8 RGB each, what it adapts to.
    """

    spec: TTTMethodSpec
    build: Callable[[TTTSettings], TTTMethod]
    settings: TTTSettings
    adapter: Callable[[], Adapter] = grid_detector
    images: tuple[ByteImage, ...] = field(default_factory=default_images)

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """An installed method with its options."""
        settings = TTTSettings(options=plugins.options("ttt_methods", name, options or {}))
        return cls(
            plugins.spec("ttt_methods", name),
            lambda settings: plugins.build("ttt_methods", name, settings),
            settings,
            folder=folder,
        )

    def adapting(self, adapter: Callable[[], Adapter]) -> Self:
        """The same with another adapter."""
        return replace(self, adapter=adapter)

    def set_up(self) -> None:
        """Build it once."""
        self.build(self.settings)

    def source(self) -> Dataset | None:
        """A data set for a method that uses one."""
        return SyntheticDataset(4, 0, (96, 64)) if "source" in self.spec.settings else None

    def chunks(self) -> tuple[list[Record], list[Record]]:
        """The images as records, in two chunks; new ones at each call."""
        records = in_memory(self.images)
        return records[: len(records) // 2], records[len(records) // 2 :]

    @contextmanager
    def prepared(self, **changes: Any) -> Iterator[tuple[TTTMethod, Adapter]]:
        """A new method that is ready to adapt a new adapter, restored at the end."""
        with self.adapter() as adapter:
            method = self.build(replace(self.settings, **changes))
            try:
                method.prepare(adapter, self.source())
            except UnsupportedError as exc:
                raise NotApplicable(f"{exc.problem}; name an adapter that has it") from exc
            try:
                yield method, adapter
            finally:
                method.restore()


def it_is_a_method(subject: TTTMethodSubject) -> None:
    """The factory gives a ``TTTMethod``, which keeps its settings and needs at least one image."""
    method = subject.build(subject.settings)
    assert isinstance(method, TTTMethod), f"the factory gave {type(method).__name__}; derive from TTTMethod"
    kept = method.settings == subject.settings
    assert kept, "settings are others than those given; call super().__init__(settings)"
    wanted = method.min_images
    good = isinstance(wanted, int) and wanted >= 1
    assert good, f"min_images is {wanted!r}; give a number of images, 1 or more"


def the_model_comes_back(subject: TTTMethodSubject) -> None:
    """After ``restore`` every tensor, mode and result is what it was, bit for bit."""
    with subject.prepared() as (method, adapter):
        method.restore()
    for reset in ("sample", "stream"):
        with subject.adapter() as adapter:
            before, found = _state(adapter), _predict(adapter, subject)
            method = subject.build(replace(subject.settings, reset=reset))
            method.prepare(adapter, subject.source())
            for chunk in subject.chunks():
                method.adapt(chunk)
                with method.predicting():
                    list(adapter.predict(chunk))
            method.restore()
            changed = _changed(adapter, before)
            assert not changed, f"reset {reset!r}: restore left {changed} changed; keep it in prepare"
            difference = first_difference(found, _predict(adapter, subject), _EXACT, floor=-1)
            assert not difference, f"reset {reset!r}: after restore {difference}; put all of the model back"


def it_describes_itself_in_json(subject: TTTMethodSubject) -> None:
    """``describe`` and ``report`` have a JSON form, right after ``prepare`` and after ``adapt``."""
    with subject.prepared() as (method, _):
        for when in ("after prepare", "after adapt"):
            description, report = method.describe(), method.report()
            given = type(description).__name__
            assert isinstance(description, TTTDescription), f"{when}: describe gave {given}"
            assert isinstance(report, Mapping), f"{when}: report gave {type(report).__name__}"
            for what, value in (("describe", asdict(description)), ("report", dict(report))):
                try:
                    json.dumps(value, allow_nan=False)
                except (TypeError, ValueError) as exc:
                    raise AssertionError(f"{when}: {what} cannot be written: {exc}; use plain data") from exc
            method.adapt(subject.chunks()[0])


def without_steps_nothing_changes(subject: TTTMethodSubject) -> None:
    """With ``steps=0`` the model and its results stay what they are."""
    if "steps" not in subject.spec.settings:
        raise NotApplicable("it does not use the setting 'steps'")
    try:
        with subject.prepared(steps=0) as (method, adapter):
            before, found = _state(adapter), _predict(adapter, subject)
            method.adapt(subject.chunks()[0])
            changed = _changed(adapter, before)
            assert not changed, f"{changed} changed although steps is 0; use settings.steps"
            with method.predicting():
                again = _predict(adapter, subject)
    except OptionError as exc:
        raise NotApplicable(f"it refuses steps=0: {exc.problem}") from exc
    difference = first_difference(found, again, _EXACT, floor=-1)
    assert not difference, f"with steps=0 {difference}; use settings.steps, or take 'steps' out of the spec"


def the_same_seed_gives_the_same_results(subject: TTTMethodSubject) -> None:
    """Two runs of the same settings give the same results, whatever the state of global generators."""
    first, again = (_run(subject, subject.chunks(), seed=seed) for seed in (0, 1))
    difference = first_difference(first, again, _EXACT, floor=-1)
    assert not difference, f"the second time {difference}; draw from a generator of settings.seed"


def samples_do_not_depend_on_the_chunks_before(subject: TTTMethodSubject) -> None:
    """With ``reset="sample"`` a chunk gives what it gives alone, so that a run that goes on is the same."""
    first, second = subject.chunks()
    alone = _run(subject, [second], reset="sample")
    after = _run(subject, [first, second], reset="sample")[len(first) :]
    difference = first_difference(alone, after, _EXACT, floor=-1)
    assert not difference, f"behind another chunk {difference}; put model and generators back before each"


def a_last_chunk_may_be_small(subject: TTTMethodSubject) -> None:
    """A chunk of one image is adapted to, or left as it is; no error."""
    _run(subject, [subject.chunks()[0][:1]])


def predicting_puts_the_student_back(subject: TTTMethodSubject) -> None:
    """Behind ``predicting`` the model is what it was before it, and an error inside passes."""
    with subject.prepared() as (method, adapter):
        for chunk in subject.chunks():
            method.adapt(chunk)
            before = _state(adapter)
            with method.predicting():
                list(adapter.predict(chunk))
            changed = _changed(adapter, before)
            assert not changed, f"predicting left {changed} changed; put it back at its end"
        try:
            with method.predicting():
                raise ZeroDivisionError
        except ZeroDivisionError:
            assert not _changed(adapter, before), "predicting leaves the model changed behind an error"
            return
    raise AssertionError("predicting swallowed an error; let it pass")


def records_are_left_alone(subject: TTTMethodSubject) -> None:
    """Pixels of the records are the same afterwards."""
    with subject.prepared() as (method, _):
        records = in_memory(subject.images)
        method.adapt(records)
        for record, untouched in zip(records, in_memory(subject.images), strict=True):
            same = np.array_equal(record.image(), untouched.image())
            assert same, f"{record.key}: its pixels were changed; copy them"


def adapters_that_lack_something_are_refused(subject: TTTMethodSubject) -> None:
    """An adapter without any capability is adapted, or refused by an ``AnydetError`` in ``prepare``."""
    method = subject.build(subject.settings)
    with _Bare(AdapterSettings()) as bare:
        try:
            method.prepare(bare, subject.source())
            method.restore()
        except AnydetError:
            return
        except Exception as exc:
            raise AssertionError(
                f"prepare raised {type(exc).__name__}: {exc}; ask for capabilities, which refuse in words"
            ) from exc


class _Bare(Adapter):
    """Finds nothing and can do nothing else."""

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        return (ImagePredictions.empty(record.key, record.size_wh) for record in records)


def _run(
    subject: TTTMethodSubject, chunks: Sequence[Sequence[Record]], seed: int = 0, **changes: Any
) -> list[ImagePredictions]:
    """What a whole run predicts, with global generators in another state for each ``seed``."""
    with _global_seed(seed), subject.prepared(**changes) as (method, adapter):
        found = []
        for chunk in chunks:
            method.adapt(chunk)
            with method.predicting():
                found += list(adapter.predict(chunk))
    return found


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Seeds the global generators, and puts their states back."""
    torch: Any = sys.modules.get("torch")
    kept = random.getstate(), np.random.get_state(), torch and torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        if torch:
            torch.set_rng_state(kept[2])


def _predict(adapter: Adapter, subject: TTTMethodSubject) -> list[ImagePredictions]:
    return list(adapter.predict(in_memory(subject.images)))


def _model(adapter: Adapter) -> Any:
    """The adapter's torch model; ``None`` where it has none."""
    try:
        return adapter.get_model()
    except UnsupportedError:
        return None


def _state(adapter: Adapter) -> tuple[dict[str, Any], list[tuple[bool, ...]]]:
    model = _model(adapter)
    return ({}, []) if model is None else (tensors_of(model), _modes(model))


def _modes(model: Any) -> list[tuple[bool, ...]]:
    modes = [(module.training,) for module in model.modules()]
    return [*modes, *((parameter.requires_grad,) for parameter in model.parameters())]


def _changed(adapter: Adapter, before: tuple[dict[str, Any], list[tuple[bool, ...]]]) -> str:
    """The first thing of a torch model that is not what it was; empty where all is."""
    model = _model(adapter)
    if model is None:
        return ""
    changed = changed_tensor(model, before[0])
    return changed or ("" if _modes(model) == before[1] else "training mode or requires_grad")


CHECKS = checks_of(
    it_is_a_method,
    the_model_comes_back,
    it_describes_itself_in_json,
    without_steps_nothing_changes,
    the_same_seed_gives_the_same_results,
    samples_do_not_depend_on_the_chunks_before,
    a_last_chunk_may_be_small,
    predicting_puts_the_student_back,
    records_are_left_alone,
    adapters_that_lack_something_are_refused,
)
"""Name -> check, in the order in which they are run."""
