"""Named image transforms that know how to map sizes, cameras and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
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
class HorizontalFlip:
    """Mirror left and right.

    Poses come back as the mirror image of the object's pose, ``M R M`` with ``M = diag(-1, 1, 1)``: right for
    objects that look the same mirrored, and the usual compromise for the others.

    Attributes:
        keypoint_pairs: (left, right) indices that swap names in the mirror.
    """

    keeps_geometry: ClassVar[bool] = False
    keypoint_pairs: tuple[tuple[int, int], ...] = ()

    def image(self, image: ByteImage) -> ByteImage:
        """Columns in reverse order."""
        # A view would have a negative stride, which torch.from_numpy refuses.
        return np.ascontiguousarray(image[:, ::-1])

    def size(self, source_wh: Size) -> Size:
        """Unchanged."""
        return source_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Principal point mirrored."""
        return cameras.mirrored(camera, source_wh[0])

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Mirror boxes, masks, keypoints and poses back."""
        width = float(source_wh[0])
        boxes = predictions.boxes_xyxy_px
        x1, y1, x2, y2 = boxes.T
        swap = self._swap(predictions)
        visibility = predictions.keypoint_visibility
        return replace(
            map_points_and_masks(
                predictions,
                source_wh,
                points=lambda xy: np.stack([width - xy[..., 0], xy[..., 1]], axis=-1),
                mask=lambda m: m[:, ::-1],
                keypoint_order=swap,
            ),
            # The right edge becomes the left one, so that x1 stays below x2.
            boxes_xyxy_px=np.stack([width - x2, y1, width - x1, y2], axis=1),
            keypoint_visibility=visibility if visibility is None or swap is None else visibility[:, swap],
            poses=None if predictions.poses is None else _mirror_poses(predictions.poses),
        )

    def _swap(self, predictions: ImagePredictions) -> IntArray | None:
        if predictions.keypoints is None:
            return None
        order = np.arange(predictions.keypoints.shape[1])
        for left, right in self.keypoint_pairs:
            order[[left, right]] = order[[right, left]]
        return order


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
        return np.ascontiguousarray(image[self.y_px : self.y_px + height, self.x_px : self.x_px + width])

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


def _mirror_poses(poses: Poses) -> Poses:
    mirror = np.array([-1.0, 1.0, 1.0])
    # M R M, not M R, whose determinant is -1: that is no rotation. As M is diagonal, the product only changes
    # signs of the elements of R.
    matrix = np.outer(mirror, mirror)

    def times(column: FloatArray | None, sign: FloatArray) -> FloatArray | None:
        return None if column is None else column * sign

    return replace(
        poses,
        rotations=times(poses.rotations, matrix),
        rot6d=times(poses.rot6d, np.concatenate([matrix[:, 0], matrix[:, 1]])),
        translations_m=times(poses.translations_m, mirror),
        offsets_px=times(poses.offsets_px, mirror[:2]),
        # Focal lengths are the same in the mirror; the shift of the principal point changes sides.
        k_delta=times(poses.k_delta, np.array([1.0, 1.0, -1.0, 1.0])),
    )
