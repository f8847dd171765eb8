"""Which sizes of a model file may change: the number of images, and their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from anydet.errors import OptionError
from anydet.plugins.export import ExportSpec

Kind: TypeAlias = Literal["batch", "size"]
_CALLED: Mapping[Kind, str] = {"batch": "the number of images", "size": "their size"}


def with_dynamic_axes(spec: ExportSpec, *, batch: bool, size: bool, adapter: str) -> ExportSpec:
    """The same with those axes left open that were asked for, and those that follow the image anyway.

    Args:
        spec: what may be open at most.
        batch: whether the number of images is to be open.
        size: whether their size is.
        adapter: name, for messages.

    Raises ``OptionError`` where the model cannot do that, with the reason.
    """
    kinds = axis_kinds(spec)
    wanted = {kind for kind, asked in (("batch", batch), ("size", size)) if asked}
    for kind in ("batch", "size"):
        if kind in wanted and kind not in kinds.values():
            reason = spec.fixed.get(kind, "its adapter does not say that it can be")
            raise OptionError(
                f"--dynamic-{kind}: {_CALLED[kind]} is fixed in a file of {adapter}: {reason}",
                fix=f"leave --dynamic-{kind} out",
            )
    if sizes_follow_images(spec):
        wanted.add("size")
    kept = {
        tensor: {axis: name for axis, name in axes.items() if kinds.get(name) in {None, *wanted}}
        for tensor, axes in spec.dynamic_axes.items()
    }
    other = spec.any_size_module if "size" in wanted else None
    return replace(
        spec,
        module=spec.module if other is None else other,
        dynamic_axes={tensor: axes for tensor, axes in kept.items() if axes},
    )


def axis_kinds(spec: ExportSpec) -> dict[str, Kind]:
    """Name of each axis of an input that may be open -> what it is."""
    return {
        name: "batch" if axis == 0 else "size"
        for tensor in spec.inputs
        for axis, name in spec.dynamic_axes.get(tensor, {}).items()
    }


def sizes_follow_images(spec: ExportSpec) -> bool:
    """Whether inputs have the size of their image, so that a fixed one would be another preprocessing."""
    return spec.description.preprocess.resize in {"shortest", "none"}
