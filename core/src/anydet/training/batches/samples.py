"""Records as samples: pixels and labels become tensors; labels that are not requested are not decoded."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from anydet.data.dataset.columns import no_labels
from anydet.data.dataset.image_columns import image_class
from anydet.data.record.class_mask import UNLABELED
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.masks import as_rle, decode
from anydet.geometry.poses import resolve
from anydet.training.batches.sample import Sample
from anydet.types import BoolArray, ByteImage, Intrinsics, Labels, Size

LABEL_KINDS = frozenset({"masks", "keypoints", "poses", "states", "semantic"})
"""Labels beside boxes and classes; a task names those that it learns from."""

_UNKNOWN_CAMERA = Intrinsics(*[float("nan")] * 4)


def sample_of(record: Record, label_kinds: Collection[str] = LABEL_KINDS) -> Sample:
    """One image and its labels as tensors.

    Rows without a box (``usable_rows``) are left out. Boxes are as the data set has them, not clipped. An
    object without a segmentation beside others that have one gets an empty mask. A derived record whose
    transforms move pixels has no labels, so it gives none.

    Args:
        record: the image.
        label_kinds: which of ``LABEL_KINDS`` to fill in where the data set has them; the others are ``None``.

    Raises:
        ImageError: an image cannot be decoded.
        DatasetError: a label is malformed or is of another size than its image.
    """
    image = record.image()
    size_wh = image.shape[1], image.shape[0]
    labels = no_labels() if record.labels is None else record.labels
    labels = labels.take(usable_rows(labels))
    states = labels.states if "states" in label_kinds else None
    posed = "poses" in label_kinds and labels.poses is not None
    rotations, translations = _poses(labels, record.camera) if posed else (None, None)
    camera = record.intrinsics
    return Sample(
        key=record.key,
        image=torch.from_numpy(np.array(image)).permute(2, 0, 1),
        boxes=torch.from_numpy(xywh_to_xyxy(labels.boxes_xywh_px)).float(),
        class_ids=torch.from_numpy(labels.class_ids),
        iscrowd=torch.from_numpy(labels.iscrowd),
        masks=_masks(record, labels, size_wh) if "masks" in label_kinds else None,
        keypoints=_keypoints(labels) if "keypoints" in label_kinds else None,
        states=None if states is None else torch.from_numpy(states),
        rotations=rotations,
        translations_m=translations,
        intrinsics=None if camera is None else camera_tensor(camera),
        semantic=_semantic(record, size_wh) if "semantic" in label_kinds else None,
        label=image_class(record),
        extra=record.extra,
    )


def unlabeled_sample(key: str, image: ByteImage) -> Sample:
    """A sample of (H, W, 3) uint8 pixels without labels, for prediction."""
    return Sample(
        key=key,
        image=torch.from_numpy(np.array(image)).permute(2, 0, 1),
        boxes=torch.zeros(0, 4),
        class_ids=torch.zeros(0, dtype=torch.int64),
        iscrowd=torch.zeros(0, dtype=torch.bool),
    )


def usable_rows(labels: Labels) -> BoolArray:
    """(N,) which objects can be trained on: their box is finite, wider and higher than 0.

    ``(~usable_rows(dataset.ground_truth().labels)).sum()`` counts what training leaves out.
    """
    boxes = labels.boxes_xywh_px
    usable: BoolArray = np.logical_and(np.isfinite(boxes).all(axis=1), (boxes[:, 2:] > 0).all(axis=1))
    return usable


def camera_tensor(camera: Intrinsics) -> Tensor:
    """(4,) float64 fx, fy, cx, cy."""
    return torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy], dtype=torch.float64)


def _masks(record: Record, labels: Labels, size_wh: Size) -> Tensor | None:
    """(N, H, W) bool, decoded now."""
    if labels.segmentations is None:
        return None
    width, height = size_wh
    masks = np.zeros((len(labels), height, width), np.bool_)
    for row, segmentation in enumerate(labels.segmentations):
        rle = as_rle(segmentation, size_wh)
        if rle is None:
            continue
        if rle.size_hw != (height, width):
            raise DatasetError(
                f"image {record.key}: object {row}: its mask is {rle.size_hw[1]} x {rle.size_hw[0]} pixels, "
                f"the image {width} x {height}",
                fix="write masks in the size of their image ('anydet check-dataset' lists them)",
            )
        masks[row] = decode(rle)
    return torch.from_numpy(masks)


def _keypoints(labels: Labels) -> Tensor | None:
    """(N, K, 3); points that the source does not know are unlabeled, 0, 0, 0."""
    # NaN coordinates of unknown points would make every loss NaN that multiplies them by 0.
    return None if labels.keypoints is None else torch.from_numpy(np.nan_to_num(labels.keypoints)).float()


def _poses(labels: Labels, camera: Intrinsics | None) -> tuple[Tensor, Tensor]:
    """(N, 3, 3) rotations and (N, 3) translations, from what of them the source states."""
    assert labels.poses is not None
    boxes = xywh_to_xyxy(labels.boxes_xywh_px)
    rotations, translations = resolve(labels.poses, boxes, camera or _UNKNOWN_CAMERA)
    return torch.from_numpy(rotations), torch.from_numpy(translations)


def _semantic(record: Record, size_wh: Size) -> Tensor | None:
    """(H, W) int64 class of each pixel, 255 where unlabeled."""
    classes = record.class_map()
    if classes is None:
        return None
    if classes.shape != size_wh[::-1]:
        raise DatasetError(
            f"image {record.key}: its class mask is {classes.shape[1]} x {classes.shape[0]} pixels, the "
            f"image {size_wh[0]} x {size_wh[1]}",
            fix="write class masks in the size of their image",
        )
    return torch.from_numpy(np.where(classes < 0, UNLABELED, classes))
