"""``PoseHeads``: what heads of a detector's queries say of poses, and the poses that it means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import clip_xyxy
from anydet.geometry.cameras import translation_m
from anydet.geometry.placement import Placement
from anydet.geometry.rotations import matrix_to_rot6d, rot6d_to_matrix, turn_to
from anydet.types import FloatArray, Intrinsics, Poses, Size


@dataclass(frozen=True, slots=True, eq=False)
class PoseHeads:
    """Raw outputs for N queries of one image.

    Depths are those that a camera of one focal length would see (Brazil et al. 2023, "Omni3D"): what an image
    shows of size and distance is ambiguous without the focal length. Rotations are relative to the ray to the
    object (Kundu et al. 2018, "3D-RCNN"; allocentric), as an object that moves sideways shows another side.

    Attributes:
        log_z: (N,) log of the depth in meters that the object's center would have if the focal length were
            the input's longer side in pixels.
        rot6d: (N, 6) first two columns of R as seen along the ray to the object.
        offsets: (N, 2) projected center minus box center, in widths and heights of the box.
        log_sigma_z: (N,) predicted uncertainty of ``log_z``, or ``None``.
        log_sigma_rot: (N,) predicted uncertainty of the rotation, or ``None``.
        camera_delta: (4,) the image's camera relative to ``nominal_camera``: dfx and dfy as parts of the
            focal length, dcx and dcy of the input's width and height; ``None`` where it is not predicted.
    """

    log_z: FloatArray
    rot6d: FloatArray
    offsets: FloatArray
    log_sigma_z: FloatArray | None = None
    log_sigma_rot: FloatArray | None = None
    camera_delta: FloatArray | None = None

    def poses(
        self, boxes_xyxy_px: FloatArray, placement: Placement, camera: Intrinsics | None
    ) -> tuple[Poses, Intrinsics | None]:
        """Poses for boxes clipped to the image, in its own pixels, and the camera they were predicted with.

        An unknown camera is the nominal one, corrected by ``camera_delta``. Without that there are depths as
        the nominal camera would see them, and no translations.

        Args:
            boxes_xyxy_px: (N, 4) boxes of the queries in pixels of the input.
            placement: where the image stands in the input.
            camera: of the image, or ``None``.
        """
        input_wh = np.array(placement.input_wh, np.float64)
        sides = boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]
        centers = _middles(boxes_xyxy_px) + self.offsets * sides
        middles = _middles(clip_xyxy(placement.to_image(boxes_xyxy_px), placement.image_wh))
        offsets = placement.points_to_image(centers) - middles
        used, delta = nominal_camera(placement.input_wh), None
        if camera is not None:
            used = placement.camera_to_input(camera)
        elif self.camera_delta is not None:
            camera = placement.camera_to_image(used)
            used = self._corrected(used, input_wh)
            pixels = np.concatenate([[1.0, 1.0], input_wh * placement.scale_xy])
            delta = np.tile(self.camera_delta * pixels, (len(boxes_xyxy_px), 1))
        log_z = self.log_z + (np.log(used.fx) + np.log(used.fy)) / 2 - np.log(input_wh.max())
        rotations = turn_to(_rays(centers, used)) @ rot6d_to_matrix(self.rot6d)
        poses = Poses(
            log_z=log_z,
            rot6d=matrix_to_rot6d(rotations),
            rotations=rotations,
            translations_m=None if camera is None else translation_m(middles, log_z, camera, offsets, delta),
            offsets_px=offsets,
            k_delta=delta,
            log_sigma_z=self.log_sigma_z,
            log_sigma_rot=self.log_sigma_rot,
        )
        return poses, camera

    def _corrected(self, nominal: Intrinsics, input_wh: FloatArray) -> Intrinsics:
        assert self.camera_delta is not None
        dfx, dfy, dcx, dcy = self.camera_delta * [nominal.fx, nominal.fy, *input_wh]
        # a negative prediction becomes a very short focal length
        focal = max(nominal.fx + dfx, 1e-3), max(nominal.fy + dfy, 1e-3)
        return Intrinsics(*focal, nominal.cx + dcx, nominal.cy + dcy)


def nominal_camera(size_wh: Size) -> Intrinsics:
    """Camera of an input of which none is known: focal length as long as the longer side, center in it."""
    width, height = size_wh
    side = float(max(width, height))
    return Intrinsics(side, side, width / 2, height / 2)


def _middles(boxes_xyxy: FloatArray) -> FloatArray:
    return (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2


def _rays(points_px: FloatArray, camera: Intrinsics) -> FloatArray:
    """(N, 3) directions of (N, 2) points."""
    across = (points_px - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return np.concatenate([across, np.ones((len(across), 1))], axis=1)
