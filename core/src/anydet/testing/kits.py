"""``KITS``: the kit of each kind of plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anydet.testing.checks import (
    adapters,
    commands,
    datasets,
    engines,
    evaluators,
    fusions,
    layouts,
    scenes,
    ttt_methods,
    views,
)
from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.kit import Kit

KITS: Mapping[str, Kit[Any]] = {
    "adapters": Kit(AdapterSubject, adapters.CHECKS),
    "datasets": Kit(datasets.DatasetSubject, datasets.CHECKS),
    "scenes": Kit(scenes.SceneSubject, scenes.CHECKS),
    "engines": Kit(engines.EngineSubject, engines.CHECKS),
    "evaluators": Kit(evaluators.EvaluatorSubject, evaluators.CHECKS),
    "views": Kit(views.ViewSubject, views.CHECKS),
    "fusions": Kit(fusions.FusionSubject, fusions.CHECKS),
    "ttt_methods": Kit(ttt_methods.TTTMethodSubject, ttt_methods.CHECKS),
    "layouts": Kit(layouts.LayoutSubject, layouts.CHECKS),
    "commands": Kit(commands.CommandSubject, commands.CHECKS),
}
"""Kind, as in ``plugins.manager.KINDS``, -> its kit."""
