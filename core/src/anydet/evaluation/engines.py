"""Which engine matches boxes."""

from __future__ import annotations

from anydet.evaluation.evaluator import Engine
from anydet.plugins.manager import Plugins


def choose_engine(plugins: Plugins | None = None, name: str | None = None) -> Engine:
    """The engine called ``name``, or the installed one with the highest priority.

    Raises ``PluginError`` that lists the known ones.
    """
    plugins = plugins or Plugins.from_env()
    engines = plugins.specs("engines")
    name = name or max(engines, key=lambda known: engines[known].priority)
    engine: Engine = plugins.load("engines", name)()
    return engine
