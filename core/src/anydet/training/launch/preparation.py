"""``prepare``: flags and a config file become a run that is ready to start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset
from anydet.errors import OptionError, UnsupportedError
from anydet.inputs import as_file
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.training.config.config_file import ConfigFile, open_config
from anydet.training.config.keys import canonical
from anydet.training.config.resolve import MADE, Resolved, resolve
from anydet.training.devices.torchrun import is_main_process, process_count
from anydet.training.launch.run_data import open_training, open_validation, shorten
from anydet.training.launch.run_folder import check_data, check_folder, run_paths
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRun:
    """A run that is ready to start; nothing of it is on disk yet.

    Attributes:
        run: data, settings and paths.
        resolved: its settings with their origins.
        adapter: what the adapter is built with; its device is the engine's to choose.
    """

    run: Run
    resolved: Resolved
    adapter: AdapterSettings


def prepare(
    flags: Mapping[str, Any],
    config: Path | str | None = None,
    *,
    plugins: Plugins,
    dataset: Dataset | None = None,
    validation: Dataset | None = None,
    say: Say = lambda _text: None,
    refuse_odd: bool = False,
) -> PreparedRun:
    """Resolve the settings, open the data and choose the folder; nothing is written.

    Args:
        flags: key -> value, text or typed; only what was given.
        config: config file, or its name within the adapter's package.
        plugins: where adapters and formats come from.
        dataset: what to train on, where it is open already.
        validation: what to validate on, where it is open already.
        say: called with a line on each choice.
        refuse_odd: refuse data sets with odd annotations, as ``open_dataset`` does.

    Raises:
        OptionError: a setting is wrong, the run exists already, or there is none to go on with.
        PluginError, UnsupportedError: there is no such adapter, or it cannot be trained.
        DatasetError: data cannot be opened, or is not what the run began with.
    """
    config = as_file(Path(config)) if config is not None and Path(config).exists() else config
    file = open_config(config) if config is not None and Path(config).is_file() else None
    base = _base(flags, file)
    name = _adapter_name(flags, file, base)
    spec = plugins.spec("adapters", name)
    if "train" not in spec.capabilities:
        others = [n for n, s in plugins.specs("adapters").items() if "train" in s.capabilities]
        raise UnsupportedError(name, "training", others=others)
    schema = load_schema(spec.training_schema)
    resolved = _named(resolve(flags, file or config, schema, adapter_name=name, base=base), name)
    settings = resolved.settings
    paths = run_paths(settings)
    if is_main_process():
        check_folder(paths, resume=settings.resume)
    opener = partial(open_dataset, formats=installed_formats(plugins), refuse_odd=refuse_odd)
    training = open_training(settings, opener) if dataset is None else shorten(dataset, settings.max_images)
    held_out = validation if validation is not None else open_validation(settings, training, opener)
    run = Run(name, training, held_out, settings, paths, resolved.options, resolved.origins, plugins)
    if settings.resume and is_main_process():
        check_data(run)
    _announce(run, say)
    return PreparedRun(run, resolved, _adapter_settings(plugins, run))


def _base(flags: Mapping[str, Any], file: ConfigFile | None) -> ConfigFile | None:
    """The resolved config of the run that is to go on; ``None`` for a run that begins."""
    stated = {canonical(k): v for layer in (file.values if file else {}, flags) for k, v in layer.items()}
    if str(stated.get("resume", False)).lower() != "true":
        return None
    run_id, run_dir, runs = stated.get("run_id"), stated.get("run_dir"), stated.get("runs_dir", "runs")
    if run_id is None and run_dir is None:
        raise OptionError("no run to resume given", fix="add --run-id ID, or --run-dir DIR, to --resume")
    paths = RunPaths.of_folder(Path(run_dir)) if run_dir else RunPaths.of_run(Path(runs), str(run_id))
    if not paths.config_resolved.is_file():
        raise OptionError(
            f"{paths.root}: no run to resume: {paths.config_resolved} is not there",
            fix="leave out --resume to start a new run",
        )
    return open_config(paths.config_resolved)


def _adapter_name(flags: Mapping[str, Any], file: ConfigFile | None, base: ConfigFile | None) -> str:
    named = [stated.values.get("adapter") for stated in (file, base) if stated is not None]
    names = [str(name) for name in (flags.get("adapter"), *named) if name is not None]
    if base is not None and names[0] != names[-1]:
        raise OptionError(
            f"{base.name}: the run is one of adapter {names[-1]!r}, not {names[0]!r}",
            fix="leave out --adapter, or begin a new run with another --run-id",
        )
    if names:
        return names[0]
    raise OptionError(
        "no adapter given",
        fix="add --adapter NAME, or 'adapter:' to the config file; see 'anydet adapters list'",
    )


def _named(resolved: Resolved, adapter: str) -> Resolved:
    """The same with a run id, where neither id nor folder was given."""
    settings = resolved.settings
    if settings.run_id is not None or settings.run_dir is not None:
        return resolved
    if process_count() > 1:
        raise OptionError("several processes need a common run_id", fix="add --run-id ID")
    run_id = f"{adapter}-{datetime.now():%Y%m%d-%H%M%S}"
    settings = msgspec.structs.replace(settings, run_id=run_id)
    return replace(resolved, settings=settings, origins={**resolved.origins, "run_id": MADE})


def _adapter_settings(plugins: Plugins, run: Run) -> AdapterSettings:
    settings = run.settings
    return plugins.settings(
        run.adapter,
        options=settings.adapter_options,
        checkpoint=settings.checkpoint,
        batch_size=settings.batch_size,
        score_floor=0.001,
        seed=settings.seed,
    )


def _announce(run: Run, say: Say) -> None:
    say(f"run {run.paths.root}")
    say(f"train: {run.dataset.root}: {len(run.dataset)} images, {run.dataset.note}")
    if run.validation is None:
        say("validation: none, as no --val-dataset is named and the data set has no other usual split")
    else:
        held_out = f"{run.validation.root}: {len(run.validation)} images, {run.validation.note}"
        say(f"validation: {held_out}")
