"""The choice among installed COCO evaluation engines."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from anydet.errors import AnydetWarning, PluginError
from anydet.plugins.calls import PluginCalls
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
        OptionError: ``threads`` is out of range.
        PluginError: there is no such engine (it lists the known ones), or it cannot be set up.
    """
    if threads is not None:
        from anydet.arguments import MOST_THREADS, require_integer

        require_integer("threads", threads, 1, MOST_THREADS)
    plugins = plugins or Plugins.from_env()
    if name is not None:
        return _start(plugins, name, threads)
    engines = plugins.specs("engines")
    # Of those that a package brings the best that works; the last one is core's own.
    for best in sorted(engines, key=lambda known: engines[known].priority, reverse=True):
        try:
            return _start(plugins, best, threads)
        except PluginError as exc:
            if plugins.strict or plugins.owner("engines", best) is None:
                raise
            warnings.warn(f"{exc.problem}; another engine evaluates", AnydetWarning, stacklevel=2)
    raise PluginError("no engine is registered", fix="install anydet again")


def _start(plugins: Plugins, name: str, threads: int | None) -> Engine:
    factory = plugins.load("engines", name)
    with PluginCalls("engines", name, plugins).to("its factory"):
        engine: Engine = factory()
        if threads is not None:
            engine.threads = threads
    return engine
