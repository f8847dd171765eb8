from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from anydet.training.batches.samples import sample_of
from anydet.training.batches.transforms import crop, hflip
from anydet_bop.scenes.dataset import PoseScenes
from anydet_rtdetr_pose.architecture import Inputs
from anydet_rtdetr_pose.inputs import fit, prepare
from anydet_rtdetr_pose.recovery import projected_px, translation_m
from anydet_rtdetr_pose.targets import stack_targets, targets_of

pytestmark = pytest.mark.slow

SCENES = PoseScenes(6, 0, (120, 80))
SAMPLES = [sample_of(record) for record in SCENES]
SAMPLE = next(sample for sample in SAMPLES if len(sample) >= 2)


def recovered(targets) -> torch.Tensor:
    """Translations from depths and projected centers, with the camera of the input."""
    camera = targets.intrinsics[0].expand(targets.translations_m.shape[1], 4)
    centers = projected_px(targets.translations_m[0], camera)
    return translation_m(centers, targets.translations_m[0, :, 2].log(), camera)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("change", [None, hflip, lambda sample: crop(sample, (7, 5, 110, 72))])
def test_poses_boxes_and_camera_stay_together_through_every_change(resize, change):
    inputs = Inputs(size_wh=(96, 96), resize=resize)
    sample = SAMPLE if change is None else change(SAMPLE)
    targets = targets_of(fit(sample, inputs))
    assert targets.posed.all()
    assert torch.allclose(recovered(targets), targets.translations_m[0], atol=1e-6)
    own = projected_px(sample.translations_m, sample.intrinsics)
    normalized = (own - sample.boxes[:, :2]) / (sample.boxes[:, 2:] - sample.boxes[:, :2])
    boxes = targets.boxes[0] * 96
    centers = projected_px(targets.translations_m[0], targets.intrinsics.expand(len(own), 4))
    found = (centers - boxes[:, :2] + boxes[:, 2:] / 2) / boxes[:, 2:]
    assert torch.allclose(found.double(), normalized, atol=1e-3)


def test_crowds_are_left_out_and_unknown_poses_are_marked():
    rotations = SAMPLE.rotations.clone()
    rotations[0] = torch.nan
    crowd = torch.zeros(len(SAMPLE), dtype=torch.bool)
    crowd[-1] = True
    targets = targets_of(replace(SAMPLE, rotations=rotations, iscrowd=crowd))
    assert targets.valid.shape[1] == len(SAMPLE) - 1
    assert not targets.posed[0, 0]
    assert torch.isfinite(targets.rotations).all()


def test_without_a_camera_there_are_no_poses():
    targets = targets_of(replace(SAMPLE, intrinsics=None))
    assert not targets.posed.any()
    assert not targets.seen_by.any()
    assert targets.intrinsics[0].tolist() == [120, 120, 60, 40]


def test_a_batch_is_padded_to_its_fullest_image():
    batch = stack_targets([targets_of(sample) for sample in SAMPLES])
    assert batch.valid.sum(dim=1).tolist() == [len(sample) for sample in SAMPLES]
    assert [len(each["boxes"]) for each in batch.labels()] == [len(sample) for sample in SAMPLES]


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_points_and_cameras_go_to_the_input_and_back(resize):
    record = SCENES[0]
    inputs = Inputs(size_wh=(96, 160), resize=resize)
    prepared = prepare(record, inputs)
    assert tuple(prepared.pixels.shape) == (3, 160, 96)
    fitted = fit(SAMPLES[0], inputs)
    # Training resizes by torchvision, which rounds some pixels to the other side.
    assert (prepared.pixels.int() - fitted.image.int()).abs().max() <= 2
    placement = prepared.placement
    seen = placement.camera_to_input(record.intrinsics)
    assert (seen.fx, seen.fy, seen.cx, seen.cy) == pytest.approx(fitted.intrinsics.numpy())
    back = placement.camera_to_image(seen)
    assert (back.fx, back.cx, back.cy) == pytest.approx(
        (record.intrinsics.fx, record.intrinsics.cx, record.intrinsics.cy)
    )
    corners = placement.points_to_image(fitted.boxes.double().numpy().reshape(-1, 2))
    assert corners == pytest.approx(SAMPLES[0].boxes.double().numpy().reshape(-1, 2), abs=1e-3)
