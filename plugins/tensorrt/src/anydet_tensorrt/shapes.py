"""Shapes of inputs that a model leaves open: smallest, usual and largest of an engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from anydet.dataclass import dataclass
from anydet.errors import OptionError
from anydet.runtime.layouts.shapes import describe
from anydet.runtime.loaded import TensorInfo
from anydet.types import Size

Shape = tuple[int, ...]
USUAL_SIZE: Size = (640, 640)
"""(width, height) that an example of shapes has where the model states none."""
_WRITTEN = re.compile(r"\d+(x\d+)*")


@dataclass(frozen=True, slots=True)
class Profile:
    """Shapes of one input.

    Attributes:
        smallest: least size of each axis.
        usual: what kernels are chosen for.
        largest: most of each axis; buffers are as large as it needs.
    """

    smallest: Shape
    usual: Shape
    largest: Shape


def parse_shapes(option: str, text: str | None) -> dict[str, Shape]:
    """``images:1x3x640x640,sizes:1x2``, as trtexec takes them, as input -> shape; none of ``None``.

    Args:
        option: that the text is of, for messages.
        text: as it was typed.
    """
    found: dict[str, Shape] = {}
    for part in (text or "").split(",") if text else ():
        # Names of inputs may have colons.
        name, _, shape = part.strip().rpartition(":")
        sizes = tuple(map(int, shape.split("x"))) if _WRITTEN.fullmatch(shape) and len(shape) < 80 else ()
        if not name or not sizes or 0 in sizes or max(sizes) > 2**31 - 1:
            raise OptionError(
                f"{option} {part.strip()!r} is no input and shape", fix=f"write {option} images:1x3x640x640"
            )
        if name in found:
            raise OptionError(f"{option} has {name!r} twice", fix="give each input one shape")
        found[name] = sizes
    return found


def settle_profiles(
    inputs: Sequence[TensorInfo],
    smallest: Mapping[str, Shape],
    usual: Mapping[str, Shape],
    largest: Mapping[str, Shape],
    size_wh: Size = USUAL_SIZE,
) -> dict[str, Profile]:
    """Input -> its profile, of each input with an open axis; what is not given is the next that is.

    ``size_wh`` is what images are resized to, for the shapes that a message tells to type.

    Raises ``OptionError`` where an input that needs shapes has none, or one that it cannot have.
    """
    given = {"--min-shapes": smallest, "--opt-shapes": usual, "--max-shapes": largest}
    known = {tensor.name: tensor for tensor in inputs}
    for option, shapes in given.items():
        for name, shape in shapes.items():
            _require_fitting(option, name, shape, known)
    return {
        tensor.name: _profile(tensor, [shapes.get(tensor.name) for shapes in given.values()], size_wh)
        for tensor in inputs
        if not all(isinstance(size, int) for size in tensor.shape)
    }


def with_profile(tensor: TensorInfo, profile: Profile | None) -> TensorInfo:
    """An input with the sizes that its profile leaves no choice of."""
    if profile is None:
        return tensor
    sizes = zip(profile.smallest, profile.largest, strict=True)
    return TensorInfo(tensor.name, tuple(a if a == b else None for a, b in sizes), tensor.dtype)


def _require_fitting(option: str, name: str, shape: Shape, known: Mapping[str, TensorInfo]) -> None:
    if name not in known:
        raise OptionError(
            f"{option}: the model has no input {name!r}",
            fix=f"its inputs: {'; '.join(map(str, known.values()))}",
        )
    declared = known[name].shape
    pairs = zip(declared, shape, strict=False)
    if len(declared) != len(shape) or any(isinstance(d, int) and d != s for d, s in pairs):
        raise OptionError(
            f"{option} {name}:{_written(shape)} does not fit the input, which is {known[name]}",
            fix="change what the model leaves open, and nothing else",
        )


def _profile(tensor: TensorInfo, given: Sequence[Shape | None], size_wh: Size) -> Profile:
    least, usual, most = given
    if least is None and usual is None and most is None:
        example = _written(_closed(tensor.shape, size_wh))
        raise OptionError(
            f"the input {tensor.name} {describe(tensor.shape)} is open, and engines are for known shapes",
            fix=f"add --opt-shapes {tensor.name}:{example}, with --min-shapes and --max-shapes if they vary",
        )
    usual = usual or most or least
    assert usual is not None  # one of the three is there
    least, most = least or usual, most or usual
    if not all(a <= b <= c for a, b, c in zip(least, usual, most, strict=True)):
        shapes = " ".join(map(_written, (least, usual, most)))
        raise OptionError(
            f"{tensor.name}: --min-shapes, --opt-shapes and --max-shapes do not grow: {shapes}",
            fix="give them in this order",
        )
    return Profile(least, usual, most)


def _closed(shape: Sequence[int | str | None], size_wh: Size) -> list[int]:
    """A shape with one image of this size; channels are the last axis where it is as small as colors are."""
    width, height = size_wh
    across = len(shape) - (2 if shape[-1:] and shape[-1] in {1, 3, 4} else 1)
    usual = {across: width, across - 1: height} if len(shape) > 2 else {}
    return [size if isinstance(size, int) else usual.get(axis, 1) for axis, size in enumerate(shape)]


def _written(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
