"""Rows of a fixed number an image, of which some are none: what both forms of an exported file work with."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.roi_heads import Features

ABSENT = -1.0
"""Score of a row that is none; those of others are probabilities."""


class Rows(Protocol):
    """The second stage on (B, N) rows, of which some are none: which of them it is computed for."""

    def of(self, values: Tensor) -> Tensor:
        """(M, ...) of (B * N, ...) values: those of the rows that are computed."""

    def spread(self, values: Tensor, fill: float) -> Tensor:
        """(B * N, ...) with (M, ...) values in their places, and ``fill`` in rows that are none."""

    def features(self, model: MultiTaskFasterRCNN, features: Features, boxes: Tensor) -> Tensor:
        """(M, representation) features of computed rows, by (B, N, 4) boxes in pixels of the input."""


class Form(Protocol):
    """How a file does what depends on the image."""

    def rows(self, there: Tensor) -> Rows:
        """The second stage on rows, by (B, N) which of them there are."""

    def suppress(self, boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
        """(B, G, N) scores of (B, G, N, 4) boxes, ``ABSENT`` of those that a better one of the group covers.

        In each group the highest score is first. ``most`` is N as a number, which a trace does not have.
        """

    def best(
        self, boxes: Tensor, scores: Tensor, iou_threshold: float, *, each: int, rows: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K, 4) boxes, (B, K) scores and groups of the best that no better one of its group covers.

        Args:
            boxes: (B, G, N, 4) ``xyxy``.
            scores: (B, G, N), in any order.
            iou_threshold: that a better one covers.
            each: N.
            rows: K.
        """


def top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B, count) highest scores and their columns; where there are fewer, score ``ABSENT`` and column 0."""
    padding = torch.full_like(scores[:, :1], ABSENT).expand(-1, count)
    best, index = torch.cat([scores, padding], 1).topk(count, dim=1)
    return best, torch.where(index < scores.shape[1], index, 0)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """(B, K, n) rows of (B, N, n) by (B, K) index."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))
