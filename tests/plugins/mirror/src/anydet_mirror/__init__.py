"""A plugin of everything that adapts: a view, a fusion, two methods, and a detector to adapt."""

from __future__ import annotations

from anydet.plugins import AdapterSpec, FusionSpec, TTTMethodSpec, ViewSpec, hookimpl

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
def register_fusions(register):
    """The best detection of each class."""
    register(FusionSpec("best", "anydet_mirror.fusions:Best", "the best detection of each class"))


@hookimpl
def register_ttt_methods(register):
    """The threshold that fits the images at hand, in the model and in a teacher."""
    options = "anydet_mirror:ttt.schema.json"
    register(
        TTTMethodSpec(
            "brightness",
            "anydet_mirror.ttt:Brightness",
            "sets the threshold of 'bright'",
            options_schema=options,
            settings=("batch_size", "source"),
        )
    )
    register(
        TTTMethodSpec(
            "teacher",
            "anydet_mirror.ttt:Teacher",
            "predicts with a teacher's threshold",
            options_schema=options,
            settings=("batch_size", "source"),
        )
    )
