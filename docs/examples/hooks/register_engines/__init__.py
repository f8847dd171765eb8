from anydet.plugins import EngineSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_engines(register):
    # Named with --engine; the default is the one of the highest priority.
    register(
        EngineSpec("counting", "anydet_example.work:Counting", "pycocotools, and how often", priority=-1)
    )
