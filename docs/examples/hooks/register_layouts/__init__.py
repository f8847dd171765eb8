from anydet.plugins import LayoutSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_layouts(register):
    register(LayoutSpec("corners", "anydet_example.work:corners", "corners in pixels, and scores of classes"))
