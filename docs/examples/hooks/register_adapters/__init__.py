from anydet.plugins import AdapterSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_adapters(register):
    register(AdapterSpec("middle", "anydet_example.work:Middle", "something in the middle of each image"))
