"""The data set formats that are installed."""

from __future__ import annotations

from functools import partial

from anydet.data.dataset.protocols import ObjectModelFormat
from anydet.data.opening import DeferredFormat
from anydet.errors import PluginError
from anydet.plugins.manager import Plugins


def installed_formats(plugins: Plugins) -> list[DeferredFormat]:
    """All registered formats; each is imported when its turn comes."""
    return [
        DeferredFormat(name, partial(plugins.load, "datasets", name)) for name in plugins.specs("datasets")
    ]


def object_model_format(plugins: Plugins) -> ObjectModelFormat:
    """The first installed format that reads object models.

    Raises:
        PluginError: none of them does.
    """
    for listed in installed_formats(plugins):
        known = listed.load()
        if isinstance(known, ObjectModelFormat):
            return known
    raise PluginError("no installed data set format reads object models", fix="pip install anydet-bop")
