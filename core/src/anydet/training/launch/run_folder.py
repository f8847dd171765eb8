"""The folder of a run: where it is, and whether the run may begin or go on there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from anydet.errors import OptionError
from anydet.training.config.settings import TrainSettings
from anydet.training.launch.run_meta import data_meta, read_run_meta
from anydet.training.run import Run, RunPaths


def run_paths(settings: TrainSettings) -> RunPaths:
    """Paths of a run's files; ``checkpoint_out`` and the like move single ones."""
    if settings.run_dir is not None:
        paths = RunPaths.of_folder(Path(settings.run_dir))
    elif settings.run_id is not None:
        paths = RunPaths.of_run(Path(settings.runs_dir), settings.run_id)
    else:
        raise OptionError("no folder for the run given", fix="add --run-id ID or --run-dir DIR")
    moved = {
        "last": settings.checkpoint_out,
        "train_metrics": settings.metrics_jsonl,
        "train_csv": settings.metrics_csv,
    }
    return replace(paths, **{name: Path(path) for name, path in moved.items() if path is not None})


def check_folder(paths: RunPaths, *, resume: bool) -> None:
    """Raise ``OptionError`` where a run cannot be written, would be written over, or has no checkpoint."""
    lowest = next(path for path in (paths.root, *paths.root.absolute().parents) if path.exists())
    if not lowest.is_dir():
        raise OptionError(
            f"{lowest}: not a folder, so no run can be written there", fix="choose another folder"
        )
    if resume:
        if not paths.last.is_file():
            raise OptionError(
                f"{paths.root}: no checkpoint to resume from: {paths.last} is not there",
                fix=f"start a new run with --checkpoint {paths.best}"
                if paths.best.is_file()
                else f"delete {paths.root} and leave out --resume, or choose another --run-id",
            )
        return
    there = [
        path for path in (paths.last, paths.best, paths.train_metrics, paths.val_metrics) if path.exists()
    ]
    if there:
        raise OptionError(
            f"{paths.root}: there is a run already ({', '.join(path.name for path in there)})",
            fix="add --resume to go on with it, or choose another --run-id or --run-dir",
        )


def check_data(run: Run) -> None:
    """Raise ``OptionError`` where the data is not what the run began with."""
    then = (read_run_meta(run.paths.run_meta) or {}).get("data") or {}
    for kind, dataset in (("train", run.dataset), ("val", run.validation)):
        began = then.get(kind)
        now = dataset and data_meta(dataset)
        if began and now and began.get("fingerprint") != now["fingerprint"]:
            raise OptionError(
                f"{now['root']}: the {kind} data has changed since {run.paths.root} began: "
                f"{began.get('images')} images then, {now['images']} now, or other annotations",
                fix="restore the data, or begin a new run with --checkpoint and another --run-id",
            )
