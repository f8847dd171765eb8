"""The checks as a pytest class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, TypeAlias

import pytest

from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.manager import Plugins
from anydet.testing.checks import CHECKS
from anydet.testing.comparison import Tolerance
from anydet.testing.images import default_images
from anydet.testing.subject import NotApplicable, Subject
from anydet.types import AdapterSettings, ByteImage

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
        if check in self.known_failures:
            # A marker at run time, as the subclass lists the failures and this method is decorated here.
            request.applymarker(pytest.mark.xfail(reason=self.known_failures[check], strict=True))
        try:
            CHECKS[check](subject)
        except NotApplicable as exc:
            pytest.skip(str(exc))

    def test_known_failures_name_checks(self) -> None:
        """A failure listed under a name that no check has would hide nothing, unnoticed."""
        unknown = sorted(set(self.known_failures) - set(CHECKS))
        assert not unknown, f"known_failures names no check: {unknown}; known: {', '.join(CHECKS)}"
