"""The package yolozu's predictions of instances: masks as PNG files beside a JSON file, without boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.reading.foreign.assembling import Kind
from anydet.contract.reading.foreign.given import Found, Given, finite, whole_numbers
from anydet.geometry.masks import bounds_xywh, encode
from anydet.types import RLE

INSTANCES = Kind("xywh_abs", labels="class")


def read_instances(given: Given) -> Iterator[Found]:
    """The instances of each image; a mask is a file below the folder of the JSON file, 0 where nothing is."""
    folder = given.path.parent
    for image, where, instances in _entries(given):
        masks, kept, places = [], [], []
        for i, one in enumerate(instances):
            place = f"{where}.instances[{i}]"
            problem = _problem(one)
            mask = problem or _mask(folder, one["mask"])
            if isinstance(mask, str):
                given.blame(place, mask)
                continue
            masks.append(mask)
            # yolozu takes 1 where there is no score; so that it is said, it is noted.
            kept.append((float(one.get("score", 1.0)), int(one["class_id"])))
            places.append(place)
            if "score" not in one:
                note = f"{given.path}: instances without score count with score 1, as in yolozu"
                given.notes += [note] if note not in given.notes else []
        yield Found(
            image,
            where,
            np.array([bounds_xywh(mask) for mask in masks], np.float64).reshape(-1, 4),
            np.array([score for score, _ in kept], np.float64),
            [class_id for _, class_id in kept],
            rows=places,
            masks=masks,
        )


def _entries(given: Given) -> Iterator[tuple[str, str, list[Any]]]:
    value = given.value
    if isinstance(value, Mapping) and isinstance(value.get("predictions"), list | Mapping):
        value = value["predictions"]
    if isinstance(value, Mapping):
        items: list[tuple[Any, str, Any]] = [
            (str(image), str(image), one.get("instances") if isinstance(one, Mapping) else one)
            for image, one in value.items()
        ]
    else:
        items = [
            (one.get("image"), f"predictions[{i}]", one.get("instances"))
            if isinstance(one, Mapping)
            else (None, f"predictions[{i}]", None)
            for i, one in enumerate(value)
        ]
    for image, where, instances in items:
        if not isinstance(image, str) or not image or not isinstance(instances or [], list):
            given.blame(where, "an entry has image, a file name, and instances, a list")
        else:
            yield image, where, instances or []


def _problem(one: Any) -> str:
    if not isinstance(one, Mapping) or not isinstance(one.get("mask"), str) or not one["mask"]:
        return "an instance is an object with class_id, score and mask, the path of a PNG file"
    if whole_numbers([one.get("class_id")]) is None:
        return "class_id is not a whole number from 0"
    return "" if finite(one.get("score", 1.0)) is not None else "score is not a finite number"


def _mask(folder: Path, name: str) -> RLE | str:
    """The mask of a file, or why there is none."""
    from PIL import Image

    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"mask: {name} is outside of the folder of the file"
    try:
        with Image.open(path, formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except FileNotFoundError:
        return f"mask: {path}: no such file"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        return f"mask: {path}: cannot be read as an image: {exc}"
    if pixels.ndim == 3:
        pixels = pixels[..., 0]
    inside = pixels != 0
    return encode(inside) if inside.any() else f"mask: {path}: nothing is inside"
