"""``open_trackers``: W&B, TensorBoard and MLflow beside the metrics files, through accelerate's trackers.

All of them write below the run's folder, and none of them uses a network unless an address is configured: W&B
by an API key or ``WANDB_MODE``, MLflow by ``MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import msgspec
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from anydet.errors import TrainingError
from anydet.text import safe_line
from anydet.training.run import Run

Say = Callable[[str], None]
Opener = Callable[[Run, Say], GeneralTracker]


class Trackers:
    """Some open trackers behind one interface.

    The metrics files are what a run is judged by: a tracker that fails while the run goes on is left out,
    with a warning.

    Args:
        trackers: started ones.
        environment: closed after them; holds the environment variables they need.
        say: called with warnings.
    """

    def __init__(self, trackers: Sequence[GeneralTracker], environment: ExitStack, say: Say) -> None:
        self._trackers = list(trackers)
        self._environment = environment
        self._say = say

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers of an optimizer step."""
        numbers = dict(metrics)
        self._each(lambda tracker: tracker.log(numbers, step=step))

    def artifact(self, path: Path) -> None:
        """Hand over a file, such as a checkpoint; TensorBoard has no place for it."""
        if path.is_file():
            self._each(lambda tracker: _hand_over(tracker, path))

    def close(self) -> None:
        """Finish; what W&B still has to send is sent now."""
        self._each(lambda tracker: tracker.finish())
        self._trackers = []
        self._environment.close()

    def _each(self, act: Callable[[GeneralTracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                act(tracker)
            except Exception as error:  # foreign code, and servers that are away
                self._trackers.remove(tracker)
                self._say(f"warning: {tracker.name} failed and is left out: {type(error).__name__}: {error}")


def open_trackers(run: Run, say: Say | None = None) -> Trackers:
    """Start the trackers of ``log_with`` and give them the run's settings.

    A resumed run is another run to them, of the same name, whose steps go on.

    Args:
        run: its ``log_with``, ``project``, settings, options and folder.
        say: called with notes for people; stderr by default.

    Raises:
        TrainingError: a tracker's package is missing, or the tracker does not start.
    """
    say = say or _print
    started: list[GeneralTracker] = []
    environment = ExitStack()
    try:
        for name in _names(run):
            package, variables, opener = _KNOWN[name]
            _require(name, package)
            _set_variables(environment, variables(run.paths.root))
            started.append(_start(name, opener, run, say))
    except BaseException:
        Trackers(started, environment, say).close()
        raise
    return Trackers(started, environment, say)


def _names(run: Run) -> list[str]:
    given = run.settings.log_with
    words = given.split(",") if isinstance(given, str) else given
    return [word.strip() for word in words if word.strip()]


def _require(name: str, package: str) -> None:
    if find_spec(name) is None:
        raise TrainingError(
            f"log_with names {name}, which is not installed",
            fix=f"pip install {package}, or pip install 'anydet[track]' for all trackers",
        )


def _start(name: str, opener: Opener, run: Run, say: Say) -> GeneralTracker:
    try:
        tracker = opener(run, say)
        tracker.start()
        if name != "tensorboard":  # which would make a second run of it
            tracker.store_init_configuration(_configuration(run))
    except Exception as error:  # foreign code, and servers that are away
        raise TrainingError(
            f"the tracker {name} does not start: {error}",
            fix=f"take {name} out of --log-with, or correct its settings (its environment variables)",
        ) from error
    return tracker


def _configuration(run: Run) -> dict[str, str | int | float | bool]:
    values = {**msgspec.structs.asdict(run.settings), **run.options, "adapter": run.adapter}
    return {name: v if isinstance(v, str | int | float | bool) else str(v) for name, v in values.items()}


def _open_wandb(run: Run, say: Say) -> GeneralTracker:
    import wandb

    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    if mode == "offline":
        say(f"wandb: offline, into {run.paths.root / 'wandb'}; 'wandb sync' of that folder uploads it")
    return WandBTracker(
        run.settings.project,
        name=run.paths.root.name,
        dir=str(run.paths.root),
        mode=mode,
        settings=wandb.Settings(console="off", silent=mode != "online"),
    )


def _open_tensorboard(run: Run, _say: Say) -> GeneralTracker:
    return TensorBoardTracker("tensorboard", run.paths.root)


def _open_mlflow(run: Run, _say: Say) -> GeneralTracker:
    return MLflowTracker(run.settings.project, run_name=run.paths.root.name)


def _wandb_variables(root: Path) -> dict[str, str]:
    """Copies of artifacts wait below the run's folder, too, until they are uploaded."""
    return {"WANDB_DATA_DIR": str((root / "wandb").resolve()), "WANDB_ERROR_REPORTING": "false"}


def _mlflow_variables(root: Path) -> dict[str, str]:
    """MLflow wants a database by default, whose driver its small package lacks; a folder needs none."""
    return {
        "MLFLOW_TRACKING_URI": (root / "mlruns").resolve().as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


_KNOWN: dict[str, tuple[str, Callable[[Path], dict[str, str]], Opener]] = {
    "wandb": ("wandb", _wandb_variables, _open_wandb),
    "tensorboard": ("tensorboard", lambda _root: {}, _open_tensorboard),
    "mlflow": ("mlflow-skinny", _mlflow_variables, _open_mlflow),
}
"""Module -> package that brings it, variables it needs where they are not set, how it is opened."""


def _set_variables(environment: ExitStack, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        if name not in os.environ:
            os.environ[name] = value
            environment.callback(os.environ.pop, name, None)


def _hand_over(tracker: GeneralTracker, path: Path) -> None:
    if isinstance(tracker, WandBTracker):
        tracker.tracker.log_artifact(str(path), name=f"{tracker.tracker.id}-{path.stem}", type="model")
    elif isinstance(tracker, MLflowTracker):
        tracker.log_artifact(str(path))


def _print(text: str) -> None:
    sys.stderr.write(f"{safe_line(text)}\n")
