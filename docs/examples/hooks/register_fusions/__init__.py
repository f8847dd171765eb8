from anydet.plugins import FusionSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_fusions(register):
    register(
        FusionSpec("first", "anydet_example.work:First", "overlapping boxes: those of the best score stay")
    )
