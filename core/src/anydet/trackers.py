"""Experiment trackers: W&B, TensorBoard and MLflow behind one interface, for trainings and for evaluations.

All of them write below a folder, and none of them uses a network unless an address is configured: W&B by an
API key or ``WANDB_MODE``, MLflow by ``MLFLOW_TRACKING_URI``. Their packages are imported where they are used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from anydet.dataclass import dataclass
from anydet.errors import OptionError, TrackerError
from anydet.text import listed

Say = Callable[[str], None]
NAMES = ("wandb", "tensorboard", "mlflow")
"""The trackers that there are; each is called as the module that it needs."""
_OPTION = "--log-with"
_LONGEST_PARAMETER = 500
"""Characters of a value that every version of MLflow takes as a parameter."""
_MOST_PARAMETERS = 100
_MOST_METRICS = 1000
"""Parameters and metrics that MLflow takes at once."""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker shows as one run.

    Attributes:
        name: of the run.
        project: that it belongs to; MLflow calls it an experiment.
        folder: what trackers write goes below it.
        events: folder of TensorBoard's events, which is a run of its own there.
        settings: what the run was made with, as plain data.
    """

    name: str
    project: str
    folder: Path
    events: Path
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """A started tracker of one run."""

    name: str

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers of a step."""

    def artifact(self, path: Path, kind: str) -> None:
        """Hand over a file of some kind ("model"); nothing where the tracker has no place for one."""

    def finish(self) -> None:
        """Write and send what is left."""


class Trackers:
    """Some started trackers behind one interface.

    What a run is judged by is elsewhere: a tracker that fails while the run goes on is left out, with a
    warning.

    Args:
        trackers: started ones.
        environment: closed after them; holds the environment variables they need.
        say: called with warnings.
    """

    def __init__(self, trackers: Sequence[Tracker], environment: ExitStack, say: Say) -> None:
        self._trackers = list(trackers)
        self._environment = environment
        self._say = say

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Log numbers of a step; those that are undefined (``None``) are left out."""
        numbers = {name: value for name, value in metrics.items() if value is not None}
        self._each(lambda tracker: tracker.log(numbers, step))

    def artifact(self, path: Path, kind: str = "model") -> None:
        """Hand over a file, such as a checkpoint; TensorBoard has no place for it."""
        if path.is_file():
            self._each(lambda tracker: tracker.artifact(path, kind))

    def close(self) -> None:
        """Finish; what W&B still has to send is sent now."""
        self._each(lambda tracker: tracker.finish())
        self._trackers = []
        self._environment.close()

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                act(tracker)
            except Exception as error:  # foreign code, and servers that are away
                self._trackers.remove(tracker)
                self._say(f"warning: {tracker.name} failed and is left out: {type(error).__name__}: {error}")


def tracker_names(given: str | Iterable[str]) -> list[str]:
    """Names out of a text with commas, or of a list; raises ``OptionError`` for one that is no tracker."""
    words = given.split(",") if isinstance(given, str) else given
    names = list(dict.fromkeys(word.strip() for word in words if word.strip()))
    for name in names:
        if name not in NAMES:
            known = listed(NAMES, quotes=False)
            raise OptionError(f"no experiment tracker is called {name!r}", fix=f"name some of {known}")
    return names


def require_trackers(names: Iterable[str]) -> None:
    """Raise ``TrackerError`` where the package of one is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise TrackerError(
                f"the experiment tracker {name} is not installed",
                fix=f"pip install {_KNOWN[name][0]}, or pip install 'anydet[track]' for all trackers",
            )


def open_trackers(names: Sequence[str], run: TrackedRun, say: Say) -> Trackers:
    """Start trackers and give them the run's settings.

    A resumed run is another run to them, of the same name, whose steps go on.

    Args:
        names: of ``NAMES``.
        run: what they show.
        say: called with notes for people.

    Raises:
        TrackerError: a tracker's package is missing, or the tracker does not start.
    """
    require_trackers(names)
    started: list[Tracker] = []
    environment = ExitStack()
    try:
        for name in names:
            _, variables, start = _KNOWN[name]
            _set_variables(environment, variables(run.folder))
            try:
                started.append(start(run, say))
            except Exception as error:  # foreign code, and servers that are away
                raise TrackerError(
                    f"the experiment tracker {name} does not start: {error}",
                    fix=f"take {name} out of {_OPTION}, or correct its settings (its environment variables)",
                ) from error
    except BaseException:
        Trackers(started, environment, say).close()
        raise
    return Trackers(started, environment, say)


class _WandB:
    name = "wandb"

    def __init__(self, run: TrackedRun, say: Say) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE")
        if mode is None:
            mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
        if mode == "offline":
            say(f"wandb: offline, into {run.folder / 'wandb'}; 'wandb sync' of that folder uploads it")
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=run.project,
            name=run.name,
            dir=str(run.folder),
            mode=mode,
            settings=wandb.Settings(console="off", silent=mode != "online"),
        )
        config: Any = self._run.config  # wandb leaves it without types
        config.update(_plain(run.settings))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def artifact(self, path: Path, kind: str) -> None:
        self._run.log_artifact(str(path), name=f"{self._run.id}-{path.stem}", type=kind)

    def finish(self) -> None:
        self._run.finish()


class _TensorBoard:
    """Events as torch's ``SummaryWriter`` writes them, without torch."""

    name = "tensorboard"

    def __init__(self, run: TrackedRun, _say: Say) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        run.events.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(run.events))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        import time

        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        for value in values:
            self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
        self._writer.flush()

    def artifact(self, path: Path, kind: str) -> None:
        """It has no place for files."""

    def finish(self) -> None:
        self._writer.close()


class _MLflow:
    name = "mlflow"

    def __init__(self, run: TrackedRun, _say: Say) -> None:
        import mlflow

        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", run.project)
        known = mlflow.get_experiment_by_name(experiment)
        id_ = mlflow.create_experiment(experiment) if known is None else known.experiment_id
        mlflow.start_run(experiment_id=id_, run_name=run.name)
        short = {n: v for n, v in _plain(run.settings).items() if len(str(v)) <= _LONGEST_PARAMETER}
        for some in _batches(short, _MOST_PARAMETERS):
            mlflow.log_params(some)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        import mlflow

        # Names of classes and states are in some names, and may be anything.
        named = {re.sub(r"[^\w\-. :/]", "_", name): value for name, value in metrics.items()}
        for some in _batches(named, _MOST_METRICS):
            mlflow.log_metrics(some, step=step)

    def artifact(self, path: Path, kind: str) -> None:
        import mlflow

        del kind
        mlflow.log_artifact(str(path))

    def finish(self) -> None:
        import mlflow

        mlflow.end_run()


def _wandb_variables(folder: Path) -> dict[str, str]:
    """Copies of artifacts wait below the run's folder, too, until they are uploaded."""
    return {"WANDB_DATA_DIR": str((folder / "wandb").resolve()), "WANDB_ERROR_REPORTING": "false"}


def _mlflow_variables(folder: Path) -> dict[str, str]:
    """MLflow wants a database by default, whose driver its small package lacks; a folder needs none."""
    return {
        "MLFLOW_TRACKING_URI": (folder / "mlruns").resolve().as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


_KNOWN: dict[str, tuple[str, Callable[[Path], dict[str, str]], Callable[[TrackedRun, Say], Tracker]]] = {
    "wandb": ("wandb", _wandb_variables, _WandB),
    "tensorboard": ("tensorboard", lambda _folder: {}, _TensorBoard),
    "mlflow": ("mlflow-skinny", _mlflow_variables, _MLflow),
}
"""Name -> package that brings it, variables it needs where they are not set, how it is started."""


def _set_variables(environment: ExitStack, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        if name not in os.environ:
            os.environ[name] = value
            environment.callback(os.environ.pop, name, None)


def _plain(settings: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    return {name: v if isinstance(v, str | int | float | bool) else str(v) for name, v in settings.items()}


def _batches(values: Mapping[str, Any], most: int) -> Iterator[dict[str, Any]]:
    items = iter(values.items())
    while some := dict(islice(items, most)):
        yield some
