from anydet.plugins import TTTMethodSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_ttt_methods(register):
    register(TTTMethodSpec("watch", "anydet_example.work:Watch", "how bright the images are", settings=()))
