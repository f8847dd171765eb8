"""The conformance kits, for authors of plugins: what each kind of plugin is held to.

``anydet plugins check NAME`` runs them on what is installed. Under pytest a plugin's first test file is::

    from anydet.testing import AdapterConformance, ViewConformance

    class TestToy(AdapterConformance):
        adapter = "toy"

    class TestTiles(ViewConformance):
        view = "tiles"
        options = {"size": 64}

There is such a class for each kind. They are imported on first use because they need pytest, which anydet
does not install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.kit import Kit, NotApplicable, Outcome, Subject
from anydet.testing.kits import KITS
from anydet.testing.training import train_briefly

if TYPE_CHECKING:
    from anydet.testing.suite import (
        AdapterConformance,
        CommandConformance,
        DatasetConformance,
        EngineConformance,
        EvaluatorConformance,
        FusionConformance,
        SceneConformance,
        TTTMethodConformance,
        ViewConformance,
    )

__all__ = [
    "KITS",
    "AdapterConformance",
    "AdapterSubject",
    "CommandConformance",
    "DatasetConformance",
    "EngineConformance",
    "EvaluatorConformance",
    "FusionConformance",
    "Kit",
    "NotApplicable",
    "Outcome",
    "SceneConformance",
    "Subject",
    "TTTMethodConformance",
    "ViewConformance",
    "train_briefly",
]


def __getattr__(name: str) -> Any:
    if name in __all__ and name.endswith("Conformance"):
        from anydet.testing import suite

        return getattr(suite, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
