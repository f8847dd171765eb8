from anydet.plugins import hookimpl

PLUGIN_API = 2


@hookimpl
def on_train_start(run):
    print("training", run.adapter, "on", len(run.dataset), "images", flush=True)


@hookimpl
def on_train_step(state):
    print("loss", round(state.metrics["train_loss"], 1), flush=True)


@hookimpl
def on_train_epoch(state):
    print("AP50", state.validation["AP50"], flush=True)


@hookimpl
def on_train_end(state):
    print("the end after", state.progress.step, "steps", flush=True)
