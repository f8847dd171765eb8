from anydet.plugins import ViewSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_views(register):
    register(ViewSpec("upper", "anydet_example.work:Upper", "the image, and its upper half alone"))
