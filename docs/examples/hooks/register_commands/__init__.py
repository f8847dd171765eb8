from anydet.plugins import CommandSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_commands(register):
    register(CommandSpec("hello", "anydet_example.work:hello", "Count the images of a data set."))
