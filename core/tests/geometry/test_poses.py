from __future__ import annotations

import numpy as np
import pytest

from anydet.geometry.poses import axes_px, resolve
from anydet.geometry.rotations import matrix_to_rot6d
from anydet.types import Intrinsics, Poses

CAMERA = Intrinsics(608.268, 600.0, 310.9, 238.6)
BOXES = np.array([[100.0, 80.0, 180.0, 200.0], [300.0, 150.0, 360.0, 190.0]])
_Q = np.linalg.qr(np.random.default_rng(3).normal(size=(2, 3, 3)))[0]
R = _Q * np.linalg.det(_Q)[:, None, None]


def pinhole(points, camera=CAMERA):
    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    homogeneous = K @ points.T
    return (homogeneous[:2] / homogeneous[2]).T


def test_axes_are_the_columns_of_the_rotation_seen_by_the_camera():
    t = np.array([[-0.2, -0.1, 0.7], [0.02, -0.03, 0.5]])
    got = axes_px(Poses(rotations=R, translations_m=t), BOXES, CAMERA)
    for row, side in enumerate((120.0, 60.0)):
        length = 0.5 * side * t[row, 2] / CAMERA.fx
        local = np.vstack([np.zeros(3), length * np.eye(3)])
        assert got[row] == pytest.approx(pinhole(local @ R[row].T + t[row]))


def test_depth_and_rot6d_are_the_same_as_the_pose_they_come_from():
    t = np.array([[-0.2, -0.1, 0.7], [0.02, -0.03, 0.5]])
    centers = (BOXES[:, :2] + BOXES[:, 2:]) / 2
    recovered = Poses(log_z=np.log(t[:, 2]), rot6d=matrix_to_rot6d(R), offsets_px=pinhole(t) - centers)
    rotations, translations = resolve(recovered, BOXES, CAMERA)
    assert rotations == pytest.approx(R)
    assert translations == pytest.approx(t)
    whole = Poses(rotations=R, translations_m=t, log_z=np.zeros(2), rot6d=matrix_to_rot6d(R[::-1]))
    assert np.array_equal(resolve(whole, BOXES, CAMERA)[1], t)
    assert axes_px(recovered, BOXES, CAMERA) == pytest.approx(axes_px(whole, BOXES, CAMERA))


def test_a_corrected_camera_puts_the_origin_on_the_offset_box_center():
    delta = np.array([[0.1, -0.05, 12.0, -7.0]] * 2)
    poses = Poses(log_z=np.zeros(2), rot6d=matrix_to_rot6d(R), k_delta=delta)
    assert axes_px(poses, BOXES, CAMERA)[:, 0] == pytest.approx((BOXES[:, :2] + BOXES[:, 2:]) / 2)


def test_what_is_unknown_or_behind_the_camera_is_nan():
    behind = Poses(rotations=R, translations_m=np.array([[0, 0, -1.0], [0, 0, np.nan]]))
    assert np.isnan(axes_px(behind, BOXES, CAMERA)).all()
    assert np.isnan(axes_px(Poses(), BOXES, CAMERA)).all()
