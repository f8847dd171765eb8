"""One preset of the options, the named preset and what the model file says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, NoReturn

from anydet.errors import OptionError
from anydet.plugins.preprocess import Preprocess, Triple
from anydet.runtime.layouts.layout_file import is_path
from anydet.runtime.presets import Preset, preset_named, preset_of_layout
from anydet.types import Size

OpenSize = tuple[int | None, int | None]
"""(width, height) of a model's input, ``None`` where it is open."""

_NEEDED = ("layout", "resize", "channels", "mean", "std", "nms_iou")
"""Options that are required where no preset sets them."""
_SIZE = re.compile(r"(\d+)(?:x(\d+))?")


def missing_options(options: Mapping[str, Any], model_wh: OpenSize) -> list[str]:
    """Options that are needed because there is no preset, and are not there."""
    layout = options.get("layout")
    if options.get("preset") is not None or (layout is not None and preset_of_layout(layout) is not None):
        return []
    needed = _NEEDED if None not in model_wh else (*_NEEDED, "size")
    return [name for name in needed if name not in options]


def settle_preset(
    options: Mapping[str, Any],
    model_wh: OpenSize,
    *,
    described: Preset | None = None,
    stated_wh: Size | None = None,
) -> Preset:
    """The preset or what the file describes, with every option that is set in place of its own.

    Args:
        options: checked against the adapter's schema, and without ``missing_options``.
        model_wh: the model's input size.
        described: what the file describes; a preset wins over it.
        stated_wh: size that the file was exported for, used where its input and the options leave it open.

    Raises:
        OptionError: an option makes no sense, or contradicts the model.
    """
    given = {key: options[key] for key in _PRESET_FIELDS if key in options}
    changes = {
        _PREPROCESS[key][0]: _PREPROCESS[key][1](options[key]) for key in _PREPROCESS if key in options
    }
    base = preset_named(options["preset"]) if options.get("preset") else described
    if base is None and "layout" in options:
        base = preset_of_layout(options["layout"])
    if base is not None:
        preset = replace(base, **given)
        preprocess = replace(preset.preprocess, **changes)
    else:
        preprocess = Preprocess(**{"size_wh": (1, 1), **changes})
        preset = Preset(preprocess=preprocess, **given)
    if None not in model_wh and preprocess.resize == "shortest":
        preprocess = _fixed_shortest(preprocess, named="resize" in changes)
    if stated_wh is not None and "size_wh" not in changes:
        preprocess = replace(preprocess, size_wh=stated_wh)
    if "std" in changes:
        _check_std(preprocess)
    wanted = preprocess.size_wh
    size_wh = (model_wh[0] or wanted[0], model_wh[1] or wanted[1])
    if size_wh != wanted:
        if "size_wh" in changes:
            _contradict(f"size={_by(wanted)}", size_wh, "leave size= out: the model's own is used")
        if base is not None and not options.get("preset") and is_path(base.layout):
            said = f"images.size of {base.layout} is {_by(wanted)}, which"
            _contradict(said, size_wh, f"write size: {list(size_wh)} in the file")
    return replace(preset, preprocess=replace(preprocess, size_wh=size_wh))


def parse_size(value: str | int) -> Size:
    """``416`` or ``640x480`` (width x height) in pixels."""
    match = _SIZE.fullmatch(str(value).strip().lower())
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (width and height):
        raise OptionError(
            f"size={value} is no input size", fix="use size=416 or size=640x480 (width x height)"
        )
    return width, height


def parse_triple(value: Any) -> Triple:
    """One number for all channels, or three: a number, a list, or text with commas."""
    parts = value.strip("[] ").split(",") if isinstance(value, str) else value
    parts = parts if isinstance(parts, (list, tuple)) else [parts]
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (1, 3) or not all(map(isfinite, numbers)):
        raise OptionError(
            f"mean and std are one finite number or three, not {value}", fix="use mean=123.675,116.28,103.53"
        )
    first, second, third = numbers if len(numbers) == 3 else numbers * 3
    return first, second, third


def _same(value: Any) -> Any:
    return value


_PRESET_FIELDS = ("layout", "nms_iou", "first_label")
"""Options that are fields of ``Preset``."""
_PREPROCESS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "size": ("size_wh", parse_size),
    "resize": ("resize", _same),
    "channels": ("channels", _same),
    "mean": ("mean", parse_triple),
    "std": ("std", parse_triple),
    "pad": ("pad_value", parse_triple),
}
"""Option -> field of ``Preprocess`` and how it is read."""


def _fixed_shortest(preprocess: Preprocess, *, named: bool) -> Preprocess:
    """``shortest`` where the input cannot follow the image: stretched, unless the option names it."""
    if named:
        raise OptionError(
            "resize=shortest needs a model whose input size is open; this one's is fixed",
            fix="use resize=stretch or resize=letterbox",
        )
    return replace(preprocess, resize="stretch")


def _check_std(preprocess: Preprocess) -> None:
    std = preprocess.std
    if preprocess.divisor * min(std) < 1:
        raise OptionError(
            f"std={','.join(f'{s:g}' for s in std)} is for pixels of 0..1; here they are 0..255",
            fix=f"multiply mean and std by 255: std={','.join(f'{255 * s:g}' for s in std)}",
        )


def _by(size_wh: Size) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"


def _contradict(said: str, size_wh: Size, fix: str) -> NoReturn:
    raise OptionError(f"{said} contradicts the model, whose input is {_by(size_wh)}", fix=fix)
