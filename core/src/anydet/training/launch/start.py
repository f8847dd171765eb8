"""``launch``: a prepared run is written down and trained."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from anydet.plugins.adapter import TrainResult
from anydet.training.config.config_file import write_config
from anydet.training.devices.torchrun import is_main_process
from anydet.training.launch.preparation import PreparedRun
from anydet.training.launch.run_meta import write_run_meta
from anydet.training.run import Run


def launch(ready: PreparedRun, *, command: Sequence[str] = ()) -> TrainResult:
    """Write what the run is made with, then train.

    Args:
        ready: what ``prepare`` gave.
        command: words of the command line, for ``run_meta.json``; this process's own by default.

    Raises:
        PluginError: the adapter cannot be set up.
        AnydetError: whatever training meets.
    """
    run, resolved = ready.run, ready.resolved
    assert run.plugins is not None
    with run.plugins.adapter(run.adapter, ready.adapter) as adapter:
        if is_main_process():
            write_config(run.paths.config_resolved, resolved.values, resolved.origins)
            write_run_meta(run, command=command or sys.argv, strict=resolved.strict)
        return adapter.train(run)


def next_command(run: Run, result: TrainResult) -> str:
    """What to type after a run: predictions of its best model."""
    data = run.validation or run.dataset
    checkpoint = str(run.paths.root) if run.paths.best.is_file() else result.checkpoint
    split = f" --split {data.split}" if data.split else ""
    return (
        f"anydet export-predictions --adapter {run.adapter} --checkpoint {checkpoint} "
        f"--dataset {data.root}{split} --wrap --output predictions.json"
    )
