"""COCO results, and annotations with scores, of which what can be kept is written again."""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.checking.nothing_left import nothing_left
from anydet.contract.checking.score_range import change_of, changed, words
from anydet.contract.encode import encode_json
from anydet.contract.locations import path_text, show
from anydet.contract.reading.coco_entries import Result, keypoints_problem, plain_ids, result_problem
from anydet.contract.reading.coco_results import sizes_by_id
from anydet.contract.reading.foreign.coco_document import listed_images
from anydet.contract.reading.foreign.given import FileName, Given, Images
from anydet.contract.reading.json_source import with_image_id
from anydet.contract.reading.result_ids import Categories, class_positions, coco_ids, names_files
from anydet.contract.reading.source import Source
from anydet.contract.segmentations import mask_of
from anydet.contract.violations import parse, unspeakable
from anydet.errors import AnydetWarning, OptionError
from anydet.geometry.boxes import BOX_FORMATS, to_xywh_px
from anydet.outputs import new_file
from anydet.types import GroundTruthColumns, Size

_NUMBER = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*")
_KNOWN = frozenset(Result.__struct_fields__)


class ResultFixer:
    """Repairs results one by one and notes each change.

    Attributes:
        changes: a line a change.
    """

    def __init__(
        self,
        images: Container[object] | None,
        categories: Mapping[Any, int] | None,
        sizes_wh: Mapping[Any, Size],
        box_format: str = "xywh_abs",
    ) -> None:
        self.changes: list[str] = []
        self._images, self._categories = images, categories
        self._by_text = {str(one): one for one in categories or ()}
        self._joined: set[Any] | None = None
        self._sizes, self._box_format = sizes_wh, box_format

    def join_categories(self, path: Path, values: Sequence[Any], *, own_ids: bool) -> None:
        """Find out which category ids can be joined, as reading does.

        Raises ``ContractError`` where they may be counted in another way: what is left would be of wrong
        classes.
        """
        if self._categories is None:
            return
        given = [value.get("category_id") for value in values if isinstance(value, Mapping)]
        ids = [self._category(one) for one in given]
        known = [one for one in ids if isinstance(one, int | float | str) and not isinstance(one, bool)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnydetWarning)  # reading what is written says it
            at, _ = class_positions(path, plain_ids(known), self._categories, own_ids=own_ids)
        self._joined = {one for one, place in zip(known, at.tolist(), strict=True) if place >= 0}

    def _category(self, value: Any) -> Any:
        """A category id as the data set has it, or as a number where it looks like one."""
        own = self._by_text.get(str(value)) if isinstance(value, int | str) else None
        if own is not None:
            return own
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = _number(value)
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def fixed(self, where: str, value: Any) -> dict[str, Any] | None:
        """The result, valid, or ``None`` where it cannot be kept."""
        if not isinstance(value, Mapping):
            self._drop(where, f"{show(value)} where an object belongs")
            return None
        result = with_image_id(dict(value))
        if len(result) > len(value):
            self._note(where, f"image_id is {show(result.get('image_id'))}, as its image is named")
        self._numbers(where, result)
        self._optional(where, result)
        problem = (
            _not_finite(result)
            or result_problem(result, self._sizes)
            or self._boxed(result)
            or self._misfit(result)
        )
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
        own = self._category(category)
        if type(own) is not type(category) or own != category:
            self._note(f"{where}.category_id", f"{show(category)} written as {show(own)}")
            result["category_id"] = own
        if isinstance(result.get("score"), str) and _NUMBER.fullmatch(result["score"]):
            self._note(f"{where}.score", f"{show(result['score'])} read as a number")
            result["score"] = _number(result["score"])
        image = result.get("image_id")
        if isinstance(image, float) and image.is_integer():
            self._note(f"{where}.image_id", f"{show(image)} written as {int(image)}")
            result["image_id"] = int(image)
        for name in ("bbox", "keypoints"):
            value = result.get(name)
            if isinstance(value, list) and any(isinstance(v, str) for v in value):
                numbers = [_number(v) if isinstance(v, str) and _NUMBER.fullmatch(v) else v for v in value]
                self._note(f"{where}.{name}", f"{show(value)} read as numbers")
                result[name] = numbers

    def _optional(self, where: str, result: dict[str, Any]) -> None:
        """Fields that another one can stand in for: a mask beside a box, and what is empty."""
        keypoints = result.get("keypoints")
        problem = keypoints_problem(keypoints) if keypoints else ""
        if problem and (result.get("bbox") or result.get("segmentation")):
            del result["keypoints"]
            self._note(f"{where}.keypoints", f"left out: {problem}")
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

    def _boxed(self, result: dict[str, Any]) -> str:
        """Bring a box into COCO's format; why that cannot be, or an empty string."""
        if self._box_format == "xywh_abs" or "bbox" not in result:
            return ""
        size = self._sizes.get(result["image_id"])
        if size is None and self._box_format == "cxcywh_norm":
            return "bbox: the size of its image is not known"
        box = np.array([result["bbox"]], np.float64)
        result["bbox"] = to_xywh_px(box, self._box_format, np.array([size or (1, 1)]))[0].tolist()
        return ""

    def _misfit(self, result: Mapping[str, Any]) -> str:
        """Why a result that can be read is none of this data set."""
        # Not whether there are such keys: SAHI writes "segmentation": [] where there is no mask.
        if not any(result.get(name) for name in ("bbox", "segmentation", "keypoints")):
            return "it has no bbox, segmentation or keypoints"
        if min(result.get("bbox", (0, 0, 0, 0))[2:]) < 0:
            return f"bbox: {show(result['bbox'])} has a negative size"
        if len(result.get("keypoints", ())) % 3:
            return f"keypoints: {len(result['keypoints'])} numbers, where x, y and score of each belong"
        if self._images is not None and result["image_id"] not in self._images:
            return f"image_id: {result['image_id']} is not in the data set"
        if self._joined is not None and result["category_id"] not in self._joined:
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


def repair_results(
    source: Source,
    out: Path,
    truth: GroundTruthColumns,
    class_map: str | None = None,
    box_format: str | None = None,
) -> list[str]:
    """Write the results that can be kept, as results of the same data set, and say what was changed.

    Scores beyond 0..1 are clamped; where most are beyond, all are divided by 100 or get a sigmoid
    (``score_range``).

    Raises ``OptionError`` for an output that is not ``.json`` or no box format, and ``ContractError`` where
    no result can be kept.
    """
    _need_json(out)
    used = box_format or "xywh_abs"
    if used not in BOX_FORMATS:
        raise OptionError(f"unknown box format {used!r}", fix=f"use one of {', '.join(BOX_FORMATS)}")
    images, categories = coco_ids(truth, class_map)
    fixer = ResultFixer(_Images(truth), categories, sizes_by_id(truth), used)
    parsed = [(place.at(), *parse(bytes(raw))) for place, raw in source.entries()]
    values = [value for _, value, _ in parsed]
    # Ids of images that the data set does not have are left out: one that it has says whose they are.
    known = any(isinstance(v, Mapping) and _hashable(v.get("image_id")) in images for v in values)
    fixer.join_categories(source.path, values, own_ids=known and not names_files(images))
    kept, places = [], []
    for where, value, problems in parsed:
        if value is None:
            fixer.changes.append(f"{where}: dropped: {problems[0][1] if problems else 'null'}")
            continue
        fixed = fixer.fixed(where, value)
        if fixed is not None:
            kept.append(fixed)
            places.append(where)
    if parsed and not kept:
        raise nothing_left(source.path, [f"{source.path}: {line}" for line in fixer.changes])
    if used != "xywh_abs":
        fixer.changes.append(f"boxes written as xywh_abs, read as {used}, the format given")
    fixer.changes += _in_range(kept, places)
    if class_map is not None:
        own = truth.classes.own_ids
        for result in kept:
            result["category_id"] = own[categories[result["category_id"]]]
        fixer.changes.append(f"category ids written as those of the data set, by the class map {class_map}")
    with new_file(out) as file:
        file.write(encode_json(kept, where=str(out)) + b"\n")
    return fixer.changes


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else None


def repair_document(given: Given, out: Path) -> list[str]:
    """Write a COCO document with those of its annotations that can be kept, and say what was changed."""
    _need_json(out)
    value: Mapping[str, Any] = given.value
    listing = listed_images(given) if value.get("images") else None
    problems = {} if listing is None else listing.problems
    if problems:
        rows = value["images"] if isinstance(value["images"], list) else []
        value = {**value, "images": [one for i, one in enumerate(rows) if i not in problems]}
    images = {one["id"]: one for one in _with_ids(value.get("images"))}
    listed = _with_ids(value.get("categories"))
    categories = Categories(
        {one["id"]: i for i, one in enumerate(listed)}, [str(one.get("name", one["id"])) for one in listed]
    )
    numbered = {image: i for i, image in enumerate(images)}
    sizes = {numbered[image]: (one.get("width", 0), one.get("height", 0)) for image, one in images.items()}
    known = {i: size for i, size in sizes.items() if all(isinstance(v, int) and v > 0 for v in size)}
    fixer = ResultFixer(sizes if images else None, categories or None, known if images else {})
    fixer.changes += [f"images[{i}]: dropped: {problem}" for i, problem in problems.items()]
    fixer.join_categories(given.path, value["annotations"], own_ids=True)
    kept, places = [], []
    for i, annotation in enumerate(value["annotations"]):
        where = f"annotations[{i}]"
        if not isinstance(annotation, Mapping):
            fixer.changes.append(f"{where}: dropped: {show(annotation)} where an object belongs")
            continue
        image = annotation.get("image_id")
        if images and isinstance(image, str | int | float) and image not in numbered:
            fixer.changes.append(f"{where}: dropped: image_id: {show(image)} is none of its images")
            continue
        # Ids of a document are names: they are put back as they were.
        own = numbered[image] if images and isinstance(image, str | int | float) else image
        fixed = fixer.fixed(where, {**annotation, "image_id": own})
        if fixed is not None:
            kept.append({**fixed, "image_id": image})
            places.append(where)
    if value["annotations"] and not kept:
        raise nothing_left(given.path, [f"{given.path}: {line}" for line in fixer.changes])
    fixer.changes += _in_range(kept, places)
    with new_file(out) as file:
        file.write(encode_json({**value, "annotations": kept}, where=str(out)) + b"\n")
    return fixer.changes


def _with_ids(rows: Any) -> list[Mapping[str, Any]]:
    listed = rows if isinstance(rows, list) else []
    return [
        one for one in listed if isinstance(one, Mapping) and isinstance(one.get("id"), str | int | float)
    ]


def _in_range(results: Sequence[dict[str, Any]], places: Sequence[str]) -> list[str]:
    """Bring scores beyond 0..1 into it; a line on what was done."""
    scores = np.array([result["score"] for result in results], np.float64)
    change = change_of(scores)
    if not change:
        return []
    for result, score, before in zip(results, changed(scores, change).tolist(), scores.tolist(), strict=True):
        if score != before:
            result["score"] = score
    first = places[int(np.argmax((scores < 0) | (scores > 1)))]
    return [words(scores, change, f"{first}.score")]


def _number(text: str) -> int | float:
    stripped = text.strip().lstrip("+")
    return int(stripped) if re.fullmatch(r"-?\d+", stripped) else float(stripped)


def _need_json(out: Path) -> None:
    if out.suffix.lower() != ".json":
        raise OptionError(
            f"{out}: a repaired file of COCO's is written as .json", fix=f"name the output {out.stem}.json"
        )
