"""The checks as pytest classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import pytest

from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import Choice
from anydet.testing.checks import CHECKS
from anydet.testing.checks.fusions import CHECKS as FUSION_CHECKS
from anydet.testing.checks.fusions import FusionSubject
from anydet.testing.checks.views import CHECKS as VIEW_CHECKS
from anydet.testing.checks.views import ViewSubject
from anydet.testing.comparison import Tolerance
from anydet.testing.images import default_images
from anydet.testing.subject import NotApplicable, Subject
from anydet.types import AdapterSettings, ByteImage

_S = TypeVar("_S")
Train: TypeAlias = Callable[[Adapter, Path], TrainResult]


class AdapterConformance:
    """Subclass it, say which adapter, and it is held to every check.

    Override the fixture ``settings`` where the adapter needs a checkpoint or options, ``images`` where it
    finds nothing in synthetic scenes, ``train`` where it can be trained, and ``subject`` for an adapter that
    is not installed.

    Attributes:
        adapter: registered name of the adapter.
        known_failures: check -> reason; strict: a fix must remove its line.
        tolerance: what counts as the same result.
    """

    adapter: ClassVar[str]
    known_failures: ClassVar[Mapping[str, str]] = {}
    tolerance: ClassVar[Tolerance] = Tolerance()

    @pytest.fixture
    def settings(self) -> AdapterSettings:
        """What the adapter is built with: its own defaults, in chunks of two."""
        return Plugins().settings(self.adapter, batch_size=2, score_floor=0.001)

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
    ) -> Subject:
        """What the checks get."""
        kit = {"images": images, "train": train, "tolerance": self.tolerance}
        return Subject.installed(Plugins(), self.adapter, settings, tmp_path, **kit)

    @pytest.mark.parametrize("check", CHECKS)
    def test_adapter_conforms(self, check: str, subject: Subject, request: pytest.FixtureRequest) -> None:
        """One check."""
        _hold(CHECKS, check, subject, self.known_failures, request)

    def test_known_failures_name_checks(self) -> None:
        """A failure listed under a name that no check has would hide nothing, unnoticed."""
        _require_known(self.known_failures, CHECKS)


class ViewConformance:
    """Subclass it, say which view, and it is held to every check of views.

    Override the fixture ``subject`` for a view that is not installed.

    Attributes:
        view: registered name of the view.
        options: its options, where it needs any.
        known_failures: check -> reason; strict: a fix must remove its line.
    """

    view: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    known_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def subject(self) -> ViewSubject:
        """What the checks get."""
        return ViewSubject.installed(Plugins(), Choice(self.view, self.options))

    @pytest.mark.parametrize("check", VIEW_CHECKS)
    def test_view_conforms(self, check: str, subject: ViewSubject, request: pytest.FixtureRequest) -> None:
        """One check."""
        _hold(VIEW_CHECKS, check, subject, self.known_failures, request)

    def test_known_failures_name_checks(self) -> None:
        """As for adapters."""
        _require_known(self.known_failures, VIEW_CHECKS)


class FusionConformance:
    """Subclass it, say which fusion, and it is held to every check of fusions.

    Override the fixture ``subject`` for a fusion that is not installed.

    Attributes:
        fusion: registered name of the fusion.
        options: its options, where it needs any.
        known_failures: check -> reason; strict: a fix must remove its line.
    """

    fusion: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    known_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def subject(self) -> FusionSubject:
        """What the checks get."""
        return FusionSubject.installed(Plugins(), Choice(self.fusion, self.options))

    @pytest.mark.parametrize("check", FUSION_CHECKS)
    def test_fusion_conforms(
        self, check: str, subject: FusionSubject, request: pytest.FixtureRequest
    ) -> None:
        """One check."""
        _hold(FUSION_CHECKS, check, subject, self.known_failures, request)

    def test_known_failures_name_checks(self) -> None:
        """As for adapters."""
        _require_known(self.known_failures, FUSION_CHECKS)


def _hold(
    checks: Mapping[str, Callable[[_S], None]],
    check: str,
    subject: _S,
    known_failures: Mapping[str, str],
    request: pytest.FixtureRequest,
) -> None:
    if check in known_failures:
        # A marker at run time, as the subclass lists the failures and the test is decorated in this module.
        request.applymarker(pytest.mark.xfail(reason=known_failures[check], strict=True))
    try:
        checks[check](subject)
    except NotApplicable as exc:
        pytest.skip(str(exc))


def _require_known(known_failures: Mapping[str, str], checks: Mapping[str, object]) -> None:
    unknown = sorted(set(known_failures) - set(checks))
    assert not unknown, f"known_failures names no check: {unknown}; known: {', '.join(checks)}"
