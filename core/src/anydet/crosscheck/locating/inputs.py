"""Model inputs of two adapters, made of the same pixels: which preprocessing of A would give those of B.

A's own preprocessing is data, so that it can be run with one thing changed at a time. The change that gives
B's inputs is the finding. What no change gives is fitted: an order of channels, and a factor and an offset a
channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from anydet.crosscheck.locating.finding import Finding, Step
from anydet.crosscheck.locating.resampling import RESAMPLES
from anydet.dataclass import dataclass
from anydet.geometry.placement import Placement
from anydet.plugins.preprocess import Preprocess, Resize, Triple
from anydet.plugins.stages import Prepared, Stages
from anydet.types import ByteImage, FloatArray

EQUAL = 0.02
"""Mean difference, in levels of 256, of inputs that are the same but for rounding."""
_NEAR = 0.6
"""Mean difference of inputs that are made in one way by different programs."""
_PADS: tuple[Triple, ...] = ((0.0,) * 3, (114.0,) * 3, (127.5,) * 3, (128.0,) * 3, (255.0,) * 3)
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_IMAGENET_ONE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image and what both sides made of it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        a: the input of A.
        b: the input of B.
    """

    image: ByteImage
    a: Prepared
    b: Prepared


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """Another way to make inputs."""

    step: Step
    text: str
    made: tuple[Prepared, ...]
    cost: int = 0


def inputs_differ(cases: Sequence[Case], how: Preprocess) -> bool:
    """Whether inputs differ by more than rounding, or stand elsewhere."""
    return any(
        case.a.placement != case.b.placement or _gap(case.a.tensor, case.b.tensor, how) > EQUAL
        for case in cases
    )


def compare_inputs(stages: Stages, cases: Sequence[Case]) -> list[Finding]:
    """What B does differently, as few things as explain it; nothing where inputs are equal.

    Args:
        stages: of A, whose preprocessing is varied.
        cases: images on which both prepared the same pixels.
    """
    how = stages.preprocess
    if not inputs_differ(cases, how):
        return []
    before = max(_gap(case.a.tensor, case.b.tensor, how) for case in cases)
    if before <= EQUAL:
        case = next(case for case in cases if case.a.placement != case.b.placement)
        text = _placement_text(case.a.placement, case.b.placement)
        return [Finding("letterbox", text, "inputs are equal, and boxes are mapped back otherwise")]
    best: tuple[float, _Way] | None = None
    for way in _ways(stages, cases):
        gap = max(_gap(made.tensor, case.b.tensor, how) for made, case in zip(way.made, cases, strict=True))
        if best is None or gap < best[0]:
            best = gap, way
        if gap <= EQUAL and _same_places(way.made, cases):
            break
    evidence = _levels("inputs differ by", before)
    if best is not None and best[0] <= _NEAR and best[0] < 0.5 * before:
        gap, way = best
        return [Finding(way.step, way.text, f"{evidence}; by {gap:.3g} when A does so", certain=gap <= _NEAR)]
    fitted = _fitted(stages, cases)
    if fitted:
        return fitted
    if not np.isfinite(before):
        sizes = [
            f"{case.placement.input_wh[0]}x{case.placement.input_wh[1]}" for case in (cases[0].a, cases[0].b)
        ]
        more = "; the images are prepared otherwise, too"
        return [Finding("resize", f"the input is {sizes[1]}, not {sizes[0]}", evidence + more, certain=False)]
    near = f"; the closest of what was tried: {best[1].text}, {best[0]:.3g} levels" if best else ""
    return [
        Finding(
            "resize", "inputs are prepared in a way that is not known here", evidence + near, certain=False
        )
    ]


def _ways(stages: Stages, cases: Sequence[Case]) -> Iterator[_Way]:
    """A's inputs with one thing changed, from likely to odd, then with two."""
    how = stages.preprocess
    single = list(_changes(how, cases))
    for step, text, changed in single:
        yield _Way(step, text, _prepared(stages, cases, changed))
    yield from _resampled(stages, cases)
    yield from _shifted(cases)


def _changes(how: Preprocess, cases: Sequence[Case]) -> Iterator[tuple[Step, str, Preprocess]]:
    shape = cases[0].b.tensor.shape
    size = (int(shape[2]), int(shape[1]))
    if size != tuple(how.size_wh) and how.resize not in {"shortest", "none"}:
        yield (
            "resize",
            f"the input is {size[0]}x{size[1]}, not {how.size_wh[0]}x{how.size_wh[1]}",
            replace(how, size_wh=size),
        )
    other: Literal["rgb", "bgr"] = "bgr" if how.channels == "rgb" else "rgb"
    order = f"channels are in the order {other.upper()}, not {how.channels.upper()}"
    swapped = replace(how, channels=other)
    yield "channels", order, swapped
    yield (
        "channels",
        f"{order}, and so are mean and std",
        replace(swapped, mean=how.mean[::-1], std=how.std[::-1], pad_value=how.pad_value[::-1]),
    )
    yield from _normalizations(how)
    for resize in get_args(Resize):
        if resize != how.resize:
            step: Step = "letterbox" if "letterbox" in resize and "letterbox" in how.resize else "resize"
            yield step, f"images are resized as {resize}, not as {how.resize}", replace(how, resize=resize)
    for pad in _PADS:
        if pad != how.pad_value:
            yield (
                "letterbox",
                f"the border is {pad[0]:g}, not {how.pad_value[0]:g}",
                replace(how, pad_value=pad),
            )
    smooth: Literal["bilinear", "bilinear-antialias"]
    smooth = "bilinear" if how.interpolation == "bilinear-antialias" else "bilinear-antialias"
    yield "resize", f"resized by {smooth}, not {how.interpolation}", replace(how, interpolation=smooth)
    rounded = "are not rounded to whole numbers" if how.rounded else "are rounded to whole numbers"
    yield "resize", f"resized pixels {rounded}", replace(how, rounded=not how.rounded)
    yield (
        "resize",
        f"resized by {smooth}, and pixels {rounded}",
        replace(how, interpolation=smooth, rounded=not how.rounded),
    )
    rounding: Literal["nearest", "down"] = "down" if how.size_rounding == "nearest" else "nearest"
    yield (
        "letterbox",
        f"the resized image's sides are rounded {rounding}",
        replace(how, size_rounding=rounding),
    )


def _normalizations(how: Preprocess) -> Iterator[tuple[Step, str, Preprocess]]:
    zero, one = (0.0,) * 3, (1.0,) * 3
    for text, divisor, mean, std in (
        ("pixels are 0..255, without normalization", 1.0, zero, one),
        ("pixels are divided by 255 alone", 255.0, zero, one),
        ("pixels are divided by 255 before the rest", 255.0 * how.divisor, how.mean, how.std),
        ("the mean is not subtracted", how.divisor, zero, how.std),
        ("the result is not divided by std", how.divisor, how.mean, one),
        ("mean and std are in reversed order", how.divisor, how.mean[::-1], how.std[::-1]),
        ("pixels are normalized by ImageNet's mean and std", 1.0, *_IMAGENET),
        ("pixels are normalized by ImageNet's mean and std of 0..1", 255.0, *_IMAGENET_ONE),
        ("ImageNet's mean and std of 0..1 are used on pixels of 0..255", 1.0, *_IMAGENET_ONE),
        ("pixels are scaled to -1..1", 1.0, (127.5,) * 3, (127.5,) * 3),
    ):
        changed = replace(how, divisor=divisor, mean=mean, std=std)
        if changed != how:
            yield "normalization", text, changed


def _resampled(stages: Stages, cases: Sequence[Case]) -> Iterator[_Way]:
    """Images that were resized before: A has nothing left to resize."""
    for name, resample in RESAMPLES.items():
        made = []
        for case in cases:
            content = case.a.placement.content_wh
            resized = case.image if content == case.a.placement.image_wh else resample(case.image, content)
            made.append(stages.prepare(resized))
        yield _Way("resize", f"images are resized by {name}", tuple(made))


def _shifted(cases: Sequence[Case]) -> Iterator[_Way]:
    """The image a few pixels further in the input."""
    for y in (-2, -1, 0, 1, 2):
        for x in (-2, -1, 0, 1, 2):
            if (x, y) != (0, 0):
                made = tuple(
                    Prepared(np.roll(case.a.tensor, (y, x), axis=(1, 2)), case.b.placement) for case in cases
                )
                text = (
                    f"the image stands {_pixels(x, 'right', 'left')}{_pixels(y, 'down', 'up')} in the input"
                )
                yield _Way("letterbox", text, made)


def _pixels(count: int, one: str, other: str) -> str:
    return f"{abs(count)} px {one if count > 0 else other} " if count else ""


def _prepared(stages: Stages, cases: Sequence[Case], how: Preprocess) -> tuple[Prepared, ...]:
    return tuple(stages.prepare(case.image, how) for case in cases)


def _same_places(made: Sequence[Prepared], cases: Sequence[Case]) -> bool:
    return all(one.placement == case.b.placement for one, case in zip(made, cases, strict=True))


def _fitted(stages: Stages, cases: Sequence[Case]) -> list[Finding]:
    """An order of channels, and a factor and an offset a channel, that make A's inputs those of B."""
    how = stages.preprocess
    if any(case.a.tensor.shape != case.b.tensor.shape for case in cases):
        return []
    x, y = (
        np.concatenate(
            [_content(p.tensor, case.a.placement) for case in cases for p in [getattr(case, side)]], axis=1
        )
        for side in ("a", "b")
    )
    best: tuple[float, tuple[int, ...], FloatArray] | None = None
    orders: tuple[tuple[int, ...], ...] = ((0, 1, 2), (2, 1, 0))
    for order in orders:
        fits = np.array([_line(x[source], y[channel]) for channel, source in enumerate(order)])
        gap = float(fits[:, 2].max())
        if best is None or gap < best[0] - 1e-9:
            best = gap, order, fits
    assert best is not None
    gap, best_order, fits = best
    if gap > 0.02:
        return []
    found = []
    if best_order != (0, 1, 2):
        found.append(
            Finding("channels", "channels are in reversed order", f"{gap:.2g} of the contrast is left over")
        )
    if np.abs(fits[:, 0] - 1).max() > 1e-3 or np.abs(fits[:, 1]).max() > 1e-3 * np.abs(y).max():
        std = np.array(how.std)[list(best_order)] / fits[:, 0]
        mean = np.array(how.mean)[list(best_order)] - fits[:, 1] * std
        numbers = f"mean {_numbers(mean)}, std {_numbers(std)}"
        cause = f"inputs are normalized as by {numbers} after division by {how.divisor:g}"
        found.append(Finding("normalization", cause, f"{gap:.2g} of the contrast is left over"))
    return found


def _content(tensor: FloatArray, placement: Placement) -> FloatArray:
    rows, columns = placement.window
    part: FloatArray = tensor[:, rows, columns].reshape(3, -1).astype(np.float64)
    return part[:, :: max(1, part.shape[1] // 20000)]


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Factor and offset of the line through (x, y), and what it leaves over of y's deviation."""
    spread = float(x.std())
    if spread == 0 or not np.isfinite(y).all():
        return 1.0, 0.0, np.inf
    factor = float(((x - x.mean()) * (y - y.mean())).mean()) / spread**2
    offset = float(y.mean()) - factor * float(x.mean())
    left = float(np.sqrt(np.mean((factor * x + offset - y) ** 2)))
    return factor, offset, left / max(float(y.std()), 1e-12)


def _gap(x: FloatArray, y: FloatArray, how: Preprocess) -> float:
    """Mean difference of two inputs in levels of 256; infinity where they are of different sizes."""
    if x.shape != y.shape:
        return np.inf
    scale = np.array(how.std)[:, None] * how.divisor
    gaps = np.abs(x.astype(np.float64) - y.astype(np.float64)).reshape(3, -1).mean(axis=1, keepdims=True)
    mean = float((gaps * scale).mean())
    return mean if np.isfinite(mean) else np.inf


def _placement_text(a: Placement, b: Placement) -> str:
    parts = []
    if a.offset_xy != b.offset_xy:
        parts.append(f"the offset of the image in the input is taken for {b.offset_xy}, not {a.offset_xy}")
    if a.content_wh != b.content_wh:
        parts.append(f"the size of the image in the input is taken for {b.content_wh}, not {a.content_wh}")
    return "; ".join(parts) or "the image's place in the input differs"


def _levels(text: str, gap: float) -> str:
    return (
        f"{text} {gap:.3g} of 256 levels on average" if np.isfinite(gap) else "inputs are of different sizes"
    )


def _numbers(values: FloatArray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
