"""Records to predictions: classes, boxes, and poses in the camera's frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy, cxcywh_to_xyxy
from anydet.geometry.cameras import translation_m
from anydet.geometry.rotations import matrix_to_rot6d
from anydet.types import FloatArray, ImagePredictions, Intrinsics, Poses
from anydet_rtdetr_pose.inputs import Prepared, model_input, prepare_image
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.outputs import Outputs
from anydet_rtdetr_pose.pose_decoding import rotations_seen
from anydet_rtdetr_pose.recovery import nominal_camera

Stage = Callable[[str], AbstractContextManager[None]]


def _unmarked(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Rows:
    """What is told of the best of one image's queries and classes.

    Attributes:
        scores: (N,) falling.
        class_ids: (N,).
        boxes: (N, 4) center and size in shares of the input.
        heads: name -> (N, n); see ``QueryHeads``.
        camera: (4,) of ``CameraHead``, or ``None``.
    """

    scores: FloatArray
    class_ids: FloatArray
    boxes: FloatArray
    heads: Mapping[str, FloatArray]
    camera: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """How a model is asked.

    Attributes:
        model: asked on the device and in the mode in which it is.
        batch_size: images at once, at most.
        score_floor: detections below it are dropped.
        max_detections: most detections of an image, and never less than there are queries.
        stage: marks decode, preprocess, model and postprocess, as ``Adapter.stage``.
    """

    model: PoseDetector
    batch_size: int
    score_floor: float
    max_detections: int = 100
    stage: Stage = _unmarked

    def __call__(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order."""
        for batch in self.batches(records):
            yield from self.predict_batch(batch)

    def batches(self, records: Sequence[Record]) -> Iterator[list[Prepared]]:
        """All records in their order, ``batch_size`` at once."""
        for start in range(0, len(records), self.batch_size):
            stop = min(start + self.batch_size, len(records))
            yield [self._prepare(records[place]) for place in range(start, stop)]

    def predict_batch(self, batch: Sequence[Prepared]) -> list[ImagePredictions]:
        """One result an image of ``batches``."""
        images = self.stack(batch)
        with self.stage("model"), torch.no_grad():
            outputs = self.model(images)
        with self.stage("postprocess"):
            return [self._result(*pair) for pair in zip(batch, self._rows(outputs), strict=True)]

    def stack(self, batch: Sequence[Prepared]) -> Tensor:
        """(B, 3, H, W) on the model's device."""
        pixels = torch.stack([image.pixels for image in batch])
        return model_input(pixels.to(self.model.device))

    def _prepare(self, record: Record) -> Prepared:
        with self.stage("decode"):
            image = record.image()
        with self.stage("preprocess"):
            return prepare_image(record.key, image, record.intrinsics, self.model.architecture.inputs)

    def _rows(self, outputs: Outputs) -> list[Rows]:
        """The best pairs of query and class of each image, by the last decoder layer."""
        shares = outputs.logits[:, -1].float().sigmoid()
        most = max(shares.shape[1], self.max_detections)
        scores, places = shares.flatten(1).topk(min(most, shares[0].numel()))
        queries, class_ids = places // shares.shape[2], places % shares.shape[2]
        images = torch.arange(len(queries), device=queries.device)[:, None]
        last = {"boxes": outputs.boxes, **outputs.heads}
        told = {name: _numpy(values[:, -1][images, queries]) for name, values in last.items()}
        cameras = None if outputs.camera is None else _numpy(outputs.camera)
        columns = _numpy(scores), class_ids.cpu().numpy()
        return [
            self._above_floor(
                columns[0][image],
                columns[1][image],
                {name: values[image] for name, values in told.items()},
                None if cameras is None else cameras[image],
            )
            for image in range(len(scores))
        ]

    def _above_floor(
        self,
        scores: FloatArray,
        class_ids: FloatArray,
        told: Mapping[str, FloatArray],
        camera: FloatArray | None,
    ) -> Rows:
        keep = scores >= self.score_floor
        kept = {name: values[keep] for name, values in told.items()}
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
        """Poses in the image's own pixels, and the camera that they are told with.

        A camera that nobody knows is the nominal one and what the image's ``k_delta`` makes of it. Without
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
            shares = np.concatenate([[1.0, 1.0], np.array(inputs.size_wh)])
            used = nominal + rows.camera * np.concatenate([nominal[:2], inputs.size_wh])
            used[:2] = used[:2].clip(min=1e-3)  # a focal length that is told to be negative is very short
            change = rows.camera * shares / np.concatenate([[1.0, 1.0], image.scale])
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
