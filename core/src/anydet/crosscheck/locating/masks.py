"""Masks of objects and of classes of pixels: orientation, order, threshold, and how they are resized."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from anydet.crosscheck.locating.finding import Finding
from anydet.geometry import masks
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.types import BoolArray, DetectionColumns, FloatArray, IntArray

_MOST = 200
"""Masks that are decoded."""
_EQUAL = 0.01
"""1 - IoU of equal masks."""
_SHOWN_ON = 0.8
"""Part of the images on which another resize shows."""
_BAND_PX = 2
"""Differences no further than this from an edge are of how masks are resized."""
_KNOWN: Mapping[str, Callable[[NDArray[np.generic]], NDArray[np.generic]]] = {
    "mirrored left to right": lambda x: x[:, ::-1],
    "mirrored top to bottom": lambda x: x[::-1],
    "turned upside down": lambda x: x[::-1, ::-1],
    "transposed: columns are read as rows": lambda x: x.T.reshape(x.shape),
    "moved 1 px to the right": lambda x: np.roll(x, 1, axis=1),
    "moved 1 px to the left": lambda x: np.roll(x, -1, axis=1),
    "moved 1 px down": lambda x: np.roll(x, 1, axis=0),
    "moved 1 px up": lambda x: np.roll(x, -1, axis=0),
}
"""What B may do to a mask or a map of classes."""


def explain_masks(a: DetectionColumns, b: DetectionColumns) -> list[Finding]:
    """What B's masks of objects are of A's, row by row; nothing where they are equal."""
    if a.masks is None or b.masks is None:
        return []
    pairs: list[tuple[BoolArray, BoolArray]] = []
    boxes = []
    for row in range(min(len(a), _MOST)):
        one, other = a.masks[row], b.masks[row]
        if one is None or other is None:
            continue
        if one.size_hw != other.size_hw:
            sizes = f"{other.size_hw[1]}x{other.size_hw[0]} in B, {one.size_hw[1]}x{one.size_hw[0]} in A"
            turned = other.size_hw == one.size_hw[::-1]
            cause = "width and height of masks are swapped" if turned else "masks are of another size"
            return [Finding("masks", cause, sizes)]
        pairs.append((masks.decode(one), masks.decode(other)))
        boxes.append(xywh_to_xyxy(a.boxes_xywh_px[row : row + 1])[0])
    different = [i for i, pair in enumerate(pairs) if _unlike(*pair) > _EQUAL]
    if not different:
        return []
    worst = max(_unlike(*pairs[i]) for i in different)
    evidence = f"{len(different)} of {len(pairs)} masks differ, by up to {worst:.3g} of 1 - IoU"
    return [_of_objects([pairs[i] for i in different], [boxes[i] for i in different], evidence)]


def _of_objects(
    pairs: Sequence[tuple[BoolArray, BoolArray]], boxes: Sequence[FloatArray], evidence: str
) -> Finding:
    for text, change in _KNOWN.items():
        if all(_unlike(change(x).astype(np.bool_), y) <= _EQUAL for x, y in pairs):
            return Finding("masks", f"masks are {text}", evidence)
    inside = [_box_mask(box, x.shape) for box, (x, _) in zip(boxes, pairs, strict=True)]
    for text, guesses in (
        ("masks are inverted", [(~x, y) for x, y in pairs]),
        ("masks are the boxes", [(m, y) for m, (_, y) in zip(inside, pairs, strict=True)]),
        (
            "masks are not cropped to their boxes",
            [(x, y & m) for m, (x, y) in zip(inside, pairs, strict=True)],
        ),
        ("masks are cropped to their boxes", [(x & m, y) for m, (x, y) in zip(inside, pairs, strict=True)]),
    ):
        if all(_unlike(x, y) <= _EQUAL for x, y in guesses):
            return Finding("masks", text, evidence)
    blocks = _blocks([y for _, y in pairs], [x for x, _ in pairs])
    if blocks:
        return Finding("masks", "masks are resized by their nearest pixel", f"{evidence}; {blocks}")
    smaller = np.mean([not (y & ~x).any() for x, y in pairs])
    larger = np.mean([not (x & ~y).any() for x, y in pairs])
    if max(smaller, larger) > 0.9:
        side, how = ("smaller", "higher") if smaller > larger else ("larger", "lower")
        fraction = sum(map(np.count_nonzero, (y for _, y in pairs))) / sum(
            map(np.count_nonzero, (x for x, _ in pairs))
        )
        text = f"masks are {side} on all sides: their threshold is {how}"
        return Finding("masks", text, f"{evidence}; their area is {fraction:.3g} of A's")
    if all(_at_edges(x, y) for x, y in pairs):
        text = "masks are resized in another way: they differ at their edges alone"
        return Finding("masks", text, evidence)
    return Finding("masks", "masks are decoded differently", evidence, certain=False)


def explain_class_masks(a: DetectionColumns, b: DetectionColumns) -> list[Finding]:
    """What B's classes of pixels are of A's, image by image; nothing where they are equal."""
    maps = list(_class_maps(a, b))
    different = [(x, y) for x, y in maps if np.mean(x != y) > 1e-3]
    if not different:
        return []
    fractions = [float(np.mean(x != y)) for x, y in different]
    evidence = (
        f"{len(different)} of {len(maps)} class masks differ, in {np.mean(fractions):.3g} of the pixels"
    )
    for text, change in _KNOWN.items():
        if all(np.mean(change(x) != y) <= 1e-3 for x, y in different):
            return [Finding("masks", f"class masks are {text}", evidence)]
    moved = _renumbered(different)
    if moved:
        return [Finding("masks", moved, evidence)]
    # Where logits are nearly equal, rounding decides on single images; another resize shows on all.
    return [_resized(different, evidence)] if len(different) >= _SHOWN_ON * len(maps) else []


def _renumbered(pairs: Sequence[tuple[IntArray, IntArray]]) -> str:
    """What B's class ids are, where each of A's is another one; "" where they are not."""
    x, y = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    ids, which = np.unique(x, return_inverse=True)
    # Pixels of no class are -1.
    targets = np.array([np.bincount(y[x == c] + 1).argmax() - 1 for c in ids])
    if (targets == ids).all() or np.mean(targets[which.reshape(-1)] == y) <= 0.97:
        return ""
    gaps = np.unique(targets - ids)
    if len(gaps) == 1:
        return f"class ids of pixels are {int(gaps[0]):+d}"
    moved = [(c, to) for c, to in zip(ids.tolist(), targets.tolist(), strict=True) if c != to]
    return f"classes of pixels are in another order: {', '.join(f'{c} is {to}' for c, to in moved[:5])}"


def _resized(pairs: Sequence[tuple[IntArray, IntArray]], evidence: str) -> Finding:
    """Of class masks whose classes are A's."""
    blocks = _blocks([y for _, y in pairs], [x for x, _ in pairs])
    if blocks:
        text = "class masks are resized by their nearest pixel, behind the choice of the class"
        return Finding("masks", text, f"{evidence}; {blocks}")
    if all(_at_edges(x, y) for x, y in pairs):
        text = "class masks are resized in another way: they differ at edges alone"
        return Finding("masks", text, evidence)
    return Finding("masks", "classes of pixels are chosen differently", evidence, certain=False)


def _class_maps(a: DetectionColumns, b: DetectionColumns) -> Iterator[tuple[IntArray, IntArray]]:
    """Of images on which both state them: the class of each pixel, -1 where it has none."""
    sides = [None if side.about is None else side.about.semantic_masks for side in (a, b)]
    for image, (width, height) in enumerate(a.sizes_wh.tolist()):
        one, other = (None if side is None else side[image] for side in sides)
        if one is not None and other is not None:
            yield masks.class_map(one, (height, width)), masks.class_map(other, (height, width))


def _unlike(x: BoolArray, y: BoolArray) -> float:
    """1 - IoU."""
    union = np.count_nonzero(x | y)
    return 1 - np.count_nonzero(x & y) / union if union else 0.0


def _box_mask(box: FloatArray, shape: tuple[int, ...]) -> BoolArray:
    """Pixels that a box touches."""
    mask = np.zeros(shape, np.bool_)
    left, top = np.floor(box[:2]).astype(int).clip(0)
    right, bottom = np.ceil(box[2:]).astype(int).clip(0)
    mask[top:bottom, left:right] = True
    return mask


def _blocks(found: Sequence[NDArray[np.generic]], others: Sequence[NDArray[np.generic]]) -> str:
    """Whether edges are on a coarse grid of rows and columns, and those of others are not; "" where not."""
    fractions = []
    for side in (found, others):
        used = []
        for axis in (0, 1):
            lines: dict[int, set[int]] = {}
            for mask in side:
                changes = np.flatnonzero((np.diff(mask.astype(np.int64), axis=axis) != 0).any(axis=1 - axis))
                lines.setdefault(mask.shape[axis], set()).update(changes.tolist())
            used.append(np.mean([len(at) / (size - 1) for size, at in lines.items()]))
        fractions.append(max(used))
    if fractions[0] > 0.75 or fractions[0] > 0.85 * fractions[1]:
        return ""
    return f"edges are at {fractions[0]:.0%} of the rows and columns, in A at {fractions[1]:.0%}"


def _at_edges(x: NDArray[np.generic], y: NDArray[np.generic]) -> bool:
    """Whether all pixels that differ are near an edge of the first."""
    edges = np.zeros(x.shape, np.bool_)
    for axis in (0, 1):
        changes = np.diff(x.astype(np.int64), axis=axis) != 0
        for part in ((slice(1, None), slice(None)), (slice(None, -1), slice(None))):
            edges[part if axis == 0 else part[::-1]] |= changes
    for _ in range(_BAND_PX - 1):
        grown = edges.copy()
        grown[1:] |= edges[:-1]
        grown[:-1] |= edges[1:]
        grown[:, 1:] |= edges[:, :-1]
        grown[:, :-1] |= edges[:, 1:]
        edges = grown
    return not ((x != y) & ~edges).any()
