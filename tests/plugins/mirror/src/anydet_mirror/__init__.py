"""A plugin of everything that adapts: a view, a test-time training method, and a detector to adapt."""

from __future__ import annotations

from anydet.plugins import AdapterSpec, TTTMethodSpec, ViewSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_adapters(register):
    """A detector whose model is one number."""
    register(
        AdapterSpec(
            "bright",
            "anydet_mirror.adapter:Bright",
            "one box around the bright pixels",
            options_schema="anydet_mirror:options.schema.json",
        )
    )


@hookimpl
def register_views(register):
    """The image mirrored left and right."""
    register(ViewSpec("mirror", "anydet_mirror.views:Mirror", "mirrored left and right"))


@hookimpl
def register_ttt_methods(register):
    """The threshold that fits the images at hand."""
    register(TTTMethodSpec("brightness", "anydet_mirror.ttt:Brightness", "sets the threshold of 'bright'"))
