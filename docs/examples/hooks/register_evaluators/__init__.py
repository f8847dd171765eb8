from anydet.plugins import EvaluatorSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_evaluators(register):
    register(EvaluatorSpec("count", "anydet_example.work:Count", "objects found for each that is there"))
