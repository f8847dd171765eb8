"""Layout files: families as YAML, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from anydet.errors import OptionError, did_you_mean
from anydet.inputs import read_text, unique_keys
from anydet.plugins.options import nearest
from anydet.plugins.preprocess import GRAY, Preprocess
from anydet.runtime.layouts.columns import PLACES, Axes, Slice, split_columns
from anydet.runtime.layouts.composed import Boxes, Declaration, Landmarks, Scores
from anydet.runtime.layouts.forms import FORMS, BoxForm
from anydet.runtime.layouts.grids import Anchored
from anydet.text import quoted, shortened

SUFFIXES = (".yaml", ".yml")
_PAGE = "docs/how-to/declare-a-layout.md"
_FIX = f"correct the file; {_PAGE} has its keys and three examples"


@dataclass(frozen=True, slots=True)
class LayoutFile:
    """A family as its file states it.

    Attributes:
        declaration: of the outputs.
        summary: in a line.
        preprocess: of images, or ``None`` where a preset or options have to say it.
        nms_iou: IoU above which class-wise NMS drops the lesser box; ``None`` for no NMS.
        names: of the classes, where all models have the same.
        certain: whether outputs of these shapes are of no other family.
        caution: what to check where the family was chosen by its outputs.
    """

    declaration: Declaration
    summary: str = ""
    preprocess: Preprocess | None = None
    nms_iou: float | None = None
    names: tuple[str, ...] = ()
    certain: bool = False
    caution: str = ""


def is_path(name: str) -> bool:
    """Whether a layout is named by the path of its file."""
    return name.lower().endswith(SUFFIXES)


def read_layout(path: str) -> LayoutFile:
    """The layout of a file; ``OptionError`` says what is wrong, where, and what was probably meant."""
    file = Path(path)
    if not file.is_file():
        raise OptionError(
            f"layout={path}: no such file", fix="give a layout file (.yaml), or a layout's name"
        )
    stated = file.stat()
    return _read(path, stated.st_mtime_ns, stated.st_size)


@lru_cache  # layouts are asked for by their names with each image
def _read(path: str, changed_ns: int, size: int) -> LayoutFile:
    return parse_layout(read_text(Path(path), "utf-8"), place=path)


@cache
def packaged_layout(package: str, name: str) -> LayoutFile:
    """The layout of a file in a package; ``OptionError`` as ``read_layout``."""
    try:
        text = (files(package) / name).read_text("utf-8")
    except (OSError, ModuleNotFoundError) as exc:
        raise OptionError(
            f"layout {package}:{name} cannot be read: {exc}", fix="install the package again"
        ) from exc
    return parse_layout(text, place=f"{package}:{name}")


def parse_layout(text: str, *, place: str) -> LayoutFile:
    """The layout of YAML text.

    Args:
        text: of the file.
        place: of the file, for messages.

    Raises:
        OptionError: it is no YAML, has keys or values that no layout has, or contradicts itself.
    """
    try:
        found = yaml.load(text, unique_keys(yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as exc:
        raise OptionError(f"{place} is no YAML: {shortened(str(exc))}", fix=_FIX) from exc
    if error := best_match(_validator().iter_errors(found)):
        raise OptionError(f"{place}: {_said(error)}", fix=_FIX)
    try:
        return _layout(found)
    except ValueError as exc:
        raise OptionError(f"{place}: {exc}", fix=_FIX) from exc


@cache
def _validator() -> Draft202012Validator:
    schema = (files("anydet.runtime.layouts") / "layout.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(schema))


def _said(error: ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path))
    prefix = f"{where}: " if where else ""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known: list[str] = list(error.schema.get("properties", {}))  # type: ignore[union-attr]
        unknown = next(key for key in error.instance if key not in known)
        listed = f"unknown key {quoted(str(unknown))} (known: {', '.join(known)})"
        return f"{prefix}{listed}{did_you_mean(str(unknown), known)}"
    return f"{prefix}{shortened(error.message)}{nearest(error)}"


def _layout(found: Mapping[str, Any]) -> LayoutFile:
    outputs = tuple(_axes(key, one) for key, one in found["outputs"].items())
    grid = _grid(found["grid"]) if "grid" in found else None
    keys = [axes.key for axes in outputs]
    boxes = _boxes(found["boxes"], keys, grid)
    _check_axes(outputs, grid)
    scores = _scores(found["scores"], keys)
    declaration = Declaration(
        outputs,
        scores,
        boxes,
        grid,
        _slice(found["labels"], "labels", keys) if "labels" in found else None,
        _landmarks(found["landmarks"], keys, grid) if "landmarks" in found else None,
    )
    _check_classes(next(axes for axes in outputs if axes.key == scores.classes.key), scores.classes)
    _check_box_columns(next(axes for axes in outputs if axes.key == boxes.columns.key), boxes, grid)
    return LayoutFile(
        declaration,
        found.get("summary", ""),
        _preprocess(found["images"]) if "images" in found else None,
        found.get("nms_iou"),
        tuple(found.get("names", ())),
        found.get("certain", False),
        found.get("caution", ""),
    )


def _axes(key: str, found: Mapping[str, Any]) -> Axes:
    shape = tuple(str(axis).strip() for axis in found["shape"])
    columns = [axis for axis in shape if axis not in PLACES]
    for axis in columns:
        try:
            split_columns(axis)
        except ValueError:
            known = [*PLACES, "C"]
            raise ValueError(
                f"outputs.{key}.shape: {quoted(axis)} is no axis (known: {', '.join(known)}, a number, "
                f"5 + C){did_you_mean(axis, known)}"
            ) from None
    if len(columns) > 1 or len(set(shape)) != len(shape):
        raise ValueError(f"outputs.{key}.shape: {', '.join(shape)} has an axis twice, or two axes of columns")
    return Axes(key, shape, "each" in found, found.get("name", ""), found.get("whole"))


def _check_axes(outputs: tuple[Axes, ...], grid: Anchored | None) -> None:
    for axes in outputs:
        of_grid = [axis for axis in axes.shape if axis in PLACES and axis != "N"]
        if (of_grid or axes.each_stride) and grid is None:
            raise ValueError(f"outputs.{axes.key} is laid out by cells, and there is no grid")
        single = axes.each_stride or (grid is not None and len(grid.strides) == 1)
        if {"height", "width"} & set(of_grid) and not ({"height", "width"} <= set(of_grid) and single):
            raise ValueError(
                f"outputs.{axes.key}: height and width stand together, in an output of one stride"
            )
        if grid is not None and "anchors" in of_grid and len(set(grid.counts)) > 1 and not axes.each_stride:
            raise ValueError(f"outputs.{axes.key}: strides have unequally many anchors; use rows")


def _check_classes(axes: Axes, classes: Slice) -> None:
    """Raise ``ValueError`` where the classes are other columns than the C of the shape."""
    if axes.columns_axis is None:
        return
    stated = axes.shape[axes.columns_axis]
    before, has_classes, _ = split_columns(stated)
    some = 100  # as good as any other C: a slice has C columns of all, or of none
    if not has_classes or (width := classes.width(before + some)) == some:
        return
    number = f"C {'-' if width < some else '+'} {abs(width - some)}" if classes.end is None else str(width)
    right = str(Slice(axes.key, before or None))
    shape = f", or the shape has {classes.first} + C" if classes.first and classes.end is None else ""
    raise ValueError(
        f"scores.classes: {classes} has {number} columns, where outputs.{axes.key}.shape has {stated}: "
        f"write {right}{shape}"
    )


def _check_box_columns(axes: Axes, boxes: Boxes, grid: Anchored | None) -> None:
    """Raise ``ValueError`` where boxes have other columns than their form takes, whatever C is."""
    width = axes.stated_width(boxes.columns)
    anchors = axes.anchors_in_row(grid)
    if width in (None, 4 * boxes.bins * anchors):
        return
    factors = [f" x {boxes.bins} bins" * (boxes.bins > 1), f" x {anchors} anchors" * (anchors > 1)]
    raise ValueError(
        f"boxes.columns: form {boxes.form.name} takes 4{''.join(factors)} columns, "
        f"{boxes.columns} has {width}"
    )


def _grid(found: Mapping[str, Any]) -> Anchored:
    strides, anchors = tuple(found["strides"]), found.get("anchors", 1)
    sizes: tuple[tuple[tuple[float, float], ...], ...] = ()
    if isinstance(anchors, int):
        counts = (anchors,) * len(strides)
    elif isinstance(anchors[0], list):
        sizes = tuple(tuple((float(w), float(h)) for w, h in level) for level in anchors)
        counts = tuple(map(len, sizes))
    else:
        counts = tuple(anchors)
    if len(counts) != len(strides):
        raise ValueError(f"grid.anchors: {len(counts)} entries for {len(strides)} strides")
    return Anchored(
        strides,
        counts,
        sizes,
        found.get("order", "cells"),
        float(found.get("center", 0.0)),
        float(found.get("shift_px", 0.0)),
    )


def _slice(text: str, where: str, keys: list[str]) -> Slice:
    try:
        found = Slice.of(text)
    except ValueError:
        raise ValueError(f"{where}: {quoted(text)} are no columns; write head, head[4] or head[5:]") from None
    if found.key not in keys:
        raise ValueError(
            f"{where}: no output {quoted(found.key)} (known: {', '.join(keys)})"
            + did_you_mean(found.key, keys)
        )
    return found


def _scores(found: Mapping[str, Any], keys: list[str]) -> Scores:
    objectness = found.get("objectness")
    return Scores(
        _slice(found["classes"], "scores.classes", keys),
        None if objectness is None else _slice(objectness, "scores.objectness", keys),
        found.get("activation", "none"),
        found.get("background", "none"),
        found.get("combine") == "geometric-mean",
    )


def _boxes(found: Mapping[str, Any], keys: list[str], grid: Anchored | None) -> Boxes:
    name = found["form"]
    form = FORMS[name]
    if form.placed is not None and grid is None:
        raise ValueError(f"boxes.form: {name} needs a grid")
    if form.anchors and not (grid is not None and grid.anchors_wh):
        raise ValueError(f"boxes.form: {name} needs sizes of anchors in grid.anchors")
    unit = found.get("unit", form.units[0])
    if unit not in form.units:
        raise ValueError(f"boxes.unit: {name} has {' or '.join(form.units)}, not {unit}")
    first, second = found.get("variances", (0.1, 0.2))
    return Boxes(
        _slice(found["columns"], "boxes.columns", keys),
        BoxForm(name, unit, (first, second)),
        found.get("activation", "none") == "none",
        found.get("bins", 1),
    )


def _landmarks(found: Mapping[str, Any], keys: list[str], grid: Anchored | None) -> Landmarks:
    from_cell, unit = found.get("from", "cell") == "cell", found.get("unit", "pixels")
    if (from_cell or unit in ("strides", "anchors")) and grid is None:
        raise ValueError("landmarks: from cell, strides and anchors need a grid")
    if unit == "anchors" and not (grid is not None and grid.anchors_wh):
        raise ValueError("landmarks.unit: anchors need sizes in grid.anchors")
    return Landmarks(
        _slice(found["columns"], "landmarks.columns", keys),
        tuple(found["names"]),
        from_cell,
        unit,
        float(found.get("factor", 1.0)),
        found.get("scores", ""),
    )


def _preprocess(found: Mapping[str, Any]) -> Preprocess:
    width, height = found["size"]
    pad = found.get("pad")
    how = Preprocess(
        found["resize"],
        (width, height),
        size_rounding=found.get("rounding", "nearest"),
        scale_back=found.get("scale_back", "sides"),
        pad_value=GRAY if pad is None else (pad,) * 3,
        channels=found["channels"],
        mean=tuple(found.get("mean", (0.0, 0.0, 0.0))),
        std=tuple(found.get("std", (1.0, 1.0, 1.0))),
    )
    if min(how.std) < 1:
        raise ValueError(f"images.std: {how.std} is for pixels of 0..1; here they are 0..255")
    return how
