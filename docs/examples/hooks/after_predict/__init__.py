from anydet.plugins import hookimpl

PLUGIN_API = 2


@hookimpl
def after_predict(predictions):
    print(sum(map(len, predictions)), "detections", flush=True)
