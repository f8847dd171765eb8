"""``meta``: the description of a run in its predictions file."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from anydet.data.corruptions.dataset import describe_corruption
from anydet.data.dataset.protocols import Dataset
from anydet.plugins.adapter import AdapterNotes
from anydet.plugins.calls import PluginCalls
from anydet.plugins.checkpoints import find_weights
from anydet.prediction.checks import check_notes, require_json
from anydet.prediction.choices import TTA, TTT, Perturbation
from anydet.prediction.hooks import TTTDescription, TTTSettings
from anydet.prediction.perturbation import PERTURBED
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.recipe import Recipe
from anydet.text import as_given, quoted


def identity(recipe: Recipe, dataset: Dataset, images: int, adapter_version: str | None) -> dict[str, Any]:
    """Everything that decides what the entries of a run are; equal for a run and its resumption.

    Args:
        recipe: what the pipeline was opened from, complete.
        dataset: what is predicted.
        images: the first so many of it.
        adapter_version: of the distribution that brings the adapter.
    """
    settings = recipe.settings
    return {
        "anydet": _version("anydet"),
        "adapter": recipe.adapter,
        "adapter_version": adapter_version,
        "config": settings.config,
        "checkpoint_sha256": checkpoint_sha256(settings.checkpoint),
        "device": settings.device,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "options": options_as_given(settings.options),
        "files_sha256": _files_sha256(recipe),
        "dataset": dataset.fingerprint(),
        "images": images,
        "limits": asdict(recipe.limits),
        "tta": recipe.tta and asdict(recipe.tta),
        "ttt": recipe.ttt and asdict(recipe.ttt),
        "on_error": recipe.on_error,
    }


def build_meta(
    pipeline: Pipeline,
    dataset: Dataset,
    run: Mapping[str, Any],
    *,
    fresh: int,
    wall_s: float,
    described: TTTDescription | None = None,
    report: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The ``meta`` block of the contract, complete.

    Args:
        pipeline: what predicts.
        dataset: what was predicted.
        run: the run's ``identity``.
        fresh: images that this process predicted; a resumed run had others already.
        wall_s: seconds that took.
        described: settings of the method of test-time training, where there is one.
        report: of that method.

    Raises ``PluginError`` where notes or class names of the adapter cannot be had or have no JSON form.
    """
    adapter, settings = pipeline.adapter, pipeline.adapter.settings
    calls = PluginCalls("adapters", adapter.name, pipeline.plugins)
    notes = check_notes(adapter, pipeline.plugins)
    with calls.to("classes"):
        classes = None if adapter.classes is None else list(adapter.classes.names)
        require_json({"classes": classes}, "classes", calls)
    for name in classes or ():
        if not isinstance(name, str):
            raise calls.error(f"gives a class name that is no text: {quoted(name)}")
    images = run["images"]
    meta: dict[str, Any] = {
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "adapter": adapter.name,
        "adapter_version": run["adapter_version"],
        "anydet_version": run["anydet"],
        "config": settings.config or "",
        "checkpoint": as_given(settings.checkpoint) if settings.checkpoint else settings.checkpoint,
        "checkpoint_sha256": run["checkpoint_sha256"],
        "dataset": {
            "root": as_given(str(dataset.root)),
            "split": dataset.split,
            "fingerprint": run["dataset"],
        },
        "images": images,
        "export_settings": _export_settings(notes, pipeline.limits),
        "conventions": {"bbox_format": "cxcywh_norm", "rot6d": "columns"},
        "tta": _tta(pipeline.tta.choices if pipeline.tta else None),
        "ttt": _ttt(
            pipeline.ttt.choices if pipeline.ttt else None, described or TTTDescription(), report or {}
        ),
        "runtime": _runtime(settings.device, fresh, wall_s),
    }
    if classes is not None:
        meta["classes"] = classes
    if notes.states:
        meta["states"] = list(notes.states)
    meta["extra"] = _extra(settings.options, notes, describe_corruption(dataset))
    return meta


def _runtime(device: str, fresh: int, wall_s: float) -> dict[str, Any]:
    return {
        "device": device,
        "torch": _loaded_version("torch"),
        "python": platform.python_version(),
        "wall_s": round(wall_s, 3),
        "images_per_s": round(fresh / wall_s, 3) if wall_s > 0 else None,
    }


def _extra(
    options: Mapping[str, Any], notes: AdapterNotes, corruption: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the contract has no field for, as far as there is any."""
    extra = {
        "options": options_as_given(options),
        "runtime": dict(notes.runtime),
        "corruption": corruption,
        "keypoint_names": list(notes.keypoint_names),
        "warnings": list(notes.warnings),
    }
    return {name: value for name, value in extra.items() if value}


def checkpoint_sha256(path: str | None) -> str | None:
    """Hex digest of the weights, of a run's folder of its best ones; ``None`` where there are none."""
    weights = None if path is None else find_weights(path)
    return None if weights is None else file_sha256(weights)


def options_as_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the names that the user gave for files, not those of files made of pipes."""
    return {key: as_given(value) if isinstance(value, str) else value for key, value in options.items()}


def _files_sha256(recipe: Recipe) -> dict[str, str]:
    """Path -> digest of each file that an option names: what is in it decides what is predicted, too."""
    given: list[Mapping[str, Any]] = [recipe.settings.options]
    if isinstance(recipe.tta, TTA):
        given += [choice.options for choice in (*recipe.tta.views, recipe.tta.fusion)]
    if recipe.ttt is not None:
        settings = recipe.ttt.settings
        given += [settings.options, {"statistics": settings.statistics}]
    named = {value for options in given for value in options.values() if isinstance(value, str) and value}
    return {as_given(path): file_sha256(Path(path)) for path in sorted(named) if _is_file(path)}


def _is_file(path: str) -> bool:
    # Most options name no file, and may be texts that no file can be called.
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(folder: Path) -> str:
    """Hex digest of the names and bytes of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _loaded_version(module: str) -> str | None:
    """Version of a module that is in use, as plain text: torch's own is a class of its own."""
    found = getattr(sys.modules.get(module), "__version__", None)
    return None if found is None else str(found)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _export_settings(notes: AdapterNotes, limits: Limits) -> dict[str, Any]:
    return {
        "image_size": None if notes.image_size is None else list(notes.image_size),
        "score_threshold": limits.score_threshold,
        "max_detections": limits.max_detections,
        "nms_iou": notes.nms_iou,
        "preprocess": _preprocess(notes),
    }


def _preprocess(notes: AdapterNotes) -> dict[str, Any] | None:
    known = {} if notes.preprocess is None else notes.preprocess.as_dict()
    return {**known, **notes.details} or None


def _tta(tta: TTA | Perturbation | None) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "enabled": tta is not None,
        "mode": "none",
        "views": [],
        "seed": None,
        "flip_prob": 0.0,
        "norm_only": False,
        "fusion": None,
        "warnings": [],
        "summary": None,
    }
    if tta is None:
        return meta
    if isinstance(tta, Perturbation):
        return {**meta, "mode": "prediction", **asdict(tta), "warnings": [PERTURBED]}
    probabilities = [v.options["flip_prob"] for v in tta.views if "flip_prob" in v.options]
    weights = tta.weights or (1.0,) * len(tta.views)
    return {
        **meta,
        "mode": "views",
        "views": [str(view) for view in tta.views],
        "seed": tta.seed,
        "flip_prob": max(probabilities, default=0.0),
        "fusion": tta.fusion.name,
        "summary": {
            "views": [{**asdict(v), "weight": w} for v, w in zip(tta.views, weights, strict=True)],
            "fusion": asdict(tta.fusion),
        },
    }


def _ttt(ttt: TTT | None, found: TTTDescription, report: Mapping[str, Any]) -> dict[str, Any]:
    settings = TTTSettings() if ttt is None else ttt.settings
    return {
        "enabled": ttt is not None,
        "method": "none" if ttt is None else ttt.method,
        "steps": found.steps,
        "batch_size": found.batch_size,
        "lr": found.lr,
        "update_filter": found.update_filter,
        "include": None if found.include is None else list(found.include),
        "exclude": None if found.exclude is None else list(found.exclude),
        "max_batches": found.max_batches,
        "seed": None if ttt is None else settings.seed,
        "mim": {"mask_prob": 0.0, "patch_size": 0, "mask_value": 0.0, **found.mim},
        "report": None if ttt is None else {**report, **_chosen(ttt)},
    }


def _chosen(ttt: TTT) -> dict[str, Any]:
    """Choices for which the contract has no field."""
    chosen = {
        "preset": ttt.settings.preset,
        "reset": ttt.settings.reset,
        "options": dict(ttt.settings.options),
    }
    return {**chosen, "source": ttt.source} if ttt.source else chosen
