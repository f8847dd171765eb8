"""Does a model fit a layout, and which presets would fit it? The answers that make errors useful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anydet.errors import OptionError
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts import DECLARED, Bound, file_named, layout_named
from anydet.runtime.layouts.candidates import NO_CLASSES, UNDECODED, implausible
from anydet.runtime.layouts.classify import ImageClasses
from anydet.runtime.layouts.declared import Pixels
from anydet.runtime.layouts.shapes import Signature, describe
from anydet.runtime.metadata import named_presets, stated_presets, stated_size
from anydet.runtime.model import Model, Reading
from anydet.runtime.options import missing_options
from anydet.runtime.presets import Preset, known_presets
from anydet.text import LINES, counted
from anydet.types import Size

_DECLARE = "describe the outputs in a layout file, --option layout=FILE.yaml: docs/how-to/declare-a-layout.md"
_FIND_REGIONS = (
    "write an adapter that finds the regions of the map, by anydet.geometry.objects.find_objects for one: "
    "docs/tutorial/write-an-adapter.md"
)


@dataclass(frozen=True, slots=True)
class Fitting:
    """Presets whose layouts have the shapes of a model's outputs.

    Attributes:
        names: those that the values may be of, too.
        excluded: the others, each with what its values are.
        pixels: what the output looks like where it is a map of the input's pixels, which has no boxes.
    """

    names: tuple[str, ...]
    excluded: Mapping[str, str]
    pixels: str = ""


def require_options(options: Mapping[str, Any], model: Model) -> None:
    """Raise ``OptionError`` where neither a preset nor single options say how to use the model."""
    missing = missing_options(options, model.inputs.size_wh)
    if not missing or model.description is not None:
        return
    if "layout" in options and file_named(options["layout"]) is not None:
        raise OptionError(
            f"layout={options['layout']} does not say how images are prepared for {model.describe()}",
            fix=f"add images: to the file, or set all of these: {', '.join(missing)}",
        )
    fitting = _fitting_presets(model)
    said, expected, fix = _presets_that_fit(fitting, model)
    if fitting.names:
        fix = fix.replace("use ", "add ", 1) + f", or set all of these too: {', '.join(missing)}"
    raise OptionError(
        f"{model.describe()}; the shapes alone do not say how images are prepared for it. {said}",
        details=expected,
        fix=fix,
    )


def with_stated_preset(options: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The options, with the preset that the metadata, names or outputs indicate where none is given.

    Single options that together replace a preset are left as they are, and so are those for a file that
    describes itself.
    """
    if model.description is not None or not missing_options(options, model.inputs.size_wh):
        return dict(options)
    named = named_presets(
        ((t.name, t.is_integer) for t in model.outputs), wants_sizes=model.inputs.sizes is not None
    )
    stated = (*stated_presets(model.metadata), *named)
    fitting = _fitting_presets(model, stated_size(model.metadata), stated)
    # What the file states counts more than a look at values: those that are broken are refused by image.
    chosen = [name for name in (*fitting.names, *fitting.excluded) if name in stated]
    if not chosen:
        presets = known_presets()
        chosen = [name for name in fitting.names if presets[name].certain]
        chosen = chosen if len(chosen) == 1 else []
    return {**options, "preset": chosen[0]} if chosen else dict(options)


def fit_reading(
    model: Model, readings: Sequence[Reading], preset: Preset, input_wh: Size, *, named_by: str
) -> str:
    """Settle how the model's outputs are read, and give the layout that fits them.

    It is one of the preset's alternatives where the values are not of its own layout and are of that one.

    Args:
        model: whose ``reading`` is set.
        readings: what a run gave.
        preset: layout and its alternatives.
        input_wh: input size in pixels.
        named_by: the option that names the layout, for the message ("preset=yolox").

    Raises:
        ModelError: the layout does not fit, its boxes were not decoded, or its labels are of no classes.
    """
    fitting = [r for r in readings if layout_named(preset.layout).bind(r.signature, input_wh)]
    if not fitting:
        raise _misfit(model, [r.signature for r in readings], preset.layout, input_wh, named_by=named_by)
    model.reading = fitting[0]
    against = _against(preset.layout, fitting[0], input_wh)
    if not against:
        return preset.layout
    for other in preset.alternatives:
        reading = next((r for r in readings if layout_named(other).bind(r.signature, input_wh)), None)
        if reading is not None and not _against(other, reading, input_wh):
            model.reading = reading
            return other
    if UNDECODED in against:
        raise ModelError(f"{named_by} does not fit: {against}; {model.describe()}", fix=_DECLARE)
    if NO_CLASSES in against:
        said, expected, fix = _presets_that_fit(_fitting_presets(model, input_wh), model)
        raise ModelError(
            f"{named_by} does not fit: {against}; {model.describe()}. {said}", details=expected, fix=fix
        )
    return preset.layout


def bind_layout(model: Model, outputs: Signature, layout: str, input_wh: Size, *, named_by: str) -> Bound:
    """The decoder of a layout for one image's outputs; ``ModelError`` where it does not fit them.

    Args:
        model: for the message.
        outputs: what a run gave for one image.
        layout: name that ``layout_named`` knows.
        input_wh: input size in pixels.
        named_by: the option that names the layout, for the message ("preset=yolox").
    """
    decoder = layout_named(layout).bind(outputs, input_wh)
    if decoder is None:
        raise _misfit(model, [outputs], layout, input_wh, named_by=named_by)
    return decoder


def _misfit(
    model: Model, found: Sequence[Signature], layout: str, input_wh: Size, *, named_by: str
) -> ModelError:
    shapes = ", ".join(map(describe, found[-1].shapes))
    problem = (
        f"{named_by} does not fit: layout {layout} expects {layout_named(layout).expects} for an input of "
        f"{input_wh[0]}x{input_wh[1]}; {model.describe()}, and gives an image {shapes}"
    )
    if layout in DECLARED:
        return ModelError(problem, fix="export the model again with anydet's own export")
    said, expected, fix = _presets_that_fit(_fitting_presets(model, input_wh), model)
    return ModelError(f"{problem}. {said}", details=expected, fix=fix)


def _against(layout: str, reading: Reading, input_wh: Size) -> str:
    """Why the values are not of a layout that has their shapes."""
    decoder = layout_named(layout).bind(reading.signature, input_wh)
    if decoder is None or isinstance(decoder, Pixels):
        return ""
    if isinstance(decoder, ImageClasses):
        return _against_classes(decoder, reading)
    return implausible(decoder, reading.outputs, input_wh)


def _against_classes(decoder: ImageClasses, reading: Reading) -> str:
    try:
        decoder.image_scores(reading.outputs)
    except ModelError as exc:
        return exc.problem
    return ""


def _fitting_presets(model: Model, stated_wh: Size | None = None, stated: Sequence[str] = ()) -> Fitting:
    """Presets whose layout fits what the model gives at its own, the stated or the preset's size.

    Rare ones are among them where the file states them, or no other fits.
    """
    found: dict[Size, Sequence[Reading]] = {}
    names, excluded = [], {}
    for name, preset in known_presets().items():
        usual = stated_wh or preset.preprocess.size_wh
        size_wh = (model.inputs.size_wh[0] or usual[0], model.inputs.size_wh[1] or usual[1])
        if size_wh not in found:
            found[size_wh] = _probe(model, size_wh)
        against = [
            _against(layout, reading, size_wh)
            for layout in (preset.layout, *preset.alternatives)
            for reading in found[size_wh]
            if layout_named(layout).bind(reading.signature, size_wh)
        ]
        if "" in against:
            names.append(name)
        elif against:
            excluded[name] = against[0]
    likely = [name for name in names if name in stated or not known_presets()[name].rare]
    maps = (_pixel_map(reading, size) for size, readings in found.items() for reading in readings)
    return Fitting(tuple(likely or names), excluded, next(filter(None, maps), ""))


def _pixel_map(reading: Reading, input_wh: Size) -> str:
    """What one output of (C, H, W), or of a half or a quarter of it, looks like; empty for all others."""
    shapes = reading.signature.shapes
    if len(shapes) != 1 or len(shapes[0]) != 3:
        return ""
    count, *map_hw = shapes[0]
    sizes = [[input_wh[1] // part, input_wh[0] // part] for part in (1, 2, 4)]
    if map_hw not in sizes:
        return ""
    return (
        f"{describe(shapes[0])} is a map of the input's pixels with {counted(count, 'value')} each, as text "
        "detection and segmentation have it: no boxes"
    )


def _probe(model: Model, size_wh: Size) -> Sequence[Reading]:
    try:
        return model.readings(size_wh, 1)
    except ModelError:  # a size that the model does not take fits nothing
        return []


def _presets_that_fit(fitting: Fitting, model: Model) -> tuple[str, list[str], str]:
    """The one, or all that may be meant, a line of each with what it expects, and what to do."""
    names = fitting.names
    presets = known_presets()
    excluded = [
        f"  not {name}: {why}" for name, why in fitting.excluded.items() if not (names and presets[name].rare)
    ]
    if len(names) == 1:
        return f"Presets that fit: {names[0]}", excluded, f"use --option preset={names[0]}"
    if names:
        lines = [*map(_expected, names), *excluded]
        return f"Presets that fit: {', '.join(names)}", lines, "use --option preset=NAME"
    outputs = "; ".join(map(str, model.outputs))
    lines = [*excluded, *_all_expected(LINES - len(excluded) - 1), f"  and this model has: {outputs}"]
    if fitting.pixels:
        return f"{fitting.pixels}. None of the presets fits; they expect", lines, _FIND_REGIONS
    return "None of the presets fits; they expect", lines, _DECLARE


def _all_expected(room: int) -> list[str]:
    """What presets expect, those with the same outputs in one line; of those behind the last line the names.

    Args:
        room: lines.
    """
    alike: dict[str, list[str]] = {}
    for name, preset in known_presets().items():
        alike.setdefault(layout_named(preset.layout).expects, []).append(name)
    lines = [f"  {', '.join(names)}: {expects}" for expects, names in alike.items()]
    if len(lines) <= room:
        return lines
    others = [name for names in list(alike.values())[room - 1 :] for name in names]
    return [*lines[: room - 1], f"  and others: {', '.join(others)}"]


def _expected(name: str) -> str:
    preset = known_presets()[name]
    labels = f"; labels from {preset.first_label}" if preset.first_label else ""
    return f"  {name}: {layout_named(preset.layout).expects}; images {preset.images}{labels}"
