from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.spatial.transform import Rotation
from torchvision.ops import box_convert, generalized_box_iou_loss, sigmoid_focal_loss

from anydet_rtdetr_pose.box_iou import iou_and_giou
from anydet_rtdetr_pose.losses import detection, pose
from anydet_rtdetr_pose.pose_decoding import decode_poses
from anydet_rtdetr_pose.rotation import matrix_from_rot6d

pytestmark = pytest.mark.slow

TORCH = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=TORCH, dtype=torch.float64)


def boxes(count: int) -> torch.Tensor:
    return torch.cat([0.3 + 0.4 * normal(count, 2).sigmoid(), 0.1 + 0.3 * normal(count, 2).sigmoid()], dim=1)


def agrees_with_finite_differences(function, *values: torch.Tensor) -> bool:
    return torch.autograd.gradcheck(function, [value.clone().requires_grad_() for value in values])


TARGET_BOXES, DEPTHS = boxes(5), normal(5).exp()
ROTATIONS = torch.from_numpy(Rotation.random(5, random_state=0).as_matrix())
SCORES = torch.where(normal(3, 4) > 0, normal(3, 4).sigmoid(), torch.zeros(3, 4, dtype=torch.float64))
KEYPOINTS = torch.cat([normal(5, 2, 2).sigmoid(), torch.tensor([2.0, 0.0]).expand(5, 2)[..., None]], dim=-1)
CAMERA = torch.tensor([90.0, 95.0, 48.0, 33.0], dtype=torch.float64)
SIZE = torch.tensor([96.0, 64.0], dtype=torch.float64)
IDENTITY = torch.tensor([1.0, 0, 0, 0, 1, 0], dtype=torch.float64).expand(5, 6)
PREDICTED, CENTERS = boxes(5), boxes(5)[:, :2]


def translations(log_z: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    heads = {"log_z": log_z[:, None], "rot6d": IDENTITY, "offsets": offsets}
    return decode_poses(heads, TARGET_BOXES, CAMERA, SIZE).translations_m


CASES = {
    "focal": (lambda x: detection.focal_loss(x, (SCORES > 0).double()), normal(3, 4)),
    "varifocal": (
        lambda x: detection.weighted_cross_entropy(
            x, SCORES, detection.varifocal_weights(SCORES.flip(0), SCORES)
        ),
        normal(3, 4),
    ),
    "box": (lambda x: detection.box_l1_loss(x, TARGET_BOXES), boxes(5)),
    "giou": (lambda x: detection.giou_loss(x, TARGET_BOXES), boxes(5)),
    "giou of boxes apart": (lambda x: detection.giou_loss(x + 2, TARGET_BOXES), boxes(5)),
    "log_z": (lambda x: pose.log_z_loss(x, DEPTHS), normal(5)),
    "rotation": (lambda x: pose.rotation_loss(matrix_from_rot6d(x), ROTATIONS), normal(5, 6)),
    "offsets": (lambda x: pose.offset_loss(x, PREDICTED, CENTERS, TARGET_BOXES), normal(5, 2)),
    "camera": (lambda x: pose.camera_loss(x, ROTATIONS.flatten(1)[:, :4]), normal(5, 4)),
    "keypoints": (
        lambda x: torch.stack(pose.keypoint_losses(x, TARGET_BOXES.flip(0), KEYPOINTS)),
        normal(5, 2, 3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name):
    function, values = CASES[name]
    assert agrees_with_finite_differences(function, values)


def test_the_gradient_of_translations_goes_through_depth_and_offsets():
    target = torch.cat([normal(5, 2), DEPTHS[:, None]], dim=1)
    assert agrees_with_finite_differences(
        lambda z, off: pose.translation_loss(translations(z, off), target), normal(5), normal(5, 2)
    )


def test_the_gradient_of_uncertainty_goes_through_errors_and_scales():
    assert agrees_with_finite_differences(pose.by_uncertainty, normal(5).abs(), normal(5))


def test_uncertainty_is_cheapest_where_the_scale_is_the_error():
    error = torch.tensor([0.3], dtype=torch.float64)
    costs = [float(pose.by_uncertainty(error, error.log() + shift)) for shift in (-0.2, 0.0, 0.2)]
    assert costs[1] < min(costs[0], costs[2])


def test_weights_of_the_varifocal_loss_carry_no_gradient():
    logits = normal(3, 4).requires_grad_()
    detection.varifocal_loss(logits, SCORES).backward()
    weights = detection.varifocal_weights(logits.detach().sigmoid(), SCORES)
    assert torch.allclose(logits.grad, weights * (logits.detach().sigmoid() - SCORES))


def test_the_focal_loss_is_that_of_torchvision():
    logits, found = normal(6, 3), (normal(6, 3) > 0).double()
    expected = sigmoid_focal_loss(logits, found, alpha=0.25, gamma=2, reduction="sum")
    assert torch.allclose(detection.focal_loss(logits, found), expected)


def test_the_overlap_loss_is_that_of_torchvision():
    some = torch.cat([boxes(5), boxes(5) + 2])
    others = TARGET_BOXES.repeat(2, 1)
    corners = [box_convert(each, "cxcywh", "xyxy") for each in (some, others)]
    expected = generalized_box_iou_loss(*corners, reduction="sum", eps=1e-9)
    assert torch.allclose(detection.giou_loss(some, others), expected)


def test_a_box_of_no_size_has_a_finite_overlap_and_gradient():
    flat = torch.zeros(1, 4, requires_grad=True)
    detection.giou_loss(flat, torch.zeros(1, 4)).backward()
    assert torch.isfinite(flat.grad).all()


def test_overlap_of_a_box_with_itself_is_one():
    iou, giou = iou_and_giou(TARGET_BOXES, TARGET_BOXES)
    assert np.allclose(iou, 1)
    assert np.allclose(giou, 1)


def test_heads_of_a_known_pose_decode_to_that_pose():
    heads = {
        "log_z": torch.zeros(1, 1),
        "rot6d": IDENTITY[:1].float(),
        "offsets": torch.tensor([[0.5, 0.0]]),
    }
    camera = torch.tensor([[192.0, 192.0, 48.0, 32.0]])
    decoded = decode_poses(heads, torch.tensor([[0.5, 0.5, 0.5, 0.5]]), camera, SIZE.float())
    assert torch.allclose(decoded.log_z.exp(), torch.tensor([2.0]))  # twice the focal length, twice as far
    assert torch.allclose(decoded.centers_px, torch.tensor([[72.0, 32.0]]))
    assert torch.allclose(decoded.translations_m, torch.tensor([[24 / 192 * 2, 0.0, 2.0]]))
