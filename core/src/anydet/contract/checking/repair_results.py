"""COCO results, and annotations with scores, of which what can be kept is written again."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.encode import encode_json
from anydet.contract.hints import COCO_IDS
from anydet.contract.locations import path_text, show
from anydet.contract.reading.coco_entries import Result, result_problem
from anydet.contract.reading.coco_results import sizes_by_id
from anydet.contract.reading.foreign.given import FileName, Images
from anydet.contract.reading.result_ids import coco_ids
from anydet.contract.reading.source import Source
from anydet.contract.segmentations import mask_of
from anydet.contract.violations import parse, unspeakable
from anydet.errors import OptionError
from anydet.outputs import new_file
from anydet.text import counted
from anydet.types import GroundTruthColumns, Size

_NUMBER = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*")
_KNOWN = frozenset(Result.__struct_fields__)
_PERCENT = 20.0
"""Scores of which none is below 0 and one is above this are hardly logits, but percent."""


class ResultFixer:
    """Repairs results one by one and notes each change.

    Attributes:
        changes: a line a change.
    """

    def __init__(
        self,
        images: Container[object] | None,
        categories: Collection[object] | None,
        sizes_wh: Mapping[Any, Size],
    ) -> None:
        self.changes: list[str] = []
        self._images, self._categories = images, categories
        self._by_text = {str(one): one for one in categories or ()}
        self._sizes = sizes_wh

    def fixed(self, where: str, value: Any) -> dict[str, Any] | None:
        """The result, valid, or ``None`` where it cannot be kept."""
        if not isinstance(value, Mapping):
            self._drop(where, f"{show(value)} where an object belongs")
            return None
        result = dict(value)
        self._numbers(where, result)
        self._optional(where, result)
        problem = _not_finite(result) or result_problem(result, self._sizes) or self._misfit(result)
        if not problem:
            return result
        self._drop(where, problem)
        return None

    def _drop(self, where: str, why: str) -> None:
        self.changes.append(f"{where}: dropped: {why}")

    def _note(self, where: str, what: str) -> None:
        self.changes.append(f"{where}: {what}")

    def _numbers(self, where: str, result: dict[str, Any]) -> None:
        """Numbers that are written as text, and whole ids that are written as fractions."""
        category = result.get("category_id")
        # Ids are names: those of the data set may be text that looks like a number.
        own = self._by_text.get(str(category)) if isinstance(category, int | str) else None
        if own is not None and own != category:
            self._note(f"{where}.category_id", f"{show(category)} written as {show(own)}")
            result["category_id"] = own
        for name in ("score",) if own is not None else ("category_id", "score"):
            if isinstance(result.get(name), str) and _NUMBER.fullmatch(result[name]):
                self._note(f"{where}.{name}", f"{show(result[name])} read as a number")
                result[name] = _number(result[name])
        for name in ("image_id", "category_id"):
            value = result.get(name)
            if isinstance(value, float) and math.isfinite(value) and value == int(value):
                self._note(f"{where}.{name}", f"{show(value)} written as {int(value)}")
                result[name] = int(value)
        for name in ("bbox", "keypoints"):
            value = result.get(name)
            if isinstance(value, list) and any(isinstance(v, str) for v in value):
                numbers = [_number(v) if isinstance(v, str) and _NUMBER.fullmatch(v) else v for v in value]
                self._note(f"{where}.{name}", f"{show(value)} read as numbers")
                result[name] = numbers

    def _optional(self, where: str, result: dict[str, Any]) -> None:
        """Fields that another one can stand in for: a mask beside a box, and what is empty."""
        if "segmentation" in result:
            mask = result["segmentation"]
            image = result.get("image_id")
            size = self._sizes.get(image) if isinstance(image, int | str) else None
            problem = mask_of(mask, size)[1]
            if problem:
                del result["segmentation"]
                self._note(f"{where}.segmentation", f"left out: {problem}")
        for name in ("bbox", "keypoints"):
            if name in result and not result[name]:
                del result[name]
                self._note(f"{where}.{name}", "left out: it is empty")

    def _misfit(self, result: Mapping[str, Any]) -> str:
        """Why a result that can be read is none of this data set."""
        if not {"bbox", "segmentation", "keypoints"} & result.keys():
            return "it has no bbox, segmentation or keypoints"
        if min(result.get("bbox", (0, 0, 0, 0))[2:]) < 0:
            return f"bbox: {show(result['bbox'])} has a negative size"
        if len(result.get("keypoints", ())) % 3:
            return f"keypoints: {len(result['keypoints'])} numbers, where x, y and score of each belong"
        if self._images is not None and result["image_id"] not in self._images:
            return f"image_id: {result['image_id']} is not in the data set"
        if self._categories is not None and result["category_id"] not in self._categories:
            return f"category_id: {result['category_id']} is not in the data set"
        return ""


def _not_finite(result: dict[str, Any]) -> str:
    """Why a result has a number that is none; such a number in a key that COCO does not know is removed."""
    for path, text in list(unspeakable(result)):
        if path and path[0] in _KNOWN:
            return f"{path_text(path)}: {text}"
        result.pop(str(path[0]) if path else "", None)
    return ""


class _Images(Container[object]):
    """The image ids of a data set, and what else names its images in results: file names, stems."""

    def __init__(self, truth: GroundTruthColumns) -> None:
        ids = coco_ids(truth)[0]
        self._ids, self._names = {*ids, *map(str, ids)}, Images(truth)

    def __contains__(self, image: object) -> bool:
        return image in self._ids or self._names.find(FileName(image))[0] is not None


def _categories(truth: GroundTruthColumns, class_map: str | None) -> set[Any]:
    """Category ids that results may have: the data set's, and those by which classes from 0 are counted."""
    known = set(coco_ids(truth, class_map)[1])
    count = len(truth.classes)
    if class_map is None and known == set(range(count)):
        known |= {count, *(COCO_IDS if count == len(COCO_IDS) else ())}
    return known


def repair_results(
    source: Source, out: Path, truth: GroundTruthColumns, class_map: str | None = None
) -> list[str]:
    """Write the results that can be kept, as results of the same data set, and say what was changed.

    Scores beyond 0..1 are brought into it by a function that keeps their order: divided by 100 where they
    look like percent, else by a sigmoid.

    Raises ``OptionError`` for an output that is not ``.json``.
    """
    _need_json(out)
    fixer = ResultFixer(_Images(truth), _categories(truth, class_map), sizes_by_id(truth))
    kept = []
    for place, raw in source.entries():
        value, problems = parse(bytes(raw))
        if value is None:
            fixer.changes.append(f"{place.at()}: dropped: {problems[0][1] if problems else 'null'}")
            continue
        fixed = fixer.fixed(place.at(), value)
        kept += [] if fixed is None else [fixed]
    fixer.changes += _squash(kept)
    with new_file(out) as file:
        file.write(encode_json(kept, where=str(out)) + b"\n")
    return fixer.changes


def repair_document(value: Mapping[str, Any], out: Path) -> list[str]:
    """Write a COCO document with those of its annotations that can be kept, and say what was changed."""
    _need_json(out)
    images = {one["id"]: one for one in _with_ids(value.get("images"))}
    categories = [one["id"] for one in _with_ids(value.get("categories"))]
    numbered = {image: i for i, image in enumerate(images)}
    sizes = {numbered[image]: (one.get("width", 0), one.get("height", 0)) for image, one in images.items()}
    known = {i: size for i, size in sizes.items() if all(isinstance(v, int) and v > 0 for v in size)}
    fixer = ResultFixer(sizes if images else None, categories or None, known if images else {})
    kept = []
    for i, annotation in enumerate(value["annotations"]):
        where = f"annotations[{i}]"
        if not isinstance(annotation, Mapping):
            fixer.changes.append(f"{where}: dropped: {show(annotation)} where an object belongs")
            continue
        image = annotation.get("image_id")
        # Ids of a document are names: they are put back as they were.
        own = numbered.get(image, -1) if images and isinstance(image, str | int | float) else image
        fixed = fixer.fixed(where, {**annotation, "image_id": own})
        kept += [] if fixed is None else [{**fixed, "image_id": image}]
    fixer.changes += _squash(kept)
    with new_file(out) as file:
        file.write(encode_json({**value, "annotations": kept}, where=str(out)) + b"\n")
    return fixer.changes


def _with_ids(rows: Any) -> list[Mapping[str, Any]]:
    listed = rows if isinstance(rows, list) else []
    return [
        one for one in listed if isinstance(one, Mapping) and isinstance(one.get("id"), str | int | float)
    ]


def _squash(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Bring scores beyond 0..1 into it, all of them by one function that keeps their order."""
    scores = np.array([result["score"] for result in results], np.float64)
    beyond = np.flatnonzero((scores < 0) | (scores > 1))
    if not len(beyond):
        return
    if scores.min() >= 0 and _PERCENT < scores.max() <= 100:
        changed, what = scores / 100, "taken for percent, all are divided by 100"
    else:
        with np.errstate(over="ignore"):
            changed, what = 1 / (1 + np.exp(-scores)), "taken for logits, a sigmoid is applied to all"
    for result, score in zip(results, changed.tolist(), strict=True):
        result["score"] = score
    yield (
        f"{counted(len(beyond), 'score')} of {len(scores)} beyond 0..1, the first "
        f"{show(float(scores[beyond[0]]))}: {what}, which keeps their order"
    )


def _number(text: str) -> int | float:
    stripped = text.strip().lstrip("+")
    return int(stripped) if re.fullmatch(r"-?\d+", stripped) else float(stripped)


def _need_json(out: Path) -> None:
    if out.suffix.lower() != ".json":
        raise OptionError(
            f"{out}: a repaired file of COCO's is written as .json", fix=f"name the output {out.stem}.json"
        )
