"""Which tool a JSON document is from, by its keys and the first things in it; nothing else is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ARRAYS = ({"boxes", "scores", "labels"}, {"bboxes", "scores", "labels"})
_BOX_SIDES = ({"xmin", "ymin", "xmax", "ymax"}, {"x1", "y1", "x2", "y2"})


def recognized(value: Any) -> str | None:
    """The format of a decoded document, ``None`` where it is none that is known here."""
    if isinstance(value, Mapping):
        return _of_object(value)
    if isinstance(value, list | tuple):
        first = next((one for one in value if one), None)
        if isinstance(first, list | tuple):
            return "transformers" if _is_box(_first(first)) else None
        return _of_item(first)
    return None


def _of_object(value: Mapping[Any, Any]) -> str | None:
    keys = set(map(str, value))
    if "annotations" in keys and _is_document(value):
        return "coco-document"
    if "predictions" in keys:
        return _wrapped(value)
    own = _of_arrays(value)
    if own:
        return own
    first = next((one for one in value.values() if one), None)
    if isinstance(first, list | tuple):
        item = _first(first)
        if _is_box(item):
            return "transformers"
        return "yolozu-masks" if _is_instance(item) else None
    return _of_item(first, keyed=True)


def _wrapped(value: Mapping[str, Any]) -> str | None:
    items = value["predictions"]
    if isinstance(items, Mapping):
        # What a workflow of Roboflow gives has one more level around its predictions.
        return _wrapped(items) if "predictions" in items else None
    first = _first(items)
    image = value.get("image")
    if _is_roboflow(first) or (
        not items and isinstance(image, Mapping) and {"width", "height"} <= image.keys()
    ):
        return "roboflow"
    if isinstance(first, Mapping):
        if "instances" in first and "detections" not in first:
            return "yolozu-masks"
        return _of_arrays(first)
    return None


def _of_item(item: Any, *, keyed: bool = False) -> str | None:
    """The format of which this is one image's result (``keyed``: under its name), or one detection."""
    if not isinstance(item, Mapping):
        return None
    if "predictions" in item:
        return _wrapped(item)
    if "instances" in item and "detections" not in item and ("image" in item or keyed):
        return "yolozu-masks"
    if _is_box(item):
        return "transformers"
    return _of_arrays(item)


def _of_arrays(item: Mapping[Any, Any]) -> str | None:
    if item.keys() >= _ARRAYS[0]:
        return "torchvision"
    return "mmdetection" if item.keys() >= _ARRAYS[1] else None


def _is_document(value: Mapping[str, Any]) -> bool:
    annotations = value["annotations"]
    if not isinstance(annotations, list):
        return False
    first = _first(annotations)
    images = _first(value.get("images"))
    if first is None:
        # Without annotations, only images say what it is: an entry of the contract has no ids.
        return "images" in value and (images is None or (isinstance(images, Mapping) and "id" in images))
    return isinstance(first, Mapping) and "image_id" in first


def _is_box(item: Any) -> bool:
    """A detection with a box by name: a pipeline of transformers, and ``to_json`` of Ultralytics."""
    if not isinstance(item, Mapping) or not {"label", "name"} & item.keys():
        return False
    return isinstance(item.get("box"), Mapping) and any(s <= item["box"].keys() for s in _BOX_SIDES)


def _is_roboflow(item: Any) -> bool:
    return isinstance(item, Mapping) and {"x", "y", "width", "height", "confidence"} <= item.keys()


def _is_instance(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("mask"), str) and "bbox" not in item


def _first(items: Any) -> Any:
    return next((one for one in items if one), None) if isinstance(items, list | tuple) else None
