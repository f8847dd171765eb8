"""The conformance kit, for authors of adapters.

``anydet adapters check NAME`` runs it on an installed adapter. Under pytest a plugin's first test file is::

    from anydet.testing import AdapterConformance

    class TestToy(AdapterConformance):
        adapter = "toy"

``AdapterConformance`` is imported on first use because it needs pytest, which anydet does not install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anydet.testing.checks import CHECKS
from anydet.testing.outcome import Outcome, run_check, run_checks
from anydet.testing.subject import NotApplicable, Subject

if TYPE_CHECKING:
    from anydet.testing.suite import AdapterConformance

__all__ = ["CHECKS", "AdapterConformance", "NotApplicable", "Outcome", "Subject", "run_check", "run_checks"]


def __getattr__(name: str) -> Any:
    if name == "AdapterConformance":
        from anydet.testing.suite import AdapterConformance

        return AdapterConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
