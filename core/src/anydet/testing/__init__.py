"""The conformance kit, for authors of plugins: checks of adapters, views and fusions.

``anydet adapters check NAME`` and ``anydet adaptation check NAME`` run them on what is installed. Under
pytest a plugin's first test file is::

    from anydet.testing import AdapterConformance, ViewConformance

    class TestToy(AdapterConformance):
        adapter = "toy"

    class TestTiles(ViewConformance):
        view = "tiles"
        options = {"size": 64}

These classes are imported on first use because they need pytest, which anydet does not install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anydet.testing.checks import CHECKS
from anydet.testing.outcome import Outcome, run_check, run_checks
from anydet.testing.subject import NotApplicable, Subject

if TYPE_CHECKING:
    from anydet.testing.suite import AdapterConformance, FusionConformance, ViewConformance

__all__ = [
    "CHECKS",
    "AdapterConformance",
    "FusionConformance",
    "NotApplicable",
    "Outcome",
    "Subject",
    "ViewConformance",
    "run_check",
    "run_checks",
]


def __getattr__(name: str) -> Any:
    if name in {"AdapterConformance", "FusionConformance", "ViewConformance"}:
        from anydet.testing import suite

        return getattr(suite, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
