"""The choice among installed COCO evaluation engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anydet.plugins.manager import Plugins

if TYPE_CHECKING:
    from anydet.evaluation.evaluator import Engine


def choose_engine(
    plugins: Plugins | None = None, name: str | None = None, threads: int | None = None
) -> Engine:
    """The engine called ``name``, or the installed one with the highest priority.

    Args:
        plugins: where to look; the installed ones by default.
        name: registered name.
        threads: how many it may use; as many as there are cores by default.

    Raises:
        PluginError: there is no such engine (it lists the known ones), or it cannot be set up.
    """
    plugins = plugins or Plugins.from_env()
    engines = plugins.specs("engines")
    name = name or max(engines, key=lambda known: engines[known].priority)
    engine: Engine = plugins.load("engines", name)()
    if threads is not None:
        engine.threads = threads
    return engine
