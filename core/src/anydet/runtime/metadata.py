"""What a model file says of itself.

An export of anydet describes all of itself. Ultralytics writes task, input size and names into its exports;
others name outputs as no other family does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anydet.plugins.export import ModelDescription
from anydet.runtime.errors import ModelError
from anydet.text import shortened
from anydet.types import Size

_PRESETS = {
    "detect": ("ultralytics", "ultralytics-end2end"),
    "segment": ("ultralytics-segment", "ultralytics-end2end"),
    "pose": ("ultralytics-pose", "ultralytics-pose-end2end"),
    "obb": ("ultralytics-obb", "ultralytics-obb-end2end"),
    "classify": ("ultralytics-classify",),
}
_WITHOUT_TASK = ("yolov5", "ultralytics")
"""Of files with ``stride`` and ``names`` alone: those of YOLOv5, and of YOLOv3 and YOLOv9 after it."""
_NAMED = {
    "efficient-nms": {"num_dets", "det_boxes", "det_scores", "det_classes"},
    "scrfd": {f"{what}_{stride}" for what in ("score", "bbox") for stride in (8, 16, 32)},
    "yunet": {f"{what}_{stride}" for what in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)},
}
"""Preset -> outputs that only its family has."""


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What a file states of its outputs, which their shapes leave open.

    Attributes:
        task: of the model, as Ultralytics has it ("pose", "obb"), or an empty text.
        keypoints: how many an object has, and numbers of each: 2, or 3 with a score.
        keypoint_names: of them, or none.
    """

    task: str = ""
    keypoints: tuple[int, int] | None = None
    keypoint_names: tuple[str, ...] = ()


def described(path: str, metadata: Mapping[str, str], outputs: Sequence[str]) -> ModelDescription | None:
    """The description in one of anydet's exports; ``None`` for files of others.

    Raises ``ModelError`` where it cannot be read, or describes outputs that are not there.

    Args:
        path: the file, for messages.
        metadata: of the file.
        outputs: names of the model's outputs.
    """
    fix = "export the model again with anydet's own export"
    try:
        description = ModelDescription.from_metadata(metadata)
    except ValueError as exc:
        raise ModelError(f"{path}: the description in its metadata is broken: {exc}", fix=fix) from exc
    for output in () if description is None else description.outputs:
        if output.name not in outputs:
            raise ModelError(
                f"{path}: its metadata describe an output {output.name!r}, and it has {', '.join(outputs)}",
                fix=fix,
            )
    return description


def stated_presets(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Presets that an Ultralytics export may be of, the usual one first; none for files of others.

    Raises ``ModelError`` where the file is for a task that no preset decodes.
    """
    if not {"stride", "names"} <= metadata.keys():
        return ()
    task = metadata.get("task")
    if task is None:
        return _WITHOUT_TASK
    if task not in _PRESETS:
        raise ModelError(
            f"the metadata of the model state task {shortened(task)!r}; this adapter decodes Ultralytics "
            f"exports for {', '.join(_PRESETS)}",
            fix="export a model for one of these tasks",
        )
    return _PRESETS[task]


def named_presets(outputs: Iterable[tuple[str, bool]], *, wants_sizes: bool) -> tuple[str, ...]:
    """Presets that the names of the outputs and an input for image sizes indicate.

    Args:
        outputs: names, and whether they hold whole numbers.
        wants_sizes: whether the model has an input for the size of the image.
    """
    if wants_sizes:
        return ("rtdetr-deploy",)
    whole = dict(outputs)
    if {"dets", "labels"} <= whole.keys():  # MMDeploy's labels are class ids, RF-DETR's are logits
        return ("mmdeploy",) if whole["labels"] else ("rfdetr",)
    return tuple(preset for preset, names in _NAMED.items() if names <= whole.keys())


def head_facts(metadata: Mapping[str, str]) -> HeadFacts:
    """What Ultralytics' metadata say of the outputs: task, ``kpt_shape``, and names of keypoints.

    Names are those of ``kpt_names`` where the first class has as many as there are keypoints.
    """
    task = metadata.get("task", "")
    shape = _literal(metadata.get("kpt_shape", ""))
    if not (isinstance(shape, (list, tuple)) and len(shape) == 2 and all(isinstance(n, int) for n in shape)):
        return HeadFacts(task)
    count, numbers = shape
    if count < 1 or numbers not in (2, 3):
        return HeadFacts(task)
    names = _literal(metadata.get("kpt_names", ""))
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    named = tuple(map(str, names)) if isinstance(names, (list, tuple)) and len(names) == count else ()
    return HeadFacts(task, (count, numbers), named)


def stated_size(metadata: Mapping[str, str]) -> Size | None:
    """Ultralytics' ``imgsz``, a list of height and width, as (width, height) in pixels."""
    value = _literal(metadata.get("imgsz", ""))
    value = [value, value] if isinstance(value, int) else value
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    height, width = value
    sides_are_pixels = all(isinstance(side, int) and side > 0 for side in (width, height))
    return (width, height) if sides_are_pixels else None


def stated_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Ultralytics' ``names``: a dictionary written as Python or JSON, id to name; or Paddle's ``character``.

    The latter is a text with a name a line, which RapidAI writes into models of PaddleDetection.
    """
    if "names" not in metadata and metadata.get("character", "").strip():
        return tuple(metadata["character"].strip().splitlines())
    names = _literal(metadata.get("names", ""))
    if isinstance(names, dict):
        try:
            names = [names[key] for key in sorted(names, key=int)]
        except (TypeError, ValueError):  # keys that are no numbers
            return None
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) and names else None


def unread_names(metadata: Mapping[str, str]) -> str | None:
    """The text of ``names`` where it is not empty and ``stated_names`` cannot read it; else ``None``."""
    text = metadata.get("names", "").strip()
    return text if text and stated_names(metadata) is None else None


def _literal(text: str) -> Any:
    """A number, list or dictionary from its Python text; ``None`` where it is something else."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
