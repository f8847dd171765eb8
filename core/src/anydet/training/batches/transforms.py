"""Single steps from one sample to another: mirror, resize, crop, pad. Labels follow the pixels.

Coordinates are continuous, with pixel edges at 0 and at the image's width and height. What every step keeps:

* Boxes, masks, keypoints, semantic mask and intrinsics describe the new image.
* Poses stay in the camera's frame, so that resizing, cropping and padding change intrinsics alone.
* Keypoints that are not labeled (visibility 0) have x = y = 0, as in COCO.

Pixels are changed by torchvision. Labels are changed here, because its v2 transforms know no poses and no
intrinsics, and draw from the global generator, where a sample's random choices must depend on its seed, epoch
and index alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor
from torchvision.ops import box_area, clip_boxes_to_image, masks_to_boxes
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from anydet.data.record.class_mask import UNLABELED
from anydet.geometry import cameras
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import camera_tensor
from anydet.types import Intrinsics, Size

PAD_VALUE = 114
"""Gray of padding, the middle of ImageNet's mean colors as YOLO's letterbox has it."""
MIN_SHARE = 0.25
"""An object is dropped where a crop leaves less than this fraction of its box."""

_ROWS = ("boxes", "class_ids", "iscrowd", "masks", "keypoints", "states", "rotations", "translations_m")
_MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def take(sample: Sample, rows: Tensor) -> Sample:
    """The same image with only these objects.

    Args:
        sample: the image.
        rows: positions, or (N,) bool.
    """
    columns = {name: getattr(sample, name) for name in _ROWS}
    return replace(sample, **{name: column[rows] for name, column in columns.items() if column is not None})


def hflip(sample: Sample, keypoint_pairs: Sequence[tuple[int, int]] = ()) -> Sample:
    """Left and right swapped.

    Poses become the mirror image's, ``M R M`` and ``M t`` with ``M = diag(-1, 1, 1)``: right for objects that
    look the same mirrored, and the usual compromise for the others.

    Args:
        sample: the image.
        keypoint_pairs: (left, right) positions of keypoints that swap names in the mirror.
    """
    width = sample.size_wh[0]
    points = sample.keypoints
    if points is not None:
        points = _placed(points, torch.stack([width - points[..., 0], points[..., 1]], dim=-1))
        points = points[:, _swapped(points.shape[1], keypoint_pairs)]
    x1, y1, x2, y2 = sample.boxes.unbind(dim=1)
    return replace(
        sample,
        image=functional.horizontal_flip(sample.image),
        boxes=torch.stack([width - x2, y1, width - x1, y2], dim=1),
        masks=_mapped(sample.masks, functional.horizontal_flip),
        keypoints=points,
        rotations=_mapped(sample.rotations, torch.outer(_MIRROR, _MIRROR).mul),
        translations_m=_mapped(sample.translations_m, _MIRROR.mul),
        intrinsics=_seen_by(sample, lambda camera: cameras.mirrored(camera, width)),
        semantic=_mapped(sample.semantic, functional.horizontal_flip),
    )


def resize(sample: Sample, size_wh: Size) -> Sample:
    """Scaled to (width, height): pixels bilinearly with antialiasing, masks by their nearest pixel.

    No object is dropped; a small one's mask may vanish.
    """
    source, (width, height) = sample.size_wh, size_wh
    if source == size_wh:
        return sample
    scale = torch.tensor([width / source[0], height / source[1]])
    points = sample.keypoints
    return replace(
        sample,
        image=functional.resize(sample.image, [height, width], antialias=True),
        boxes=sample.boxes * scale.repeat(2),
        masks=_mapped(sample.masks, lambda masks: _nearest(masks, size_wh)),
        keypoints=None if points is None else _placed(points, points[..., :2] * scale),
        intrinsics=_seen_by(sample, lambda camera: cameras.scaled(camera, source, size_wh)),
        semantic=_mapped(sample.semantic, lambda classes: _nearest(classes[None], size_wh)[0]),
    )


def crop(sample: Sample, xyxy: tuple[int, int, int, int], *, min_share: float = MIN_SHARE) -> Sample:
    """The window of a sample, without the objects that are cut away.

    Boxes are clipped to the window. An object goes when less than ``min_share`` of its box's area is left, or
    nothing of its mask; a box that is cut shrinks to what is left of its mask, where it has one. Keypoints
    outside the window become unlabeled.

    Args:
        sample: the image.
        xyxy: edges of the window in whole pixels inside the image, x2 and y2 exclusive.
        min_share: in [0, 1].

    Raises:
        ValueError: the window is empty or not inside the image.
    """
    x1, y1, x2, y2 = xyxy
    if not (0 <= x1 < x2 <= sample.size_wh[0] and 0 <= y1 < y2 <= sample.size_wh[1]):
        raise ValueError(f"window {xyxy} is not inside an image of {sample.size_wh}")
    size_hw = (y2 - y1, x2 - x1)
    moved = sample.boxes - torch.tensor([x1, y1, x1, y1])
    boxes = clip_boxes_to_image(moved, size_hw)
    kept = (box_area(boxes) >= min_share * box_area(moved)) & (box_area(boxes) > 0)
    masks = _mapped(sample.masks, lambda whole: whole[:, y1:y2, x1:x2])
    if masks is not None and sample.masks is not None:
        left = _any_pixel(masks)
        kept &= left | ~_any_pixel(sample.masks)
        cut = left & (boxes != moved).any(dim=1)
        boxes[cut] = _around(masks[cut], boxes[cut])
    cropped = replace(
        sample,
        image=sample.image[:, y1:y2, x1:x2],
        boxes=boxes,
        masks=masks,
        keypoints=_mapped(sample.keypoints, lambda points: _inside(points, x1, y1, size_hw)),
        intrinsics=_seen_by(sample, lambda camera: cameras.cropped(camera, x1, y1)),
        semantic=_mapped(sample.semantic, lambda classes: classes[y1:y2, x1:x2]),
    )
    return cropped if bool(kept.all()) else take(cropped, kept)


def pad(sample: Sample, left: int, top: int, right: int, bottom: int, *, value: int = PAD_VALUE) -> Sample:
    """Margins of so many pixels around the image.

    Args:
        sample: the image.
        left: pixels, 0 or more.
        top: so too.
        right: so too.
        bottom: so too.
        value: brightness of the margins; in the semantic mask they are not labeled.
    """
    margins = [left, right, top, bottom]
    shift = torch.tensor([left, top])
    points = sample.keypoints
    return replace(
        sample,
        image=pad_tensor(sample.image, margins, value=value),
        boxes=sample.boxes + shift.repeat(2),
        masks=_mapped(sample.masks, lambda masks: pad_tensor(masks, margins)),
        keypoints=None if points is None else _placed(points, points[..., :2] + shift),
        intrinsics=_seen_by(sample, lambda camera: cameras.cropped(camera, -left, -top)),
        semantic=_mapped(sample.semantic, lambda classes: pad_tensor(classes, margins, value=UNLABELED)),
    )


def letterbox(sample: Sample, size_wh: Size, *, centered: bool = True, value: int = PAD_VALUE) -> Sample:
    """As large as fits into (width, height) with its shape kept, with margins around it.

    Args:
        sample: the image.
        size_wh: size of the result.
        centered: margins on both sides, or to the right and below alone.
        value: brightness of the margins.
    """
    width, height = size_wh
    scale = min(width / sample.size_wh[0], height / sample.size_wh[1])
    scaled = resize(sample, scaled_wh(sample.size_wh, scale))
    across, down = width - scaled.size_wh[0], height - scaled.size_wh[1]
    left, top = (across // 2, down // 2) if centered else (0, 0)
    return pad(scaled, left, top, across - left, down - top, value=value)


def place_at_random(sample: Sample, size_wh: Size, rng: np.random.Generator) -> Sample:
    """On a canvas of (width, height): cut at random where the sample is larger, padded where smaller."""
    gaps = [want - have for want, have in zip(size_wh, sample.size_wh, strict=True)]
    at = [int(rng.integers(abs(gap) + 1)) for gap in gaps]
    if max(gaps) > 0:
        wider, higher = (max(gap, 0) for gap in gaps)
        left, top = (place if gap > 0 else 0 for place, gap in zip(at, gaps, strict=True))
        sample = pad(sample, left, top, wider - left, higher - top)
    if min(gaps) < 0:
        x, y = (place if gap < 0 else 0 for place, gap in zip(at, gaps, strict=True))
        sample = crop(sample, (x, y, x + size_wh[0], y + size_wh[1]))
    return sample


def scaled_wh(size_wh: Size, scale: float) -> Size:
    """(width, height) times ``scale`` in whole pixels, at least one."""
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def _mapped(tensor: Tensor | None, change: Callable[[Tensor], Tensor]) -> Tensor | None:
    return None if tensor is None else change(tensor)


def _seen_by(sample: Sample, change: Callable[[Intrinsics], Intrinsics]) -> Tensor | None:
    """Intrinsics after ``change`` of the camera."""
    known = sample.intrinsics
    return None if known is None else camera_tensor(change(Intrinsics(*known.tolist())))


def _placed(points: Tensor, xy: Tensor) -> Tensor:
    """(N, K, 3) points at ``xy``; those that are not labeled stay at 0, 0."""
    visibility = points[..., 2:]
    return torch.cat([torch.where(visibility > 0, xy, 0.0), visibility], dim=-1)


def _inside(points: Tensor, x: int, y: int, size_hw: Size) -> Tensor:
    """Points in the window at (x, y); those outside are not labeled."""
    xy = points[..., :2] - torch.tensor([x, y])
    limits = torch.tensor([size_hw[1], size_hw[0]])
    outside = ((xy < 0) | (xy > limits)).any(dim=-1, keepdim=True)
    visibility = torch.where(outside, 0.0, points[..., 2:])
    return _placed(torch.cat([xy, visibility], dim=-1), xy)


def _swapped(count: int, pairs: Sequence[tuple[int, int]]) -> Tensor:
    order = torch.arange(count)
    for left, right in pairs:
        order[left], order[right] = right, left
    return order


def _nearest(masks: Tensor, size_wh: Size) -> Tensor:
    """(N, H, W) of any type, at the pixel whose center is nearest."""
    size_hw = [size_wh[1], size_wh[0]]
    if not len(masks):
        return masks.new_zeros((0, *size_hw))
    # Exact, as NEAREST rounds pixel centers down and so shifts masks; floats, as there is no kernel for bool.
    scaled: Tensor = functional.resize(masks.float(), size_hw, interpolation=InterpolationMode.NEAREST_EXACT)
    return scaled.to(masks.dtype)


def _any_pixel(masks: Tensor) -> Tensor:
    return masks.flatten(1).any(dim=1)


def _around(masks: Tensor, boxes: Tensor) -> Tensor:
    """Boxes cut to their masks' bounds; as they are where the two have nothing in common."""
    # masks_to_boxes gives the last pixel; boxes end behind it.
    bounds = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
    both = torch.cat([torch.maximum(boxes, bounds)[:, :2], torch.minimum(boxes, bounds)[:, 2:]], dim=1)
    return torch.where((both[:, 2:] > both[:, :2]).all(dim=1, keepdim=True), both, boxes)
