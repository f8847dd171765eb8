"""Flags of commands whose numbers go to experiment trackers, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import click

from anydet.commands.messages import say
from anydet.commands.paths import OUTPUT_FOLDER

_F = TypeVar("_F", bound=Callable[..., Any])
_FOLDER = Path("runs/eval")


def _read_names(_ctx: click.Context, _param: click.Parameter, text: str | None) -> list[str]:
    """Names of installed trackers, looked at before the work whose numbers they get."""
    if text is None:
        return []
    from anydet.errors import OptionError
    from anydet.trackers import require_trackers, tracker_names

    try:
        names = tracker_names(text)
    except OptionError as exc:
        raise click.BadParameter(f"{exc.problem}; {exc.fix}") from exc
    require_trackers(names)
    return names


_OPTIONS = (
    click.option(
        "--log-with",
        "trackers",
        metavar="NAME,...",
        callback=_read_names,
        help="Experiment trackers to log the metrics to: wandb, tensorboard, mlflow (extra 'track').",
    ),
    click.option(
        "--log-dir",
        metavar="DIR",
        type=OUTPUT_FOLDER,
        help=f"Folder that trackers write into.  [default: {_FOLDER}]",
    ),
    click.option("--project", metavar="NAME", help="Project name in experiment trackers.  [default: anydet]"),
)


def tracker_options(function: _F) -> _F:
    """Decorator: ``--log-with``, ``--log-dir`` and ``--project``, which ``log_metrics`` reads."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def require_trackers_named(flags: Mapping[str, Any]) -> None:
    """Refuse the flags of trackers without one."""
    for option in ("log_dir", "project"):
        if flags[option] is not None and not flags["trackers"]:
            raise click.UsageError(f"--{option.replace('_', '-')} needs --log-with")


def log_metrics(
    metrics: Mapping[str, float | None], settings: Mapping[str, Any], flags: Mapping[str, Any]
) -> None:
    """Log metrics as one run, which is called as the predictions file is.

    Args:
        metrics: by name; those that are undefined are left out.
        settings: what they were computed with, as plain data.
        flags: of ``tracker_options``, and ``predictions`` and ``json_path``.
    """
    names = flags["trackers"]
    if not names:
        return
    from anydet.trackers import TrackedRun, open_trackers

    folder = flags["log_dir"] or _FOLDER
    name = Path(settings["predictions"]).stem
    events = _free(folder / "tensorboard" / name)
    run = TrackedRun(name, flags["project"] or "anydet", folder, events, settings)
    trackers = open_trackers(names, run, say)
    try:
        trackers.log(metrics, step=0)
        if flags["json_path"] is not None:
            trackers.artifact(flags["json_path"], kind="evaluation")
    finally:
        trackers.close()
    say(f"logged to {', '.join(names)}: run {name} of project {run.project}, in {folder}")


def _free(path: Path) -> Path:
    """A folder that is not there yet: two runs in one are one to TensorBoard."""
    numbered = (path if i == 1 else path.with_name(f"{path.name}-{i}") for i in count(1))
    return next(one for one in numbered if not one.exists())
