"""Named image transforms that know how to map sizes, cameras and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Protocol

import numpy as np

from anydet.geometry import cameras, masks
from anydet.types import (
    RLE,
    BoolArray,
    ByteImage,
    FloatArray,
    ImagePredictions,
    IntArray,
    Intrinsics,
    Poses,
    Size,
)


# Not torchvision's v2 transforms: core imports no torch, and those neither map results back to the source
# image nor know cameras and poses.
class Transform(Protocol):
    """One step from an image to another that shows the same: a frozen, picklable value.

    A record applies its transforms in order; ``source_wh`` is the size before this one. ``PixelTransform`` is
    the base of those that leave each pixel where it is.
    """

    @property
    def keeps_geometry(self) -> bool:
        """Whether each pixel stays where it is, so that labels of the source are right for the derived image.

        Labels and class masks of a record stay where it is true, and are dropped where it is false.
        """

    def image(self, image: ByteImage) -> ByteImage:
        """Apply to (H, W, 3) uint8, which is left as it is."""

    def size(self, source_wh: Size) -> Size:
        """Size of the derived image."""

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Camera of the derived image."""

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Results on the derived image, mapped back to the source image."""


class PixelTransform(ABC):
    """Base of transforms that change values of pixels and nothing else: ``image`` is all that they are."""

    __slots__ = ()
    keeps_geometry: ClassVar[bool] = True

    @abstractmethod
    def image(self, image: ByteImage) -> ByteImage:
        """Apply to (H, W, 3) uint8, which is left as it is; the size stays."""

    def size(self, source_wh: Size) -> Size:
        """Unchanged."""
        return source_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Unchanged."""
        return camera

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Unchanged."""
        return predictions


@dataclass(frozen=True, slots=True)
class _Flip:
    """Mirror along an axis of the image.

    Results come back without rotations: the mirror image of an object is another object, of which no turn of
    the real one is the rotation. Where its center is, and how far away, stays true.

    Attributes:
        keypoint_pairs: (left, right) indices that swap names in the mirror.
    """

    keeps_geometry: ClassVar[bool] = False
    axis: ClassVar[int]
    keypoint_pairs: tuple[tuple[int, int], ...] = ()

    def image(self, image: ByteImage) -> ByteImage:
        """Columns or rows in reverse order."""
        # A view would have a negative stride, which torch.from_numpy refuses.
        return np.ascontiguousarray(np.flip(image, 1 - self.axis))

    def size(self, source_wh: Size) -> Size:
        """Unchanged."""
        return source_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Principal point mirrored."""
        return cameras.mirrored(camera, source_wh[self.axis], self.axis)

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Mirror boxes, masks and keypoints back, and what poses say about places."""
        side = float(source_wh[self.axis])
        low, high = self.axis, self.axis + 2
        boxes = predictions.boxes_xyxy_px.copy()
        # The right edge becomes the left one, so that x1 stays below x2.
        boxes[:, [low, high]] = side - boxes[:, [high, low]]
        order = self._keypoint_order(predictions)
        visibility = predictions.keypoint_visibility

        def points(xy: FloatArray) -> FloatArray:
            xy = xy.copy()
            xy[..., self.axis] = side - xy[..., self.axis]
            return xy

        return replace(
            map_points_and_masks(
                predictions,
                source_wh,
                points=points,
                mask=lambda m: np.flip(m, 1 - self.axis),
                keypoint_order=order,
            ),
            boxes_xyxy_px=boxes,
            keypoint_visibility=visibility if visibility is None or order is None else visibility[:, order],
            poses=None if predictions.poses is None else _mirror_poses(predictions.poses, self.axis),
        )

    def _keypoint_order(self, predictions: ImagePredictions) -> IntArray | None:
        if predictions.keypoints is None:
            return None
        order = np.arange(predictions.keypoints.shape[1])
        for left, right in self.keypoint_pairs:
            order[[left, right]] = order[[right, left]]
        return order


class HorizontalFlip(_Flip):
    """Mirror left and right; poses come back without rotations, of which a mirror image has others."""

    __slots__ = ()
    axis: ClassVar[int] = 0


class VerticalFlip(_Flip):
    """Mirror top and bottom; as left and right, also in that keypoints swap names."""

    __slots__ = ()
    axis: ClassVar[int] = 1


def mirrored_pairs(keypoint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(left, right) positions of names that differ only in these words: ``left_eye`` and ``right_eye``."""
    positions = {name.lower(): i for i, name in enumerate(keypoint_names)}
    pairs = (
        (i, positions.get(name.replace("left", "right"))) for name, i in positions.items() if "left" in name
    )
    return tuple((left, right) for left, right in pairs if right is not None)


@dataclass(frozen=True, slots=True)
class QuarterTurns:
    """Turn counterclockwise by multiples of 90 degrees.

    A pose turns along, as if the camera had turned around its axis, and comes back exactly.

    Attributes:
        turns: 1, 2 or 3.
    """

    keeps_geometry: ClassVar[bool] = False
    turns: int

    def image(self, image: ByteImage) -> ByteImage:
        """The turned pixels."""
        return np.ascontiguousarray(np.rot90(image, self.turns))

    def size(self, source_wh: Size) -> Size:
        """Sides swapped by an odd number of turns."""
        width, height = source_wh
        return (height, width) if self.turns % 2 else source_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Focal lengths swapped by an odd number of turns, principal point turned."""
        for width, height in self._sizes(source_wh):
            camera = cameras.turned(camera, (width, height))
        return camera

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Turn boxes, masks, keypoints and poses back."""
        boxes, poses, sizes = predictions.boxes_xyxy_px, predictions.poses, self._sizes(source_wh)

        def points(xy: FloatArray) -> FloatArray:
            # What a turn puts at (y, width - x) was at (x, y).
            for width, _ in reversed(sizes):
                xy = np.stack([width - xy[..., 1], xy[..., 0]], axis=-1)
            return xy

        corners = np.concatenate([points(boxes[:, :2]), points(boxes[:, 2:])], axis=1).reshape(-1, 2, 2)
        for _ in sizes:
            poses = None if poses is None else _turn_poses_back(poses)
        return replace(
            map_points_and_masks(
                predictions,
                source_wh,
                points=points,
                mask=lambda m: np.rot90(m, -self.turns),
            ),
            boxes_xyxy_px=np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1),
            poses=poses,
        )

    def _sizes(self, source_wh: Size) -> list[Size]:
        """(width, height) before each turn."""
        return [source_wh[::-1] if i % 2 else source_wh for i in range(self.turns)]


@dataclass(frozen=True, slots=True)
class Resize:
    """Scale to a size, bilinear.

    Attributes:
        size_wh: (width, height) of the derived image.
    """

    keeps_geometry: ClassVar[bool] = False
    size_wh: Size

    def image(self, image: ByteImage) -> ByteImage:
        """Pillow's bilinear filter (antialiased where it shrinks)."""
        from PIL import Image

        return np.array(Image.fromarray(image).resize(self.size_wh, Image.Resampling.BILINEAR))

    def size(self, source_wh: Size) -> Size:
        """The target size."""
        return self.size_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Focal lengths and principal point scaled."""
        return cameras.scaled(camera, source_wh, self.size_wh)

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Scale back; poses, being in camera coordinates, stay, but for what they hold in pixels."""
        scale = np.array(source_wh, np.float64) / np.array(self.size_wh, np.float64)
        poses = predictions.poses
        if poses is not None and poses.offsets_px is not None:
            poses = replace(poses, offsets_px=poses.offsets_px * scale)
        if poses is not None and poses.k_delta is not None:  # dfx, dfy are ratios, dcx, dcy pixels
            poses = replace(poses, k_delta=poses.k_delta * np.concatenate([[1.0, 1.0], scale]))
        return replace(
            map_points_and_masks(
                predictions,
                source_wh,
                points=lambda xy: xy * scale,
                mask=lambda m: _resize_mask(m, source_wh),
            ),
            boxes_xyxy_px=predictions.boxes_xyxy_px * np.concatenate([scale, scale]),
            poses=poses,
        )


@dataclass(frozen=True, slots=True)
class Crop:
    """Cut out a window inside the image.

    Attributes:
        x_px: left edge.
        y_px: top edge.
        size_wh: (width, height) of the window.
    """

    keeps_geometry: ClassVar[bool] = False
    x_px: int
    y_px: int
    size_wh: Size

    def image(self, image: ByteImage) -> ByteImage:
        """The window's pixels."""
        width, height = self.size_wh
        # A copy: rows of full width are contiguous already, and would share the image's memory.
        return np.array(image[self.y_px : self.y_px + height, self.x_px : self.x_px + width], order="C")

    def size(self, source_wh: Size) -> Size:
        """The window's size."""
        return self.size_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Principal point moved."""
        return cameras.cropped(camera, self.x_px, self.y_px)

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Move back into the whole image."""
        shift = np.array([self.x_px, self.y_px], np.float64)
        return replace(
            map_points_and_masks(
                predictions, source_wh, points=lambda xy: xy + shift, mask=lambda m: self._paste(m, source_wh)
            ),
            boxes_xyxy_px=predictions.boxes_xyxy_px + np.concatenate([shift, shift]),
        )

    def _paste(self, mask: BoolArray, source_wh: Size) -> BoolArray:
        whole = np.zeros((source_wh[1], source_wh[0]), np.bool_)
        height, width = mask.shape
        whole[self.y_px : self.y_px + height, self.x_px : self.x_px + width] = mask
        return whole


def map_points_and_masks(
    predictions: ImagePredictions,
    source_wh: Size,
    *,
    points: Callable[[FloatArray], FloatArray],
    mask: Callable[[BoolArray], BoolArray],
    keypoint_order: IntArray | None = None,
) -> ImagePredictions:
    """Results with points and masks moved; boxes and poses are left to the caller.

    Args:
        predictions: on the derived image.
        source_wh: size of the image to which they are brought back.
        points: (..., 2) coordinates there of coordinates on the derived image.
        mask: (H, W) mask there of one on the derived image.
        keypoint_order: new order of the keypoints, or ``None``.
    """

    def recode(rle: RLE | None) -> RLE | None:
        return None if rle is None else masks.encode(mask(masks.decode(rle)))

    keypoints = predictions.keypoints
    if keypoints is not None:
        keypoints = np.concatenate([points(keypoints[..., :2]), keypoints[..., 2:]], axis=-1)
        keypoints = keypoints if keypoint_order is None else keypoints[:, keypoint_order]
    semantic = predictions.semantic_mask
    return replace(
        predictions,
        size_wh=source_wh,
        keypoints=keypoints,
        masks=None if predictions.masks is None else tuple(map(recode, predictions.masks)),
        semantic_mask=None
        if semantic is None
        else {k: masks.encode(mask(masks.decode(v))) for k, v in semantic.items()},
    )


def _resize_mask(mask: BoolArray, size_wh: Size) -> BoolArray:
    from PIL import Image

    # Every other filter gives values between 0 and 1 at the edges.
    resized = Image.fromarray(mask.astype(np.uint8)).resize(size_wh, Image.Resampling.NEAREST)
    return np.asarray(resized).astype(np.bool_)


def _mirror_poses(poses: Poses, axis: int) -> Poses | None:
    """Places mirrored, without rotations; ``None`` where nothing is left."""
    mirror = np.where(np.arange(3) == axis, -1.0, 1.0)
    # Focal lengths are the same in the mirror; the shift of the principal point changes sides.
    return _transform_poses(
        replace(poses, rotations=None, rot6d=None, log_sigma_rot=None),
        np.diag(mirror),
        k_delta=lambda k: k * np.concatenate([[1.0, 1.0], mirror[:2]]),
    )


_TURN_BACK = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""From camera coordinates of the turned image to those of its source: x right is -y, which points up."""


def _turn_poses_back(poses: Poses) -> Poses | None:
    """Poses on the image before a quarter turn."""

    def k_delta(k: FloatArray) -> FloatArray:
        return np.stack([k[:, 1], k[:, 0], -k[:, 3], k[:, 2]], axis=1)

    return _transform_poses(poses, _TURN_BACK, k_delta=k_delta)


def _transform_poses(
    poses: Poses, matrix: FloatArray, *, k_delta: Callable[[FloatArray], FloatArray]
) -> Poses | None:
    """Poses in camera coordinates that a matrix (3, 3) leads to; ``None`` where there is no field."""

    def each(column: FloatArray | None, apply: Callable[[FloatArray], FloatArray]) -> FloatArray | None:
        return None if column is None else apply(column)

    moved = replace(
        poses,
        rotations=each(poses.rotations, lambda r: matrix @ r),
        # Two columns of three.
        rot6d=each(poses.rot6d, lambda r: (r.reshape(-1, 2, 3) @ matrix.T).reshape(-1, 6)),
        translations_m=each(poses.translations_m, lambda t: t @ matrix.T),
        offsets_px=each(poses.offsets_px, lambda o: o @ matrix[:2, :2].T),
        k_delta=each(poses.k_delta, k_delta),
    )
    return moved if any(getattr(moved, field.name) is not None for field in fields(moved)) else None
