"""The way back: a model that outputs the ground truth gives the data set's own boxes and poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # importing transformers takes seconds

from torch import nn

from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.cameras import translation_m
from anydet.geometry.poses import resolve
from anydet.training.batches.samples import sample_of
from anydet.types import AdapterSettings
from anydet_bop.scenes.dataset import PoseScenes
from anydet_rtdetr_pose.architecture import Architecture, Inputs
from anydet_rtdetr_pose.inputs import fit, model_input, prepare_image, preprocess
from anydet_rtdetr_pose.outputs import Outputs
from anydet_rtdetr_pose.recovery import delta_to, depth_shift, nominal_camera, projected_px
from anydet_rtdetr_pose.rotation import turn_to
from anydet_rtdetr_pose.targets import stack_targets, targets_of

SCENES = PoseScenes(4, 3, (130, 90))
CLASSES = SCENES.classes.names


class Truth(nn.Module):
    """Says what is on the images that it was made of, whatever it is shown."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.architecture = Architecture(classes=CLASSES, inputs=inputs)
        self.device = torch.device("cpu")
        self.targets = stack_targets([targets_of(fit(sample_of(record), inputs)) for record in SCENES])

    def forward(self, images: torch.Tensor) -> Outputs:
        targets, size = self.targets, torch.tensor(self.architecture.inputs.size_wh).float()
        camera = targets.intrinsics[:, None].expand(*targets.class_ids.shape, 4)
        logits = torch.full((*targets.class_ids.shape, len(CLASSES)), -20.0)
        logits[targets.valid, targets.class_ids[targets.valid]] = 5.0
        centers = projected_px(targets.translations_m, camera) / size
        boxes = targets.boxes.clamp(min=1e-6)
        seen = turn_to(targets.translations_m).mT @ targets.rotations
        heads = {
            "log_z": (targets.translations_m[..., 2].log() - depth_shift(camera, size.max()))[..., None],
            "rot6d": seen[..., :2].mT.flatten(-2),
            "offsets": (centers - boxes[..., :2]) / boxes[..., 2:],
        }
        delta = delta_to(targets.intrinsics, nominal_camera(self.architecture.inputs.size_wh).float(), size)
        layer = {name: torch.nan_to_num(values)[:, None] for name, values in heads.items()}
        return Outputs(logits[:, None], boxes[:, None], layer, logits, boxes, delta)


def predict(inputs: Inputs, records) -> list:
    from anydet_rtdetr_pose.predictor import Predictor

    return list(Predictor(Truth(inputs), AdapterSettings(batch_size=len(SCENES), score_floor=0.5))(records))


@pytest.mark.parametrize(
    "inputs",
    [Inputs(size_wh=(96, 160)), Inputs(size_wh=(96, 160), resize="letterbox")],
    ids=lambda i: i.resize,
)
@pytest.mark.parametrize("camera", ["known", "unknown"])
def test_the_truth_comes_back_as_the_truth(inputs, camera):
    records = [record if camera == "known" else replace(record, camera=None) for record in SCENES]
    for record, found in zip(SCENES, predict(inputs, records), strict=True):
        labels = record.labels
        boxes = xywh_to_xyxy(labels.boxes_xywh_px)
        assert len(found) == len(labels)
        order = [int(np.abs(found.boxes_xyxy_px - box).sum(axis=1).argmin()) for box in boxes]
        assert sorted(order) == list(range(len(labels)))
        same = found.take(np.array(order, np.int64))
        assert np.allclose(same.boxes_xyxy_px, boxes, atol=1e-3)
        assert (same.class_ids == labels.class_ids).all()
        rotations, translations = resolve(labels.poses, boxes, record.camera)
        assert np.allclose(same.poses.rotations, rotations, atol=1e-5)
        assert np.allclose(same.poses.translations_m, translations, atol=1e-4)
        assert np.allclose(np.exp(same.poses.log_z), translations[:, 2], atol=1e-4)


@pytest.mark.parametrize("camera", ["known", "unknown"])
def test_translations_are_those_that_the_contract_recovers_from_the_other_fields(camera):
    records = [record if camera == "known" else replace(record, camera=None) for record in SCENES]
    for found in predict(Inputs(size_wh=(96, 160)), records):
        poses = found.poses
        middles = (found.boxes_xyxy_px[:, :2] + found.boxes_xyxy_px[:, 2:]) / 2
        again = translation_m(middles, poses.log_z, found.intrinsics, poses.offsets_px, poses.k_delta)
        assert np.allclose(again, poses.translations_m)
        assert (poses.k_delta is None) == (camera == "known")


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("size_wh", [(160, 90), (96, 64), (40, 70)])
def test_the_described_preprocessing_gives_the_models_input(resize, size_wh):
    preprocessing = pytest.importorskip("anydet.runtime.preprocess", exc_type=ImportError)
    inputs = Inputs(size_wh=(96, 64), resize=resize)
    image = np.random.default_rng(0).integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8)
    preprocessor = preprocessing.Preprocessor(preprocess(inputs), np.float32)
    (described,), (placement,) = preprocessor.batch([image])
    prepared = prepare_image("a", image, None, inputs)
    np.testing.assert_allclose(described, model_input(prepared.pixels).numpy(), atol=1e-6)
    assert placement == prepared.placement
