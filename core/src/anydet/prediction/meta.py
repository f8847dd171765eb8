"""``meta``: the description of a run in its predictions file."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.plugins.adapter import Adapter, AdapterNotes
from anydet.plugins.checkpoints import find_weights
from anydet.prediction.hooks import TTASettings, TTTSettings
from anydet.prediction.pipeline import Limits, Pipeline


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Which views and which test-time training a run used, by name.

    Attributes:
        views: registered names, in the order in which they are predicted.
        fusion: how their results were joined.
        tta: settings of the views.
        ttt_method: registered name, or ``None``.
        ttt: settings of the method.
    """

    views: tuple[str, ...] = ()
    fusion: str = "nms"
    tta: TTASettings = field(default_factory=TTASettings)
    ttt_method: str | None = None
    ttt: TTTSettings = field(default_factory=TTTSettings)


def identity(pipeline: Pipeline, dataset: Dataset, images: int, adaptation: Adaptation) -> dict[str, Any]:
    """Everything that decides what the entries of a run are; equal for a run and its resumption."""
    adapter, settings = pipeline.adapter, pipeline.adapter.settings
    return {
        "anydet": _version("anydet"),
        "adapter": adapter.name,
        "adapter_version": adapter.version,
        "config": settings.config,
        "checkpoint_sha256": checkpoint_sha256(settings.checkpoint),
        "device": settings.device,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "options": dict(settings.options),
        "dataset": dataset.fingerprint(),
        "images": images,
        "limits": asdict(pipeline.limits),
        "adaptation": asdict(adaptation),
        "on_error": pipeline.on_error,
    }


def build_meta(
    adapter: Adapter,
    dataset: Dataset,
    run: Mapping[str, Any],
    *,
    limits: Limits,
    adaptation: Adaptation,
    fresh: int,
    wall_s: float,
) -> dict[str, Any]:
    """The ``meta`` block of the contract, complete.

    Args:
        adapter: the one that predicted.
        dataset: what was predicted.
        run: the run's ``identity``.
        limits: what was kept.
        adaptation: views and test-time training.
        fresh: images that this process predicted; a resumed run had others already.
        wall_s: seconds that took.
    """
    settings, notes = adapter.settings, adapter.notes
    images = run["images"]
    meta: dict[str, Any] = {
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "adapter": adapter.name,
        "adapter_version": run["adapter_version"],
        "anydet_version": run["anydet"],
        "config": settings.config or "",
        "checkpoint": settings.checkpoint,
        "checkpoint_sha256": run["checkpoint_sha256"],
        "dataset": {"root": str(dataset.root), "split": dataset.split, "fingerprint": run["dataset"]},
        "images": images,
        "export_settings": _export_settings(notes, limits),
        "conventions": {"bbox_format": "cxcywh_norm", "rot6d": "columns"},
        "tta": _tta(adaptation),
        "ttt": _ttt(adaptation, settings.batch_size),
        "runtime": _runtime(settings.device, fresh, wall_s),
    }
    if adapter.classes is not None:
        meta["classes"] = list(adapter.classes.names)
    if notes.states:
        meta["states"] = list(notes.states)
    meta["extra"] = _extra(settings.options, notes)
    return meta


def _runtime(device: str, fresh: int, wall_s: float) -> dict[str, Any]:
    return {
        "device": device,
        "torch": _loaded_version("torch"),
        "python": platform.python_version(),
        "wall_s": round(wall_s, 3),
        "images_per_s": round(fresh / wall_s, 3) if wall_s > 0 else None,
    }


def _extra(options: Mapping[str, Any], notes: AdapterNotes) -> dict[str, Any]:
    """What the contract has no field for, as far as there is any."""
    extra = {
        "options": dict(options),
        "keypoint_names": list(notes.keypoint_names),
        "warnings": list(notes.warnings),
    }
    return {name: value for name, value in extra.items() if value}


def checkpoint_sha256(path: str | None) -> str | None:
    """Hex digest of the weights, of a run's folder of its best ones; ``None`` where there are none."""
    weights = None if path is None else find_weights(path)
    if weights is None:
        return None
    digest = hashlib.sha256()
    with weights.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
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


def _tta(adaptation: Adaptation) -> dict[str, Any]:
    enabled = bool(adaptation.views)
    return {
        "enabled": enabled,
        "mode": "views" if enabled else "none",
        "views": list(adaptation.views),
        "seed": adaptation.tta.seed,
        "flip_prob": adaptation.tta.flip_prob,
        "norm_only": False,
        "fusion": adaptation.fusion if len(adaptation.views) > 1 else None,
        "warnings": [],
        "summary": None,
    }


def _ttt(adaptation: Adaptation, batch_size: int) -> dict[str, Any]:
    ttt, method = adaptation.ttt, adaptation.ttt_method
    return {
        "enabled": method is not None,
        "method": method or "none",
        "steps": ttt.steps or 0,
        "batch_size": ttt.batch_size or batch_size,
        "lr": ttt.lr or 0.0,
        "update_filter": "none",
        "include": None,
        "exclude": None,
        "max_batches": ttt.max_batches or 0,
        "seed": ttt.seed,
        "mim": {"mask_prob": 0.0, "patch_size": 0, "mask_value": 0.0},
        "report": None,
    }
