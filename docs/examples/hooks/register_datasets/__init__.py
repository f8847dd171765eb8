from anydet.plugins import DatasetSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_datasets(register):
    register(DatasetSpec("box-lines", "anydet_example.work:FORMAT"))
