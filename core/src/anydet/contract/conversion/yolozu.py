"""Files of the package yolozu (entry schema 1 and 2) as entries of the contract.

What differs there: entries carry their own ``schema_version``; ``image_size`` is that of the model's input
and ``orig_w``, ``orig_h`` that of the image; ``rot6d`` stacks the first two ROWS of the rotation; keypoints
may be a flat list; a class may be a ``category_id``. What the contract does not know goes to ``extra``, under
the key it has in the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anydet.contract.documents import Detection, Entry
from anydet.contract.locations import Place
from anydet.contract.reading.class_map import read_table
from anydet.contract.reading.entries import judge
from anydet.contract.run_lengths import rle_problem
from anydet.contract.violations import findings
from anydet.errors import ContractError, OptionError
from anydet.geometry.rotations import rot6d_rows_to_columns
from anydet.ids import integer
from anydet.inputs import read_json
from anydet.text import quoted
from anydet.types import RLE

ENTRY_VERSIONS = (1, 2)
ONE_BASED = {i + 1: i for i in range(80)}
"""Class ids 1..80 -> 0..79."""
_KEPT = frozenset({"image", "detections", "image_size", "intrinsics", "preprocess"})
_SIDES = ("cx", "cy", "w", "h")
_POINT = ("x", "y", "score", "v")
_NUMBERS = frozenset(Detection.__struct_fields__)


def read_yolozu(
    path: Path, class_map: Mapping[int, int] | None = None
) -> tuple[list[Entry], dict[str, Any] | None]:
    """The entries of a file of yolozu, and its meta as far as the contract knows it.

    Args:
        path: a list, a wrapped object or a map.
        class_map: contiguous class id by the file's ``class_id`` (``category_id`` where it has none).

    Raises:
        ContractError: it is not such a file; ``issues`` has every finding.
    """
    items, meta = _items(path)
    found: list[Entry] = []
    problems: list[str] = []
    for number, item in enumerate(items):
        place = Place("list", number)
        try:
            raw = json.dumps(_entry(item, class_map)).encode()
        except (TypeError, ValueError, KeyError, AttributeError) as exc:
            problems.append(f"{path}: {place.at()}: {exc}")
            continue
        entry, _, wrong = judge(place, raw)
        problems += [f"{path}: {line}" for line in wrong]
        if entry is not None:
            found.append(entry)
    counts = Counter(entry.image for entry in found)
    problems += [f"{path}: two entries for {image}" for image, count in counts.items() if count > 1][:20]
    if problems:
        raise ContractError.of(problems, fix="correct the file, or write it again")
    return found, _meta(meta)


def read_class_map(text: str) -> dict[int, int]:
    """``one-based``, or a ``classes.json`` with ``category_id_to_class_id``.

    Raises:
        OptionError: neither of them.
    """
    if text == "one-based":
        return dict(ONE_BASED)
    fix = "give --class-map one-based for ids 1..80, or the classes.json that yolozu wrote"
    table = {
        integer(category): integer(class_id)
        for category, class_id in read_table(text, ("one-based",)).items()
    }
    if not all(isinstance(one, int) for pair in table.items() for one in pair):
        raise OptionError(f"class map {quoted(text)}: its ids and classes are not whole numbers", fix=fix)
    return table


def _items(path: Path) -> tuple[list[Any], Any]:
    try:
        data = msgspec.json.decode(read_json(path))
    except FileNotFoundError as exc:
        raise ContractError(f"{path}: no such file", fix="give the path of a predictions file") from exc
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ContractError(
            f"{path}: cannot be read as JSON: {exc}", fix="give the predictions file that yolozu wrote"
        ) from exc
    if isinstance(data, list):
        return data, None
    if isinstance(data, dict) and isinstance(data.get("predictions"), list):
        if data.get("schema_version", 1) != 1:
            raise ContractError(
                f"{path}: schema_version {data['schema_version']!r}; only 1 is known",
                fix="write the file again with a yolozu that writes version 1",
            )
        others = {
            key: value for key, value in data.items() if key not in ("schema_version", "predictions", "meta")
        }
        meta = data.get("meta")
        return data["predictions"], {**meta, **others} if isinstance(meta, dict) else others or None
    if isinstance(data, dict) and all(isinstance(value, list) for value in data.values()):
        return [{"image": key, "detections": value} for key, value in data.items()], None
    raise ContractError(
        f"{path}: neither a list, a map of lists, nor an object with predictions",
        fix="give the predictions file that yolozu wrote",
    )


def _entry(item: Any, class_map: Mapping[int, int] | None) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise TypeError("an entry must be an object")
    version = item.get("schema_version", 1)
    if version not in ENTRY_VERSIONS:
        raise ValueError(f"schema_version: {version!r}; known: 1, 2")
    entry: dict[str, Any] = {"image": item.get("image"), "detections": []}
    known = _KEPT | {"schema_version"}
    extra = {key: value for key, value in item.items() if key not in known and value is not None}
    if extra.get("preproc") == item.get("preprocess"):
        extra.pop("preproc", None)  # the same under two names
    size = _size(item)
    if size:
        entry["image_size"] = size
        if (extra.get("orig_w"), extra.get("orig_h")) == (size["width"], size["height"]):
            del extra["orig_w"], extra["orig_h"]
    if size != item.get("image_size") and item.get("image_size") is not None:
        extra["image_size"] = item["image_size"]
    for key, value in (("preprocess", item.get("preprocess")), ("intrinsics", _camera(item))):
        if isinstance(value, dict):
            entry[key] = value
        if item.get(key) is not None and not (isinstance(value, dict) and _says_all(value, item[key])):
            extra[key] = item[key]
    for number, detection in enumerate(item.get("detections") or []):
        try:
            entry["detections"].append(_detection(detection, class_map))
        except (TypeError, ValueError, KeyError) as exc:
            raise ValueError(f"detections[{number}]: {exc}") from exc
    return entry | ({"extra": extra} if extra else {})


def _size(item: Mapping[str, Any]) -> dict[str, int] | None:
    """Of the original image; ``image_size`` only where nothing says that it is the model's input."""
    if item.get("orig_w") and item.get("orig_h"):
        return {"width": item["orig_w"], "height": item["orig_h"]}
    if any(key.startswith("model_input") for key in item):
        return None
    stated = item.get("image_size")
    if isinstance(stated, dict) and stated.keys() == {"width", "height"}:
        return dict(stated)
    if item.get("image_w") and item.get("image_h"):
        return {"width": item["image_w"], "height": item["image_h"]}
    return None


def _camera(item: Mapping[str, Any]) -> dict[str, float] | None:
    """Intrinsics as names, from names or a 3x3 matrix."""
    value = item.get("intrinsics")
    if isinstance(value, dict) and value.keys() == {"fx", "fy", "cx", "cy"}:
        return value
    if (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(r, list) and len(r) == 3 for r in value)
    ):
        return {"fx": value[0][0], "fy": value[1][1], "cx": value[0][2], "cy": value[1][2]}
    return None


def _says_all(camera: Mapping[str, Any], stated: Any) -> bool:
    """Whether nothing of what the file states is missing: a matrix may have a skew."""
    if isinstance(stated, dict):
        return camera == stated
    plain = [[camera["fx"], 0, camera["cx"]], [0, camera["fy"], camera["cy"]], [0, 0, 1]]
    return bool(stated == plain)


def _detection(item: Any, class_map: Mapping[int, int] | None) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise TypeError("a detection must be an object")
    detection = {key: value for key, value in item.items() if key in _NUMBERS and value is not None}
    extra = {key: value for key, value in item.items() if key not in _NUMBERS and value is not None}
    stated = detection.pop("extra", None)
    if isinstance(stated, dict):
        extra = {**stated, **extra}
    elif stated is not None:
        extra["extra"] = stated
    if "class_id" not in detection and class_map is not None and "category_id" in extra:
        detection["class_id"] = extra.pop("category_id")
    if class_map is not None and "class_id" in detection:
        detection["class_id"] = _mapped(detection["class_id"], class_map)
    if "bbox" in detection and isinstance(detection["bbox"], dict):
        _put(detection, extra, "bbox", {side: detection["bbox"][side] for side in _SIDES})
    if "rot6d" in detection:
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = rot6d_rows_to_columns(np.array([detection["rot6d"]], np.float64))[0]
        if np.isfinite(columns).all():
            detection["rot6d"] = columns.tolist()
        else:
            extra["rot6d"] = detection.pop("rot6d")
    if "keypoints" in detection:
        points = detection["keypoints"] = _points(detection["keypoints"])
        known = [{key: point[key] for key in _POINT if point.get(key) is not None} for point in points]
        _put(detection, extra, "keypoints", known)
    if "mask" in detection and not _is_rle(detection["mask"]):
        extra["mask"] = detection.pop("mask")
    return detection | ({"extra": extra} if extra else {})


def _mapped(class_id: Any, class_map: Mapping[int, int]) -> int:
    if class_id not in class_map:
        raise ValueError(f"class_id {class_id!r} is not in the class map ({len(class_map)} ids)")
    return class_map[class_id]


def _put(detection: dict[str, Any], extra: dict[str, Any], key: str, kept: Any) -> None:
    """Keep what the contract knows; where that is not all, the whole goes to ``extra``."""
    if kept != detection[key]:
        extra[key] = detection[key]
    detection[key] = kept


def _points(value: Any) -> list[dict[str, Any]]:
    """Points by name. Flat ones that divide by three are x, y, v, or x, y, score where a v is not 0, 1, 2."""
    if not value or not all(isinstance(v, int | float) for v in value):
        return list(value)
    step = 3 if len(value) % 3 == 0 else 2
    third = "v" if step == 3 and set(value[2::3]) <= {0, 1, 2} else "score"
    points = [
        dict(zip(("x", "y", third), value[i : i + step], strict=False)) for i in range(0, len(value), step)
    ]
    return [point | ({"v": int(point["v"])} if "v" in point else {}) for point in points]


def _is_rle(mask: Any) -> bool:
    if not isinstance(mask, dict) or mask.keys() != {"size", "counts"} or not isinstance(mask["counts"], str):
        return False
    height, width = mask["size"]
    return not rle_problem(RLE((height, width), mask["counts"]))


def _meta(meta: Any) -> dict[str, Any] | None:
    """Blocks that the contract accepts; the others under ``extra.yolozu``. Conventions are now ours."""
    if not isinstance(meta, dict):
        return None
    known: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in meta.items():
        _, wrong = findings(json.dumps({key: value}).encode(), "meta")
        (others if wrong else known)[key] = value
    if others:
        known["extra"] = {**known.get("extra", {}), "yolozu": others}
    return {**known, "conventions": {"bbox_format": "cxcywh_norm", "rot6d": "columns"}}
