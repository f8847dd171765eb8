"""Records to predictions: classes, boxes, and poses in the camera's frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy, cxcywh_to_xyxy, xyxy_to_cxcywh_norm
from anydet.geometry.placement import Placement
from anydet.geometry.pose_heads import PoseHeads
from anydet.plugins import stages
from anydet.plugins.stages import Decoded
from anydet.training.predictor import BatchPredictor
from anydet.training.stages import Named
from anydet.types import ByteImage, FloatArray, ImagePredictions
from anydet_rtdetr_pose.inputs import Prepared, model_input, prepare_image
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.outputs import Outputs


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

    @property
    def most(self) -> int:
        """Pairs of query and class of an image."""
        return max(self.model.architecture.num_queries, self.settings.max_detections)

    def placed(self, image: Prepared) -> stages.Prepared:
        """Pixels of 0..1."""
        return stages.Prepared(model_input(image.pixels).numpy(), image.placement)

    def decode(self, outputs: Named, placement: Placement) -> Decoded:
        """All queries, with scores of all classes."""
        corners = cxcywh_to_xyxy(_numpy(outputs["boxes_cxcywh"])) * np.tile(placement.input_wh, 2)
        return Decoded(_probabilities(outputs["class_logits"]).numpy(), corners)

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """The best pairs of query and class, without poses and keypoints."""
        boxes = xyxy_to_cxcywh_norm(decoded.boxes_xyxy_px, placement.input_wh)
        rows = self._best(
            torch.from_numpy(decoded.scores)[None], {"boxes": torch.from_numpy(boxes)[None]}, None
        )
        return self._result(_bare(record, placement), rows[0])

    def complete(self, record: Record, outputs: Named, placement: Placement) -> ImagePredictions:
        """The best pairs of query and class, with all that the heads say of them."""
        heads = {name: values[None] for name, values in outputs.items() if values.ndim == 2}
        probabilities = _probabilities(heads.pop("class_logits"))
        camera = outputs.get("camera_delta")
        last = {"boxes": heads.pop("boxes_cxcywh"), **heads}
        (rows,) = self._best(probabilities, last, None if camera is None else camera[None])
        return self._result(_bare(record, placement), rows)

    def _rows(self, outputs: Outputs) -> list[Rows]:
        """The best pairs of query and class of each image, by the last decoder layer."""
        last = {"boxes": outputs.boxes, **outputs.heads}
        return self._best(
            _probabilities(outputs.logits[:, -1]),
            {name: values[:, -1] for name, values in last.items()},
            outputs.camera,
        )

    def _best(self, probabilities: Tensor, last: Mapping[str, Tensor], camera: Tensor | None) -> list[Rows]:
        """The best pairs of query and class of each image.

        Args:
            probabilities: (B, Q, C).
            last: boxes and heads, (B, Q, n).
            camera: (B, 4), or ``None``.
        """
        # Pairs, not queries: with sigmoid scores one query may find an object in two classes.
        _, queries_count, classes_count = probabilities.shape
        most = max(queries_count, self.settings.max_detections)
        scores, pairs = probabilities.flatten(1).topk(min(most, queries_count * classes_count))
        queries, class_ids = pairs // classes_count, pairs % classes_count
        images = torch.arange(len(queries), device=queries.device)[:, None]
        decoded = {name: _numpy(values[images, queries]) for name, values in last.items()}
        cameras = None if camera is None else _numpy(camera)
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
        placement = image.placement
        corners = cxcywh_to_xyxy(rows.boxes) * np.tile(np.array(placement.input_wh, np.float64), 2)
        boxes = clip_xyxy(placement.to_image(corners), placement.image_wh)
        keep = area_xyxy(boxes) > 0
        poses, camera = None, image.camera
        if "log_z" in rows.heads:
            poses, camera = _pose_heads(rows).poses(corners, placement, image.camera)
        result = ImagePredictions(
            image.key,
            placement.image_wh,
            boxes,
            rows.scores,
            rows.class_ids.astype(np.int64),
            keypoints=_keypoints(placement, rows) if "keypoints" in rows.heads else None,
            poses=poses,
            intrinsics=camera,
        )
        return result if keep.all() else result.take(keep)


def _pose_heads(rows: Rows) -> PoseHeads:
    """The heads of poses, each number of a query a column of its own."""
    heads = rows.heads
    single = ("log_z", "log_sigma_z", "log_sigma_rot")
    columns = {name: heads[name][:, 0] for name in single if name in heads}
    return PoseHeads(rot6d=heads["rot6d"], offsets=heads["offsets"], camera_delta=rows.camera, **columns)


def _keypoints(placement: Placement, rows: Rows) -> FloatArray:
    """(N, K, 3) x, y in pixels of the image, and score."""
    points = rows.heads["keypoints"].reshape(len(rows.scores), -1, 3)
    boxes = rows.boxes[:, None]
    places = (boxes[..., :2] + points[..., :2] * boxes[..., 2:]) * np.array(placement.input_wh)
    return np.concatenate([placement.points_to_image(places), 1 / (1 + np.exp(-points[..., 2:]))], axis=-1)


def _bare(record: Record, placement: Placement) -> Prepared:
    """An image whose pixels are not needed any more."""
    return Prepared(record.key, torch.empty(0), placement, record.intrinsics)


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().sigmoid()


def _numpy(tensor: Tensor) -> FloatArray:
    return tensor.double().cpu().numpy()
