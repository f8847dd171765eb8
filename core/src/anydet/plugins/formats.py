"""The data set formats that are installed."""

from __future__ import annotations

from functools import partial

from anydet.data.opening import DeferredFormat
from anydet.plugins.manager import Plugins


def installed_formats(plugins: Plugins) -> list[DeferredFormat]:
    """All registered formats; each is imported when its turn comes."""
    return [
        DeferredFormat(name, partial(plugins.load, "datasets", name)) for name in plugins.specs("datasets")
    ]
