"""A plugin that cannot be imported, to show what becomes of the others."""

import a_library_that_nobody_has

from anydet.plugins import AdapterSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_adapters(register):
    """Never reached."""
    register(AdapterSpec("broken", a_library_that_nobody_has.FACTORY))
