from anydet.plugins import hookimpl

PLUGIN_API = 2


@hookimpl
def before_predict(records):
    print("about to predict", *(record.key for record in records), flush=True)
