"""The version of the plugin API."""

from __future__ import annotations

from anydet.errors import PluginError

API_VERSION = 2
_PAGE = "'Plugin API 2: what changed' in the reference of anydet's documentation"


def check_api(plugin: object) -> None:
    """Raise ``PluginError`` where a plugin was written for another version of the plugin API.

    The attribute ``PLUGIN_API`` of its module says which one; no plugin of API 1 has it.
    """
    # A version that defaults to the installed one would accept every plugin that does not state it.
    stated = getattr(plugin, "PLUGIN_API", 1)
    # Not isinstance: True, and 2.0 where it should be 2, are mistakes that would pass.
    if type(stated) is not int:
        raise PluginError(
            f"PLUGIN_API is {stated!r}, not a whole number", fix=f"state PLUGIN_API = {API_VERSION}"
        )
    if stated == API_VERSION:
        return
    differs = f"it is written for plugin API {stated}, and this anydet has plugin API {API_VERSION}"
    if stated > API_VERSION:
        raise PluginError(differs, fix="pip install --upgrade anydet")
    raise PluginError(differs, fix=f"port it, see {_PAGE}; then state PLUGIN_API = {API_VERSION}")
