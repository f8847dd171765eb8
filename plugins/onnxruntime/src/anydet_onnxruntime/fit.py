"""Does a model fit a layout, and which presets would fit it? The answers that make errors useful."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anydet.errors import OptionError
from anydet.types import Size
from anydet_onnxruntime.errors import ModelError
from anydet_onnxruntime.layouts import LAYOUTS
from anydet_onnxruntime.layouts.candidates import Decoder
from anydet_onnxruntime.layouts.shapes import Shapes, describe
from anydet_onnxruntime.model import Model
from anydet_onnxruntime.options import missing_options
from anydet_onnxruntime.presets import PRESETS
from anydet_onnxruntime.stated import stated_presets, stated_size


def require_options(options: Mapping[str, Any], model: Model) -> None:
    """Raise ``OptionError`` where neither a preset nor single options say how to use the model."""
    missing = missing_options(options, model.size_wh)
    if not missing:
        return
    fitting = _fitting_presets(model)
    raise OptionError(
        f"{model.describe()}; the shapes alone do not say how images are prepared for it. "
        f"{_presets_that_fit(fitting)}",
        fix=f"add --option preset={fitting[0] if len(fitting) == 1 else 'NAME'}, "
        f"or set all of these too: {', '.join(missing)}",
    )


def with_stated_preset(options: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The options, with the preset that the file's own metadata and outputs say where no preset is given.

    Single options that together replace a preset are left as they are.
    """
    if options.get("preset") is not None or not missing_options(options, model.size_wh):
        return dict(options)
    stated = stated_presets(model.metadata)
    fitting = [name for name in _fitting_presets(model, stated_size(model.metadata)) if name in stated]
    return {**options, "preset": fitting[0]} if fitting else dict(options)


def bind_layout(model: Model, shapes: Shapes, layout: str, input_wh: Size, *, asked: str) -> Decoder:
    """The decoder of a layout for outputs of these shapes; ``ModelError`` where it does not fit them.

    Args:
        model: for the message.
        shapes: what a run gave for one image.
        layout: name in ``LAYOUTS``.
        input_wh: input size in pixels.
        asked: what the user said, for the message ("preset=yolox").
    """
    decoder = LAYOUTS[layout].bind(shapes, input_wh)
    if decoder is not None:
        return decoder
    fitting = [name for name, recipe in PRESETS.items() if LAYOUTS[recipe.layout].bind(shapes, input_wh)]
    raise ModelError(
        f"{asked} does not fit: layout {layout} expects {LAYOUTS[layout].expects} for an input of "
        f"{input_wh[0]}x{input_wh[1]}; {model.describe()}, and gives an image "
        f"{', '.join(map(describe, shapes))}. {_presets_that_fit(fitting)}",
        fix=f"use --option preset={fitting[0] if len(fitting) == 1 else 'NAME'}",
    )


def _fitting_presets(model: Model, stated_wh: Size | None = None) -> list[str]:
    """Presets whose layout fits what the model gives at its own, the stated or the preset's size."""
    shapes: dict[Size, Shapes] = {}
    names = []
    for name, recipe in PRESETS.items():
        usual = stated_wh or recipe.size_wh
        size_wh = (model.size_wh[0] or usual[0], model.size_wh[1] or usual[1])
        if size_wh not in shapes:
            shapes[size_wh] = _probe(model, size_wh)
        if LAYOUTS[recipe.layout].bind(shapes[size_wh], size_wh):
            names.append(name)
    return names


def _probe(model: Model, size_wh: Size) -> Shapes:
    try:
        return model.probe(size_wh, 1)
    except ModelError:  # a size that the model does not take fits nothing
        return ()


def _presets_that_fit(names: list[str]) -> str:
    known = ", ".join(PRESETS)
    return f"Presets that fit: {', '.join(names)}" if names else f"None of the presets fits (known: {known})"
