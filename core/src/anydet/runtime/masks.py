"""Masks of detections: prototypes weighted by coefficients, as run-length codes of the original image."""

from __future__ import annotations

import cv2
import numpy as np

from anydet.geometry import masks
from anydet.geometry.placement import Placement
from anydet.runtime.layouts.candidates import Array
from anydet.types import RLE, FloatArray


def mask_codes(
    coefficients: Array, prototypes: Array, boxes_xyxy_px: FloatArray, placement: Placement
) -> tuple[RLE, ...]:
    """One mask a detection, of the original image's size.

    Sigmoid of the weighted sum of prototypes (Bolya et al. 2019, "YOLACT"), scaled bilinearly to the input,
    cropped to the box, cut out of the border, scaled bilinearly to the image, and above one half.

    Args:
        coefficients: (K, M).
        prototypes: (M, H/4, W/4).
        boxes_xyxy_px: (K, 4) pixels of the model's input.
        placement: where the image stands in the input.
    """
    depth, height, width = prototypes.shape
    logits = coefficients.astype(np.float32) @ prototypes.reshape(depth, -1).astype(np.float32)
    soft = (0.5 * (1 + np.tanh(0.5 * logits))).reshape(-1, height, width)
    return soft_mask_codes(soft, boxes_xyxy_px, placement)


def soft_mask_codes(soft: Array, boxes_xyxy_px: FloatArray, placement: Placement) -> tuple[RLE, ...]:
    """The same of (K, h, w) probabilities over the whole input."""
    return tuple(_code(mask, box, placement) for mask, box in zip(soft, boxes_xyxy_px, strict=True))


def box_mask_codes(soft: Array, boxes_xyxy_px: FloatArray, placement: Placement) -> tuple[RLE, ...]:
    """The same of (K, h, w) probabilities over the box of each detection (He et al. 2017, "Mask R-CNN")."""
    width, height = placement.input_wh
    pasted = []
    for mask, (x1, y1, x2, y2) in zip(soft, boxes_xyxy_px, strict=True):
        rows, columns = mask.shape
        scale_x, scale_y = (x2 - x1) / columns, (y2 - y1) / rows
        # Pixel centers of the input to those of the mask, and zero outside of the box.
        back = np.array(
            [[1 / scale_x, 0, (0.5 - x1) / scale_x - 0.5], [0, 1 / scale_y, (0.5 - y1) / scale_y - 0.5]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        whole = cv2.warpAffine(
            mask.astype(np.float32), back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        pasted.append(whole)
    return soft_mask_codes(np.array(pasted).reshape(-1, height, width), boxes_xyxy_px, placement)


def _code(soft: Array, box: FloatArray, placement: Placement) -> RLE:
    width, height = placement.input_wh
    same = soft.shape == (height, width)
    whole = soft if same else cv2.resize(soft, placement.input_wh, interpolation=cv2.INTER_LINEAR)
    x1, x2 = np.clip(np.ceil(box[[0, 2]]), 0, width).astype(np.int64)  # pixels x with x1 <= x < x2
    y1, y2 = np.clip(np.ceil(box[[1, 3]]), 0, height).astype(np.int64)
    cropped = np.zeros_like(whole)
    cropped[y1:y2, x1:x2] = whole[y1:y2, x1:x2]
    content = np.zeros(placement.content_wh[::-1], cropped.dtype)
    content[placement.shown] = cropped[placement.window]
    return masks.encode(cv2.resize(content, placement.image_wh, interpolation=cv2.INTER_LINEAR) > 0.5)
