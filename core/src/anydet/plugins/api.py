"""The version of the border between anydet and its plugins."""

from __future__ import annotations

from anydet.errors import PluginError

API_VERSION = 2
_CHANGES = "views give any number of records, train takes the run alone, notes are AdapterNotes"
_PAGE = "docs/reference/plugin-api.md"


def check_api(plugin: object) -> None:
    """Raise ``PluginError`` where a plugin was written for another version of the border.

    The attribute ``PLUGIN_API`` of its module says which one; no plugin of API 1 has it.
    """
    # A version that defaults to the installed one would accept every plugin that does not state it.
    stated = getattr(plugin, "PLUGIN_API", 1)
    if stated == API_VERSION:
        return
    differs = f"it is written for plugin API {stated!r}, and this anydet has plugin API {API_VERSION}"
    if isinstance(stated, int) and stated > API_VERSION:
        raise PluginError(differs, fix="pip install --upgrade anydet")
    raise PluginError(
        f"{differs}: {_CHANGES}, among others; {_PAGE} says how to port it, and that it then states "
        f"PLUGIN_API = {API_VERSION}"
    )
