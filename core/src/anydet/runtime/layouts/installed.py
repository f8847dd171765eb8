"""Layouts that plugins register."""

from __future__ import annotations

from functools import cache

from anydet.errors import PluginError
from anydet.plugins.manager import Plugins
from anydet.runtime.layouts.layout_file import LayoutFile


@cache
def installed_files() -> dict[str, LayoutFile]:
    """Name -> what the factory of a plugin gave.

    Raises ``PluginError`` where one cannot be imported, or gives something else.
    """
    plugins = Plugins.from_env()
    found = {}
    for name in plugins.specs("layouts"):
        file = plugins.load("layouts", name)()
        if not isinstance(file, LayoutFile):
            raise PluginError(
                f"the factory of layout {name!r} returned {type(file).__name__}, not a LayoutFile",
                fix="return packaged_layout(PACKAGE, FILE) of anydet.runtime.layouts.layout_file",
            )
        found[name] = file
    return found
