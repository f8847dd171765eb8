"""``Warp``: how an image is moved within its frame, and its labels with it.

A homography of the plane, which is exact for what it is used for here: a turn of the camera around its own
center moves every point by ``K R K^-1``, however far away it is, and a change of the focal length scales the
image around the principal point (Hartley and Zisserman 2004, "Multiple View Geometry", section 8.4). A camera
that moves sideways is no such case: what is near moves more than what is far.

Coordinates are continuous: the center of the first pixel is at 0.5, 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from anydet.geometry import masks, outlines
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.pose_errors import project
from anydet.geometry.poses import resolve
from anydet.geometry.rotations import matrix_to_rot6d
from anydet.types import (
    RLE,
    BoolArray,
    ByteImage,
    FloatArray,
    Intrinsics,
    Labels,
    Poses,
    Segmentation,
    Size,
)

FILL = 114
"""Gray of what the changed image shows beyond the source, as letterboxing has it."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """An object in the changed image.

    Attributes:
        box_xyxy_px: (4,) around what is visible of it.
        area: square pixels of that, counted as the source counts.
        segmentation: of the same kind as the source's.
        visible: fraction of the object that is within the image.
    """

    box_xyxy_px: FloatArray
    area: float
    segmentation: Segmentation
    visible: float


@dataclass(frozen=True, eq=False)
class Warp:
    """A homography from an image to another of the same size.

    Attributes:
        matrix: (3, 3) from pixels of the source to pixels of the changed image.
        turn: (3, 3) from camera coordinates of the source to those of the changed image.
        source: camera of the source, or ``None`` where it is unknown: poses are then unknown, too.
        camera: of the changed image.
        size_wh: (width, height) of both.
    """

    matrix: FloatArray
    turn: FloatArray
    source: Intrinsics | None
    camera: Intrinsics | None
    size_wh: Size

    @classmethod
    def turned(cls, turn: FloatArray, camera: Intrinsics | None, size_wh: Size) -> Warp:
        """What a camera sees that turned around its center; the intrinsics stay.

        An unknown camera is taken to look at the middle of the image with a focal length of its longer side.

        Args:
            turn: (3, 3) X' = turn X.
            camera: of the image, or ``None``.
            size_wh: of the image.
        """
        seen_by = camera or Intrinsics(*(float(max(size_wh)),) * 2, size_wh[0] / 2, size_wh[1] / 2)
        k = _matrix(seen_by)
        return cls(k @ turn @ np.linalg.inv(k), turn, camera, camera, size_wh)

    @classmethod
    def zoomed(cls, factor: float, camera: Intrinsics | None, size_wh: Size) -> Warp:
        """What a camera sees with its focal lengths times a factor; poses stay as they are.

        The point that stays is the principal point, or the middle of the image of an unknown camera.
        """
        x, y = (camera.cx, camera.cy) if camera else (size_wh[0] / 2, size_wh[1] / 2)
        matrix = np.array([[factor, 0, x - factor * x], [0, factor, y - factor * y], [0, 0, 1]])
        zoomed = camera and Intrinsics(factor * camera.fx, factor * camera.fy, camera.cx, camera.cy)
        return cls(matrix, np.eye(3), camera, zoomed, size_wh)

    def points(self, xy: FloatArray) -> FloatArray:
        """(..., 2) where points of the source are in the changed image."""
        moved = xy @ self.matrix[:, :2].T + self.matrix[:, 2]
        there: FloatArray = moved[..., :2] / moved[..., 2:]
        return there

    def image(self, image: ByteImage) -> ByteImage:
        """(H, W, 3) uint8: bilinear; where the image shrinks, drawn larger and averaged."""
        from PIL import Image

        middle = np.array(self.size_wh) / 2
        # Square pixels of the source per pixel of the changed image.
        shrunk = 1 / abs(np.linalg.det(self._jacobian(np.linalg.solve(self.matrix, [*middle, 1]))))
        over = max(1, int(np.ceil(np.sqrt(shrunk) - 1e-9)))
        drawn = Image.fromarray(image).transform(
            (self.size_wh[0] * over, self.size_wh[1] * over),
            Image.Transform.PERSPECTIVE,
            self._backwards(over),
            Image.Resampling.BILINEAR,
            fillcolor=(FILL,) * 3,
        )
        return np.array(drawn.reduce(over) if over > 1 else drawn)

    def mask(self, mask: BoolArray) -> BoolArray:
        """(H, W) the mask moved: each pixel is that of the source whose center is nearest."""
        from PIL import Image

        drawn = Image.fromarray(mask.astype(np.uint8)).transform(
            self.size_wh, Image.Transform.PERSPECTIVE, self._backwards(), Image.Resampling.NEAREST
        )
        return np.asarray(drawn).astype(np.bool_)

    def semantic(self, found: Mapping[int, RLE]) -> dict[int, RLE]:
        """Class masks moved; what comes from beyond the source has no class, as if unlabeled."""
        return {name: masks.encode(self.mask(masks.decode(rle))) for name, rle in found.items()}

    def labels(self, labels: Labels, least_visible: float) -> Labels:
        """Labels of the changed image.

        Polygons and keypoints are moved exactly and masks pixel by pixel; a box is that around what is
        visible of the object's outline, or of the ellipse within its box where no outline is known. (A box
        around the corners of the old one would be too large: Kalra et al. 2021, "Towards Rotation Invariance
        in Object Detection".) Objects that left the image are left out; of whose outline less than
        ``least_visible`` is left count neither way, as crowds do.
        """
        moved = [self._object(labels, row) for row in range(len(labels))]
        there = np.array([one.visible > 0 for one in moved], np.bool_)
        old = xywh_to_xyxy(labels.boxes_xywh_px)[there]
        kept, moved = labels.take(there), [one for one in moved if one.visible > 0]
        boxes = np.array([one.box_xyxy_px for one in moved], np.float64).reshape(-1, 4)
        hardly = np.array([one.visible < least_visible for one in moved], np.bool_)
        return replace(
            kept,
            boxes_xywh_px=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1),
            areas=np.array([one.area for one in moved], np.float64),
            iscrowd=kept.iscrowd | hardly,
            segmentations=None if kept.segmentations is None else tuple(one.segmentation for one in moved),
            keypoints=None if kept.keypoints is None else self._keypoints(kept.keypoints),
            poses=None if kept.poses is None else self.poses(kept.poses, old, boxes),
        )

    def poses(self, poses: Poses, old_xyxy_px: FloatArray, new_xyxy_px: FloatArray) -> Poses | None:
        """Poses in the changed camera: R' = turn R, t' = turn t; ``None`` where no camera is known.

        Args:
            poses: of N objects.
            old_xyxy_px: (N, 4) their boxes in the source.
            new_xyxy_px: (N, 4) in the changed image.
        """
        if self.source is None or self.camera is None:
            return None
        rotations, translations = resolve(poses, old_xyxy_px, self.source)
        rotations, translations = self.turn @ rotations, translations @ self.turn.T
        centers = (new_xyxy_px[:, :2] + new_xyxy_px[:, 2:]) / 2
        has_depth = poses.log_z is not None
        with np.errstate(invalid="ignore", divide="ignore"):
            return Poses(
                log_z=np.log(translations[:, 2]) if has_depth else None,
                rot6d=None if poses.rot6d is None else matrix_to_rot6d(rotations),
                rotations=None if poses.rotations is None else rotations,
                translations_m=None if poses.translations_m is None else translations,
                # Depth alone would put the object behind the middle of its box.
                offsets_px=project(translations, self.camera) - centers if has_depth else None,
            )

    def _object(self, labels: Labels, row: int) -> _Moved:
        segmentation = None if labels.segmentations is None else labels.segmentations[row]
        area = float(labels.areas[row])
        if isinstance(segmentation, RLE):
            return self._of_mask(segmentation, area)
        if segmentation:
            return self._of_polygons([np.array(ring).reshape(-1, 2) for ring in segmentation], area)
        return self._of_box(labels.boxes_xywh_px[row], area)

    def _of_polygons(self, rings: list[FloatArray], area: float) -> _Moved:
        moved = [self.points(ring) for ring in rings]
        seen = [outlines.clipped(ring, self.size_wh) for ring in moved]
        before, after, inside = map(_area, (rings, moved, seen))
        seen = [ring for ring in seen if _area([ring]) > 0]
        if not seen or not after:
            return _gone()
        corners = np.concatenate(seen)
        return _Moved(
            np.concatenate([corners.min(axis=0), corners.max(axis=0)]),
            area * inside / before if before else inside,
            tuple(tuple(ring.ravel().tolist()) for ring in seen),
            inside / after,
        )

    def _of_mask(self, rle: RLE, area: float) -> _Moved:
        mask = masks.decode(rle)
        moved = self.mask(mask)
        if not moved.any():
            return _gone()
        before, inside = int(mask.sum()), int(moved.sum())
        rows, columns = np.nonzero(mask)
        middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        after = before * abs(np.linalg.det(self._jacobian(middle)))
        coded = masks.encode(moved)
        box = xywh_to_xyxy(masks.bounds_xywh(coded)[None])[0]
        return _Moved(box, area * inside / before, coded, min(1.0, inside / after))

    def _of_box(self, box_xywh_px: FloatArray, area: float) -> _Moved:
        half = box_xywh_px[2:] / 2
        center = box_xywh_px[:2] + half
        # Of an ellipse under an affine map exactly; under a homography to first order around its center.
        reach = np.sqrt((self._jacobian(center) ** 2) @ half**2)
        middle = self.points(center)
        whole = np.concatenate([middle - reach, middle + reach])
        box = np.clip(whole, 0, [*self.size_wh, *self.size_wh])
        inside, after = np.prod(box[2:] - box[:2]), np.prod(2 * reach)
        if not inside > 0:
            return _gone()
        return _Moved(box, float(area * inside / np.prod(box_xywh_px[2:])), None, float(inside / after))

    def _keypoints(self, keypoints: FloatArray) -> FloatArray:
        """(N, K, 3) moved; a point outside of the image is not labeled (visibility 0), as in COCO."""
        xy = self.points(keypoints[..., :2])
        with np.errstate(invalid="ignore"):
            outside = ((xy < 0) | (xy > self.size_wh)).any(axis=-1)
        moved = np.concatenate([xy, keypoints[..., 2:]], axis=-1)
        unlabeled = (keypoints[..., 2] == 0) | (outside & np.isfinite(keypoints[..., 2]))
        moved[unlabeled] = 0.0
        return moved

    def _jacobian(self, point: FloatArray) -> FloatArray:
        """(2, 2) derivative of ``points`` at a point (x, y) or (x, y, w) of the source."""
        x, y = point[:2] / point[2] if len(point) == 3 else point
        u, v, w = self.matrix @ [x, y, 1.0]
        top, below = self.matrix[:2, :2], self.matrix[2, :2]
        derivative: FloatArray = (top - np.outer([u / w, v / w], below)) / w
        return derivative

    def _backwards(self, over: int = 1) -> tuple[float, ...]:
        """Pillow's numbers: from the changed image, drawn ``over`` times larger, to the source."""
        inverse = np.linalg.inv(np.diag([over, over, 1.0]) @ self.matrix)
        return tuple((inverse / inverse[2, 2]).ravel()[:8].tolist())


def _area(rings: list[FloatArray]) -> float:
    return sum(outlines.area(ring.ravel().tolist()) for ring in rings)


def _gone() -> _Moved:
    return _Moved(np.zeros(4), 0.0, None, 0.0)


def _matrix(camera: Intrinsics) -> FloatArray:
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
