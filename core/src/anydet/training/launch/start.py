"""``launch``: a prepared run is written down and trained."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from anydet.errors import AnydetError, OptionError
from anydet.inputs import release
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.training.config.config_file import write_config
from anydet.training.devices.torchrun import is_main_process
from anydet.training.launch.preparation import PreparedRun
from anydet.training.launch.run_meta import write_run_meta
from anydet.training.run import Run, RunPaths

if TYPE_CHECKING:
    from anydet.training.checkpoints.checkpoint import Checkpoint


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
        _require_engine(adapter, run)
        if not is_main_process():
            return adapter.train(run)
        try:
            # Which a run that is resumed has been read from.
            release(run.paths.config_resolved)
            write_config(run.paths.config_resolved, resolved.values, resolved.origins)
            write_run_meta(run, command=command or sys.argv, strict=resolved.strict)
            return adapter.train(run)
        except AnydetError:
            if not run.settings.resume:
                _remove_unbegun(run.paths)
            raise


def rehearse(ready: PreparedRun) -> Checkpoint | None:
    """Build all of a prepared run but its folder: what ``launch`` would refuse is found now.

    Returns:
        The model as it would begin; ``None`` for an adapter with a loop of its own, which is only set up.

    Raises as ``launch`` does before the first step.
    """
    from anydet.training.engine import rehearse as rehearse_run

    run = ready.run
    assert run.plugins is not None
    with run.plugins.adapter(run.adapter, ready.adapter) as adapter:
        _require_engine(adapter, run)
        build = getattr(adapter, "training_task", None)
        if build is None:
            return None
        return rehearse_run(build, run, open_teacher=getattr(adapter, "open_teacher", None))


def _require_engine(adapter: Adapter, run: Run) -> None:
    """Raise ``OptionError`` for a method of the engine where an adapter has a loop of its own."""
    # By the method of TorchAdapter, which not every adapter is, nor every machine has torch.
    if hasattr(adapter, "training_task"):
        return
    for key, method in _OF_THE_ENGINE.items():
        if getattr(run.settings, key):
            raise OptionError(
                f"{key}: {run.adapter} trains by a loop of its own, and {method} is the engine's",
                fix=f"leave --{key.replace('_', '-')} out",
            )


_OF_THE_ENGINE = {
    "lora_r": "LoRA",
    "self_distill_from": "self-distillation",
    "derpp": "DER++",
    "ewc": "EWC",
    "si": "SI",
}
"""Key that switches a method on -> its name."""


def _remove_unbegun(paths: RunPaths) -> None:
    """Remove the description of a run that was refused before it began, as its model cannot be built."""
    described = {paths.config_resolved, paths.run_meta}
    if any(path not in described for path in paths.root.rglob("*") if not path.is_dir()):
        return
    with suppress(OSError):
        for path in described:
            path.unlink(missing_ok=True)
        for folder in sorted((p for p in paths.root.rglob("*") if p.is_dir()), reverse=True):
            folder.rmdir()
        paths.root.rmdir()


def next_command(run: Run, result: TrainResult) -> str:
    """What to type after a run: predictions of its best model."""
    data = run.validation or run.dataset
    checkpoint = str(run.paths.root) if run.paths.best.is_file() else result.checkpoint
    split = f" --split {data.split}" if data.split else ""
    return (
        f"anydet export-predictions --adapter {run.adapter} --checkpoint {checkpoint} "
        f"--dataset {data.root}{split} --wrap --output predictions.json"
    )
