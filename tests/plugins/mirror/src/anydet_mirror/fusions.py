"""The fusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.adaptation.tta.merging import join_results, merge_clusters
from anydet.prediction.hooks import FusionSettings, ViewResult
from anydet.types import ImagePredictions


class Best:
    """One detection a class, for data in which each class is on an image at most once."""

    def __init__(self, settings: FusionSettings) -> None:
        del settings

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """All detections of a class become one."""
        rows, _ = join_results(results)
        cluster = np.unique(rows.class_ids, return_inverse=True)[1].reshape(-1)
        return merge_clusters(rows, cluster, rows.scores)
