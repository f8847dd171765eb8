"""A stage: one task trained by one method with one seed. What is done is not done again."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anydet.continual.setting import Method, Setting, as_keys
from anydet.data.dataset.protocols import Dataset
from anydet.errors import AnydetError, InterruptedTraining, TrainingError
from anydet.inputs import known_json
from anydet.outputs import write_file
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.prediction.export import InterruptedRunError, export_predictions
from anydet.prediction.meta import checkpoint_sha256
from anydet.prediction.recipe import Recipe
from anydet.prediction.spool import discard
from anydet.text import quoted
from anydet.training.checkpoints.checkpoint import save_checkpoint
from anydet.training.config.config_file import open_config
from anydet.training.launch.preparation import PreparedRun, prepare
from anydet.training.launch.start import launch, rehearse
from anydet.version import __version__

AGAIN = "the same command goes on; what was done is kept"
_DONE = "stage.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """A task that has been trained.

    Attributes:
        folder: of the run.
        identity: of all that decides its weights.
        checkpoint: its weights.
        seconds: time of the training, ``None`` where it was interrupted.
    """

    folder: Path
    identity: str
    checkpoint: Path
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains stages and predicts with them.

    Attributes:
        setting: keys of all trainings.
        out: folder that the runs are put into.
        plugins: where the adapter comes from.
    """

    setting: Setting
    out: Path
    plugins: Plugins

    def train(
        self, task: str, data: Dataset, method: Method, *, number: int, seed: int, before: Stage | None
    ) -> Stage:
        """The stage, trained, resumed, or as it was left.

        Stages that different methods have in common, such as a first task without keys of their own, are one.

        Args:
            task: name of the task.
            data: what is trained on.
            method: gives training keys.
            number: of the task, from 0 on.
            seed: of the training.
            before: stage whose weights this one begins with, or ``None`` for the first.

        Raises:
            AnydetError: of the training, which names method and task.
            InterruptedTraining: a signal arrived; everything is saved.
        """
        planned = self._planned(task, data, method, number=number, seed=seed, before=before)
        if (done := _finished(planned)) is not None:
            return done
        identity, folder = planned.identity, planned.folder
        previous = None if before is None else before.checkpoint
        start = time.perf_counter()
        with _of_stage(method, task):
            ready, resumed = self._prepare(
                {**self.setting.training, **method.keys_of(number, previous)}, previous, seed, data, folder
            )
            result = launch(ready)
        seconds = None if resumed else time.perf_counter() - start
        checkpoint = Path(result.checkpoint)
        about = {"identity": identity, "checkpoint": checkpoint.name, "seconds": seconds}
        write_file(folder / _DONE, json.dumps(about))
        return Stage(folder, identity, folder / checkpoint.name, seconds)

    def rehearse(
        self,
        task: str,
        data: Dataset,
        method: Method,
        *,
        number: int,
        seed: int,
        before: Stage | None,
        scratch: Path,
    ) -> Stage:
        """The stage as ``train`` would begin it, unless it was trained already; ``out`` stays as it is.

        Args:
            task: as for ``train``, and so are the next four.
            data: what is trained on.
            method: gives training keys.
            number: of the task.
            seed: of the training.
            before: what this gave for the task before.
            scratch: folder for a checkpoint of the model as it would begin, which a later task is rehearsed
                with.

        Raises ``AnydetError`` as ``train`` does before its first step.
        """
        planned = self._planned(task, data, method, number=number, seed=seed, before=before)
        if (done := _finished(planned)) is not None:
            return done
        untrained = scratch / planned.identity / "best.pt"
        if not untrained.is_file():
            previous = None if before is None else before.checkpoint
            keys = {**self.setting.training, **method.keys_of(number, previous)}
            with _of_stage(method, task):
                begins = rehearse(self._prepare(keys, previous, seed, data, untrained.parent)[0])
            untrained.parent.mkdir()
            if begins is not None:
                save_checkpoint(untrained, begins)
        return replace(planned, checkpoint=untrained)

    def _planned(
        self, task: str, data: Dataset, method: Method, *, number: int, seed: int, before: Stage | None
    ) -> Stage:
        """Where the stage is put, whether it is there or not."""
        keys = {**self.setting.training, **method.keys_of(number, None)}
        identity = self._identity(keys, seed, data, before)
        folder = self.out / "runs" / f"{task}-{seed}-{identity[:12]}"
        return Stage(folder, identity, folder / "best.pt", None)

    def predict(self, stage: Stage, dataset: Dataset, name: str = "") -> tuple[Path, str]:
        """Predictions of a stage on a data set, and what they are the predictions of.

        Args:
            stage: whose weights predict.
            dataset: all of its images are predicted, with all classes that the stage knows.
            name: of the data set, where a setting evaluates on several.
        """
        path = stage.folder / ("predictions.json" if not name else f"predictions-on-{name}.json")
        about = path.with_suffix(".run.json")
        identity = _digest([stage.identity, dataset.fingerprint(), len(dataset)])
        if path.exists() and known_json(about).get("identity") == identity:
            return path, identity
        # Of a run that was killed.
        discard(path)
        keys = open_config(stage.folder / "config_resolved.yaml").values
        settings = self.plugins.settings(
            self.setting.adapter,
            options=keys["adapter_options"],
            checkpoint=str(stage.checkpoint),
            device=self.setting.device,
            batch_size=keys["batch_size"],
            score_floor=0.001,
            seed=keys["seed"],
        )
        try:
            with Recipe(self.setting.adapter, settings).open(self.plugins) as pipeline:
                export_predictions(pipeline, dataset, path, wrap=True)
        except InterruptedRunError as exc:
            raise InterruptedRunError(exc.problem, fix=AGAIN) from exc
        write_file(about, json.dumps({"identity": identity}))
        return path, identity

    def _prepare(
        self, keys: Mapping[str, Any], previous: Path | None, seed: int, data: Dataset, folder: Path
    ) -> tuple[PreparedRun, bool]:
        """The run, and whether it goes on where an earlier one was stopped."""
        flags = {
            **keys,
            # The data set is given open, and no other is meant.
            **dict.fromkeys(("dataset", "split", "val_dataset", "val_split", "max_images", "run_id")),
            # Files of a run are those of its folder, and nothing is exported.
            **{"run_dir": str(folder), "run_contract": False, "config_version": None},
            "adapter": self.setting.adapter,
            "device": self.setting.device,
            "seed": seed,
        }
        first = self.setting.checkpoint if previous is None else str(previous)
        if first is not None:
            flags["checkpoint"] = first
        config = self.setting.config
        resumed = (folder / "checkpoint.pt").is_file()
        if folder.exists() and not resumed:
            shutil.rmtree(folder)  # of a run that was killed before its first checkpoint
        flags["resume"] = resumed
        return prepare(flags, config, plugins=self.plugins, dataset=data), resumed

    def _identity(self, keys: Mapping[str, Any], seed: int, data: Dataset, before: Stage | None) -> str:
        setting = self.setting
        owner = self.plugins.owner("adapters", setting.adapter)
        config = setting.config
        return _digest(
            {
                "versions": [__version__, owner and owner.version],
                "adapter": setting.adapter,
                "config": config and self._config(config),
                "keys": keys,
                "device": setting.device,
                "seed": seed,
                "data": data.fingerprint(),
                "before": checkpoint_sha256(setting.checkpoint) if before is None else before.identity,
            }
        )

    def _config(self, config: str) -> Mapping[str, Any]:
        spec = self.plugins.spec("adapters", self.setting.adapter)
        return open_config(config, load_schema(spec.training_schema)).values


def _finished(planned: Stage) -> Stage | None:
    """The stage, where it was trained already."""
    done = known_json(planned.folder / _DONE)
    if done.get("identity") != planned.identity:
        return None
    return replace(planned, checkpoint=planned.folder / done["checkpoint"], seconds=done["seconds"])


@contextmanager
def _of_stage(method: Method, task: str) -> Iterator[None]:
    """Around a training: what goes wrong names method and task, and keys as settings have them."""
    where = f"method {quoted(method.name)}, task {quoted(task)}"
    try:
        yield
    except InterruptedTraining as exc:
        raise InterruptedTraining(f"{where}: {exc.problem}", fix=AGAIN, exit_code=exc.exit_code) from exc
    except AnydetError as exc:
        raise TrainingError(f"{where}: {as_keys(exc.problem)}", fix=as_keys(exc.fix)) from exc


def _digest(known: Any) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
