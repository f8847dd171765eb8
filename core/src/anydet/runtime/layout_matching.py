"""Does a model fit a layout, and which presets would fit it? The answers that make errors useful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anydet.errors import OptionError
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts import DECLARED, LAYOUTS, layout_named
from anydet.runtime.layouts.candidates import Decoder
from anydet.runtime.layouts.declared import Pixels
from anydet.runtime.layouts.shapes import Signature, describe
from anydet.runtime.metadata import named_presets, stated_presets, stated_size
from anydet.runtime.model import Model, Reading
from anydet.runtime.options import missing_options
from anydet.runtime.presets import PRESETS
from anydet.types import Size


def require_options(options: Mapping[str, Any], model: Model) -> None:
    """Raise ``OptionError`` where neither a preset nor single options say how to use the model."""
    missing = missing_options(options, model.inputs.size_wh)
    if not missing or model.description is not None:
        return
    fitting = _fitting_presets(model)
    said, expected = _presets_that_fit(fitting)
    raise OptionError(
        f"{model.describe()}; the shapes alone do not say how images are prepared for it. {said}",
        details=expected,
        fix=f"add --option preset={fitting[0] if len(fitting) == 1 else 'NAME'}, "
        f"or set all of these too: {', '.join(missing)}",
    )


def with_stated_preset(options: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The options, with the preset that the metadata, names or outputs indicate where none is given.

    Single options that together replace a preset are left as they are, and so are those for a file that
    describes itself.
    """
    if model.description is not None or not missing_options(options, model.inputs.size_wh):
        return dict(options)
    named = named_presets((t.name for t in model.outputs), wants_sizes=model.inputs.sizes is not None)
    stated = (*stated_presets(model.metadata), *named)
    fitting = [name for name in _fitting_presets(model, stated_size(model.metadata)) if name in stated]
    return {**options, "preset": fitting[0]} if fitting else dict(options)


def fit_reading(
    model: Model, readings: Sequence[Reading], layout: str, input_wh: Size, *, named_by: str
) -> Reading:
    """The way to read the model's outputs that the layout fits, settled; ``ModelError`` where none does.

    Args:
        model: whose ``reading`` is set.
        readings: what a run gave.
        layout: name that ``layout_named`` knows.
        input_wh: input size in pixels.
        named_by: the option that names the layout, for the message ("preset=yolox").
    """
    fitting = [r for r in readings if layout_named(layout).bind(r.signature, input_wh)]
    if not fitting:
        raise _misfit(model, [r.signature for r in readings], layout, input_wh, named_by=named_by)
    model.reading = fitting[0]
    return fitting[0]


def bind_layout(
    model: Model, outputs: Signature, layout: str, input_wh: Size, *, named_by: str
) -> Decoder | Pixels:
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
    problem = (
        f"{named_by} does not fit: layout {layout} expects {layout_named(layout).expects} for an input of "
        f"{input_wh[0]}x{input_wh[1]}; {model.describe()}, and gives an image "
        f"{', '.join(map(describe, found[-1].shapes))}"
    )
    if layout in DECLARED:
        return ModelError(problem, fix="export the model again with anydet's own export")
    fitting = [name for name, r in PRESETS.items() if _fits(r.layout, found, input_wh)]
    said, expected = _presets_that_fit(fitting)
    return ModelError(
        f"{problem}. {said}",
        details=expected,
        fix=f"use --option preset={fitting[0] if len(fitting) == 1 else 'NAME'}",
    )


def _fits(layout: str, found: Sequence[Signature], input_wh: Size) -> bool:
    return any(layout_named(layout).bind(outputs, input_wh) for outputs in found)


def _fitting_presets(model: Model, stated_wh: Size | None = None) -> list[str]:
    """Presets whose layout fits what the model gives at its own, the stated or the preset's size."""
    found: dict[Size, list[Signature]] = {}
    names = []
    for name, preset in PRESETS.items():
        usual = stated_wh or preset.preprocess.size_wh
        size_wh = (model.inputs.size_wh[0] or usual[0], model.inputs.size_wh[1] or usual[1])
        if size_wh not in found:
            found[size_wh] = _probe(model, size_wh)
        if _fits(preset.layout, found[size_wh], size_wh):
            names.append(name)
    return names


def _probe(model: Model, size_wh: Size) -> list[Signature]:
    try:
        return [reading.signature for reading in model.readings(size_wh, 1)]
    except ModelError:  # a size that the model does not take fits nothing
        return []


def _presets_that_fit(names: list[str]) -> tuple[str, list[str]]:
    """The one, or all that may be meant, and a line of each with what it expects."""
    if len(names) == 1:
        return f"Presets that fit: {names[0]}", []
    title = f"Presets that fit: {', '.join(names)}" if names else "None of the presets fits; they expect"
    return title, list(map(_expected, names or PRESETS))


def _expected(name: str) -> str:
    preset = PRESETS[name]
    labels = f"; labels from {preset.first_label}" if preset.first_label else ""
    return f"  {name}: {LAYOUTS[preset.layout].expects}; images {preset.images}{labels}"
