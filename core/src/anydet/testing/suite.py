"""The kits as pytest classes, one a kind of plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import pytest

from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.manager import Plugins
from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.checks.commands import CommandSubject
from anydet.testing.checks.datasets import DatasetSubject
from anydet.testing.checks.engines import EngineSubject
from anydet.testing.checks.evaluators import EvaluatorSubject
from anydet.testing.checks.fusions import FusionSubject
from anydet.testing.checks.scenes import SceneSubject
from anydet.testing.checks.ttt_methods import TTTMethodSubject
from anydet.testing.checks.views import ViewSubject
from anydet.testing.comparison import Tolerance
from anydet.testing.images import default_images
from anydet.testing.kit import Kit, NotApplicable, Subject
from anydet.testing.kits import KITS
from anydet.types import AdapterSettings, ByteImage

_S = TypeVar("_S", bound=Subject)
Train: TypeAlias = Callable[[Adapter, Path], TrainResult]


class Conformance(Generic[_S]):
    """Base of the classes below: subclass one of them, say what is registered, and every check is a test.

    Override the fixture ``subject`` for something that is not installed, or to show it other data.

    Attributes:
        kind: a key of ``KITS``.
        named_by: the attribute that has the registered name.
        options: its options, where its kind has any.
        known_failures: check -> reason; strict: a fix must remove its line.
    """

    kind: ClassVar[str]
    named_by: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    known_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def subject(self, tmp_path: Path) -> _S:
        """What the checks get: the installed thing of that name."""
        kit: Kit[_S] = KITS[self.kind]
        return kit.subject.installed(Plugins(), getattr(self, self.named_by), tmp_path, self.options)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test for each check of the kind."""
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", KITS[self.kind].checks)

    def test_conforms(self, check: str, subject: _S, request: pytest.FixtureRequest) -> None:
        """One check."""
        if check in self.known_failures:
            # A marker at run time, as the subclass lists the failures and this class has the test.
            request.applymarker(pytest.mark.xfail(reason=self.known_failures[check], strict=True))
        try:
            KITS[self.kind].checks[check](subject.for_check(check))
        except NotApplicable as exc:
            pytest.skip(str(exc))

    def test_known_failures_name_checks(self) -> None:
        """A failure listed under a name that no check has would hide nothing, unnoticed."""
        checks = KITS[self.kind].checks
        unknown = sorted(set(self.known_failures) - set(checks))
        assert not unknown, f"known_failures names no check: {unknown}; known: {', '.join(checks)}"


class AdapterConformance(Conformance[AdapterSubject]):
    """``adapter`` is held to every check of adapters.

    Override the fixture ``settings`` where it needs a checkpoint or options, ``images`` where it finds
    nothing in synthetic scenes, and ``train`` where it can be trained.

    Attributes:
        adapter: registered name.
        tolerance: what counts as the same result.
    """

    kind, named_by = "adapters", "adapter"
    adapter: ClassVar[str]
    tolerance: ClassVar[Tolerance] = Tolerance()

    @pytest.fixture
    def settings(self) -> AdapterSettings:
        """What it is built with: its own defaults, in chunks of two."""
        return Plugins().settings(self.adapter, options=self.options, batch_size=2, score_floor=0.001)

    @pytest.fixture
    def images(self) -> tuple[ByteImage, ...]:
        """What it is shown: (H, W, 3) uint8 RGB each."""
        return default_images()

    @pytest.fixture
    def train(self) -> Train | None:
        """Trains an adapter on a tiny data set, writing into a folder; ``None`` skips that check."""
        return None

    @pytest.fixture
    def subject(
        self,
        settings: AdapterSettings,
        images: tuple[ByteImage, ...],
        train: Train | None,
        tmp_path: Path,
    ) -> AdapterSubject:
        """What the checks get."""
        plugins = Plugins()
        return AdapterSubject(
            plugins.spec("adapters", self.adapter),
            lambda settings: plugins.adapter(self.adapter, settings),
            settings,
            images,
            train,
            self.tolerance,
            folder=tmp_path,
        )


class DatasetConformance(Conformance[DatasetSubject]):
    """``dataset`` is held to every check of data set formats.

    Override the fixture ``example`` where no installed scenes are written in this format.

    Attributes:
        dataset: registered name of the format.
    """

    kind, named_by = "datasets", "dataset"
    dataset: ClassVar[str]

    @pytest.fixture
    def example(self) -> Path | None:
        """A data set of this format; ``None`` for scenes that are written in it."""
        return None

    @pytest.fixture
    def subject(self, example: Path | None, tmp_path: Path) -> DatasetSubject:
        """What the checks get."""
        return DatasetSubject.installed(Plugins(), self.dataset, tmp_path).showing(example)


class SceneConformance(Conformance[SceneSubject]):
    """``scenes`` are held to every check of synthetic scenes.

    Attributes:
        scenes: registered name.
    """

    kind, named_by = "scenes", "scenes"
    scenes: ClassVar[str]


class EngineConformance(Conformance[EngineSubject]):
    """``engine`` is held to every check of COCO engines.

    Attributes:
        engine: registered name.
    """

    kind, named_by = "engines", "engine"
    engine: ClassVar[str]


class EvaluatorConformance(Conformance[EvaluatorSubject]):
    """``evaluator`` is held to every check of evaluators.

    Attributes:
        evaluator: registered name.
    """

    kind, named_by = "evaluators", "evaluator"
    evaluator: ClassVar[str]


class ViewConformance(Conformance[ViewSubject]):
    """``view`` is held to every check of views.

    Attributes:
        view: registered name.
    """

    kind, named_by = "views", "view"
    view: ClassVar[str]


class FusionConformance(Conformance[FusionSubject]):
    """``fusion`` is held to every check of fusions.

    Attributes:
        fusion: registered name.
    """

    kind, named_by = "fusions", "fusion"
    fusion: ClassVar[str]


class TTTMethodConformance(Conformance[TTTMethodSubject]):
    """``method`` is held to every check of methods of test-time training.

    Attributes:
        method: registered name.
    """

    kind, named_by = "ttt_methods", "method"
    method: ClassVar[str]


class CommandConformance(Conformance[CommandSubject]):
    """``command`` is held to every check of commands.

    Attributes:
        command: registered name.
    """

    kind, named_by = "commands", "command"
    command: ClassVar[str]
