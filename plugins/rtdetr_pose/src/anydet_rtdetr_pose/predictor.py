"""Records to predictions: classes, boxes, and poses in the camera's frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy, cxcywh_to_xyxy
from anydet.geometry.cameras import translation_m
from anydet.geometry.rotations import matrix_to_rot6d
from anydet.training.predictor import BatchPredictor
from anydet.types import ByteImage, FloatArray, ImagePredictions, Intrinsics, Poses
from anydet_rtdetr_pose.inputs import Prepared, model_input, prepare_image
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.outputs import Outputs
from anydet_rtdetr_pose.pose_decoding import rotations_seen
from anydet_rtdetr_pose.recovery import nominal_camera


@dataclass(frozen=True, slots=True)
class Rows:
    """The best pairs of query and class of one image, and their heads.

    Attributes:
        scores: (N,) falling.
        class_ids: (N,).
        boxes: (N, 4) normalized center and size in the input.
        heads: name -> (N, n); see ``QueryHeads``.
        camera: (4,) of ``CameraHead``, or ``None``.
    """

    scores: FloatArray
    class_ids: FloatArray
    boxes: FloatArray
    heads: Mapping[str, FloatArray]
    camera: FloatArray | None


class Predictor(BatchPredictor[Prepared]):
    """Detections and poses of a ``PoseDetector``; of an image never fewer than there are queries."""

    model: PoseDetector

    def prepare(self, record: Record, image: ByteImage) -> Prepared:
        """The image in the input's size, and the way back to its own pixels."""
        return prepare_image(record.key, image, record.intrinsics, self.model.architecture.inputs)

    def stack(self, batch: list[Prepared]) -> Tensor:
        """(B, 3, H, W) on the model's device."""
        pixels = torch.stack([image.pixels for image in batch])
        return model_input(pixels.to(self.model.device))

    def forward(self, batch: list[Prepared], images: Tensor) -> Outputs:
        """All decoder layers."""
        outputs: Outputs = self.model(images)
        return outputs

    def results(self, batch: list[Prepared], outputs: Outputs) -> list[ImagePredictions]:
        """The best pairs of query and class of each image."""
        return [self._result(*pair) for pair in zip(batch, self._rows(outputs), strict=True)]

    def _rows(self, outputs: Outputs) -> list[Rows]:
        """The best pairs of query and class of each image, by the last decoder layer."""
        probabilities = outputs.logits[:, -1].float().sigmoid()
        # Pairs, not queries: with sigmoid scores one query may find an object in two classes.
        _, queries_count, classes_count = probabilities.shape
        most = max(queries_count, self.settings.max_detections)
        scores, pairs = probabilities.flatten(1).topk(min(most, queries_count * classes_count))
        queries, class_ids = pairs // classes_count, pairs % classes_count
        images = torch.arange(len(queries), device=queries.device)[:, None]
        last = {"boxes": outputs.boxes, **outputs.heads}
        decoded = {name: _numpy(values[:, -1][images, queries]) for name, values in last.items()}
        cameras = None if outputs.camera is None else _numpy(outputs.camera)
        columns = _numpy(scores), class_ids.cpu().numpy()
        return [
            self._above_floor(
                columns[0][image],
                columns[1][image],
                {name: values[image] for name, values in decoded.items()},
                None if cameras is None else cameras[image],
            )
            for image in range(len(scores))
        ]

    def _above_floor(
        self,
        scores: FloatArray,
        class_ids: FloatArray,
        decoded: Mapping[str, FloatArray],
        camera: FloatArray | None,
    ) -> Rows:
        keep = scores >= self.settings.score_floor
        kept = {name: values[keep] for name, values in decoded.items()}
        return Rows(scores[keep], class_ids[keep], kept.pop("boxes"), kept, camera)

    def _result(self, image: Prepared, rows: Rows) -> ImagePredictions:
        size = np.array(self.model.architecture.inputs.size_wh, np.float64)
        corners = cxcywh_to_xyxy(rows.boxes) * np.tile(size, 2)
        boxes = clip_xyxy(image.to_image(corners.reshape(-1, 2, 2)).reshape(-1, 4), image.size_wh)
        keep = area_xyxy(boxes) > 0
        poses, camera = None, image.camera
        if "log_z" in rows.heads:
            poses, camera = self._poses(image, rows, boxes)
        result = ImagePredictions(
            image.key,
            image.size_wh,
            boxes,
            rows.scores,
            rows.class_ids.astype(np.int64),
            keypoints=_keypoints(image, rows, size) if "keypoints" in rows.heads else None,
            poses=poses,
            intrinsics=camera,
        )
        return result if keep.all() else result.take(keep)

    def _poses(self, image: Prepared, rows: Rows, boxes: FloatArray) -> tuple[Poses, Intrinsics | None]:
        """Poses in the image's own pixels, and the camera that they were predicted with.

        An unknown camera is the nominal one, corrected by the image's ``k_delta``. Without
        that head there are depths as the nominal camera would see them, and no translations.
        """
        heads, inputs = rows.heads, self.model.architecture.inputs
        centers = (rows.boxes[:, :2] + heads["offsets"] * rows.boxes[:, 2:]) * np.array(inputs.size_wh)
        offsets = image.to_image(centers) - (boxes[:, :2] + boxes[:, 2:]) / 2
        nominal = nominal_camera(inputs.size_wh).numpy()
        camera, delta, used = image.camera, None, nominal
        if camera is not None:
            used = image.camera_to_input(camera)
        elif rows.camera is not None:
            camera = image.camera_to_image(nominal)
            input_scale = np.concatenate([[1.0, 1.0], np.array(inputs.size_wh)])
            used = nominal + rows.camera * np.concatenate([nominal[:2], inputs.size_wh])
            used[:2] = used[:2].clip(min=1e-3)  # a negative prediction becomes a very short focal length
            change = rows.camera * input_scale / np.concatenate([[1.0, 1.0], image.scale])
            delta = np.tile(change, (len(boxes), 1))
        log_z = heads["log_z"][:, 0] + _depth_shift(used, max(inputs.size_wh))
        seen = (torch.from_numpy(values) for values in (heads["rot6d"], centers, used))
        rotations = rotations_seen(*seen).numpy()
        translations = None
        if camera is not None:
            middles = (boxes[:, :2] + boxes[:, 2:]) / 2
            translations = translation_m(middles, log_z, camera, offsets, delta)
        sigma = {name: heads[name][:, 0] for name in ("log_sigma_z", "log_sigma_rot") if name in heads}
        poses = Poses(
            log_z=log_z,
            rot6d=matrix_to_rot6d(rotations),
            rotations=rotations,
            translations_m=translations,
            offsets_px=offsets,
            k_delta=delta,
            **sigma,
        )
        return poses, camera


def _depth_shift(intrinsics: FloatArray, side_px: int) -> float:
    """As ``recovery.depth_shift``."""
    return float(np.log(intrinsics[:2]).mean() - np.log(side_px))


def _keypoints(image: Prepared, rows: Rows, size: FloatArray) -> FloatArray:
    """(N, K, 3) x, y in pixels of the image, and score."""
    points = rows.heads["keypoints"].reshape(len(rows.scores), -1, 3)
    boxes = rows.boxes[:, None]
    places = image.to_image((boxes[..., :2] + points[..., :2] * boxes[..., 2:]) * size)
    return np.concatenate([places, 1 / (1 + np.exp(-points[..., 2:]))], axis=-1)


def _numpy(tensor: Tensor) -> FloatArray:
    return tensor.double().cpu().numpy()
