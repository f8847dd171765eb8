from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

version: str

class Limits:
    """What is counted: sizes of tables, thresholds, (A, 2) area ranges, detections of a class on an image."""

    def __init__(
        self, images: int, classes: int, thresholds: list[float], area_ranges: Floats, max_detections: int
    ) -> None: ...
    @property
    def classes(self) -> int: ...

class Detections:
    """Columns of detections; ``lenient`` ones are not counted where they match nothing."""

    def __init__(
        self, images: Integers, classes: Integers, scores: Floats, areas: Floats, lenient: Bytes | None = None
    ) -> None: ...

class Truth:
    """Columns of annotations; matches of the row ``unseen`` are taken for none."""

    def __init__(
        self,
        images: Integers,
        classes: Integers,
        areas: Floats,
        crowd: Bytes,
        ignored: Bytes,
        unseen: int = -1,
    ) -> None: ...

class Segmentations:
    """Columns of ``maskcolumns.MaskColumn``, and of ``SegmentationColumn`` where rows have rings."""

    def __init__(
        self,
        sizes_hw: Integers,
        starts: Integers,
        ends: Integers,
        text: Bytes,
        ring_starts: Integers | None = None,
        ring_ends: Integers | None = None,
        ring_offsets: Integers | None = None,
        points: Floats | None = None,
        image_sizes_hw: Integers | None = None,
    ) -> None: ...

def match_boxes(
    detections: Detections, boxes: Floats, truth: Truth, truth_boxes: Floats, limits: Limits, workers: int
) -> dict[str, Any]: ...
def match_masks(
    detections: Detections,
    masks: Segmentations,
    truth: Truth,
    truth_masks: Segmentations,
    limits: Limits,
    dilation_ratio: float | None,
    measure_areas: bool,
    workers: int,
) -> dict[str, Any]: ...
def match_known(
    detections: Detections,
    truth: Truth,
    limits: Limits,
    starts: Integers,
    annotations: NDArray[np.uint32],
    overlaps: Floats,
    workers: int,
) -> dict[str, Any]: ...
def keypoint_exponents(
    detections: Detections,
    keypoints: Floats,
    truth: Truth,
    truth_keypoints: Floats,
    truth_boxes: Floats,
    variances: Floats,
    limits: Limits,
    workers: int,
) -> dict[str, Any]: ...
def keypoint_means(values: Floats, sizes: NDArray[np.uint16]) -> Floats: ...
def accumulate(
    images: NDArray[np.int32],
    classes: NDArray[np.int32],
    ranks: NDArray[np.int32],
    scores: Floats,
    outside: NDArray[np.uint16],
    matched: NDArray[np.uint32],
    hits: NDArray[np.uint64],
    ignored: NDArray[np.uint64],
    positives: Integers,
    thresholds: int,
    recall_thresholds: list[float],
    max_detections: list[int],
    workers: int,
) -> tuple[Floats, Floats, Floats]: ...
