"""Boxes, classes and masks of ground truth columns, of any data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from anydet.data.inspection.finding import DatasetFinding, Severity, some
from anydet.geometry import masks
from anydet.types import RLE, BoolArray, FloatArray, GroundTruthColumns, IntArray, Segmentation

OUTSIDE_PX = 1.0
"""Pixels by which a box may leave its image unnoticed: annotation tools round."""
SMALL_PX = 1.0
LEAST_AGREEMENT = 0.8
"""IoU of a box with the box around its mask."""
RARE = 10
"""Annotations below which the AP of a class is mostly noise."""
IMBALANCE = 100


def inspect_annotations(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    """Everything that annotations show by themselves; no image is opened."""
    yield from _boxes(truth)
    yield from _duplicates(truth)
    yield from _masks(truth)
    yield from _classes(truth)
    yield from _images(truth)


def inspect_areas(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    """Annotations of a COCO file without ``area``, by which COCO's ranges of sizes go."""
    if truth.labels.area_stated is not None:
        problem = "annotations without an area: width x height of the box is taken; pycocotools fails at them"
        fix = "write area, of the mask where there is one: APs, APm and APl go by it"
        yield from _rows(truth, ~truth.labels.area_stated, _finding("note", "areas not stated", problem, fix))


def _boxes(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    boxes = truth.labels.boxes_xywh_px
    smallest = boxes[:, 2:].min(axis=1, initial=np.inf)
    sizes = truth.sizes_wh[truth.image_index].astype(np.float64)
    # Those of negative size are counted where the file is read.
    known = np.greater(sizes, 0).all(axis=1) & np.greater_equal(smallest, 0)
    end = boxes[:, :2] + boxes[:, 2:]
    away = known & (np.greater_equal(boxes[:, :2], sizes) | np.less_equal(end, 0)).any(axis=1)
    over = (np.less(boxes[:, :2], -OUTSIDE_PX) | np.greater(end, sizes + OUTSIDE_PX)).any(axis=1)
    empty = smallest == 0
    for wrong, finding in (
        (empty, _finding("warning", "empty boxes", "boxes without width or height", "remove them")),
        (
            ~empty & np.less(smallest, SMALL_PX) & np.greater(smallest, 0),
            _finding(
                "warning",
                "tiny boxes",
                "boxes thinner than a pixel",
                "remove them, or check whether they were written as fractions",
            ),
        ),
        (
            away & ~empty,
            _finding(
                "broken",
                "boxes outside",
                "boxes wholly outside their image",
                "check sizes and scale: images may be turned (EXIF) or resized",
            ),
        ),
        (
            known & ~away & over,
            _finding(
                "warning",
                "boxes over the edge",
                f"boxes that leave their image by more than {OUTSIDE_PX:g} pixel",
                "clip them to the image",
            ),
        ),
    ):
        yield from _rows(truth, wrong, finding)


def _finding(severity: Severity, check: str, problem: str, fix: str = "") -> DatasetFinding:
    """A finding whose count and examples follow from the rows."""
    return DatasetFinding(severity, check, 0, problem, (), fix)


def _rows(truth: GroundTruthColumns, wrong: BoolArray, finding: DatasetFinding) -> Iterator[DatasetFinding]:
    found = np.flatnonzero(wrong)
    if len(found):
        examples = some(describe(truth, row) for row in found.tolist())
        yield replace(finding, count=len(found), examples=examples)


def describe(truth: GroundTruthColumns, row: int) -> str:
    """An annotation as it is printed: its image, class and box, and its id where it has one."""
    labels = truth.labels
    number = "" if labels.annotation_ids is None else f"annotation {labels.annotation_ids[row]}, "
    box = ", ".join(f"{value:.6g}" for value in labels.boxes_xywh_px[row])
    image, name = truth.images[truth.image_index[row]], truth.classes.names[labels.class_ids[row]]
    return f"{number}{image}: {name} [{box}]"


def _duplicates(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    labels = truth.labels
    keys = np.column_stack([truth.image_index, labels.class_ids, labels.iscrowd, labels.boxes_xywh_px])
    _, first = np.unique(keys, axis=0, return_index=True)
    again = np.ones(len(keys), np.bool_)
    again[first] = False
    finding = _finding(
        "warning",
        "duplicate annotations",
        "annotations with the class and box of another one of their image",
        "keep one: each further one counts as missed",
    )
    yield from _rows(truth, again, finding)


def _masks(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    segmentations = truth.labels.segmentations
    if segmentations is None:
        return
    around = np.array([_bounds(one) for one in segmentations]).reshape(-1, 4)
    lacking = np.isnan(around[:, 0])
    finding = _finding(
        "warning",
        "missing masks",
        "annotations without a segmentation, where others have one",
        "add them, or score boxes only",
    )
    yield from _rows(truth, lacking & ~lacking.all(), finding)
    finding = _finding(
        "warning",
        "box against mask",
        f"boxes that overlap the box around their mask by less than {LEAST_AGREEMENT}",
        "compute boxes from the masks, or check which of the two is right",
    )
    overlap = _overlap(np.nan_to_num(around), truth.labels.boxes_xywh_px)
    sized = (truth.labels.boxes_xywh_px[:, 2:] >= 0).all(axis=1)
    yield from _rows(truth, ~lacking & sized & (overlap < LEAST_AGREEMENT), finding)


def _bounds(segmentation: Segmentation) -> FloatArray:
    """(4,) x, y, width, height around a mask or polygons, NaN where there is none."""
    if not segmentation:
        return np.full(4, np.nan)
    if isinstance(segmentation, RLE):
        return masks.bounds_xywh(segmentation)
    points = np.concatenate([np.asarray(ring, np.float64).reshape(-1, 2) for ring in segmentation])
    low = points.min(axis=0)
    bounds: FloatArray = np.concatenate([low, points.max(axis=0) - low])
    return bounds


def _overlap(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N,) IoU of x, y, width, height row by row; 1 where both are empty."""
    low = np.maximum(left[:, :2], right[:, :2])
    high = np.minimum(left[:, :2] + left[:, 2:], right[:, :2] + right[:, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=1)
    union = left[:, 2:].prod(axis=1) + right[:, 2:].prod(axis=1) - shared
    overlap: FloatArray = np.divide(shared, union, out=np.ones(len(shared)), where=union > 0)
    return overlap


def _classes(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    counts = np.bincount(truth.labels.class_ids, minlength=len(truth.classes))
    order = np.argsort(counts, kind="stable")
    used = order[counts[order] > 0]
    finding = _finding(
        "warning",
        "classes never used",
        "classes without any annotation, which have no AP",
        "check the class list and the ids",
    )
    yield from _counted(truth, counts, order[counts[order] == 0], finding)
    problem = f"classes with fewer than {RARE} annotations, too few for a meaningful AP"
    yield from _counted(truth, counts, used[counts[used] < RARE], _finding("note", "rare classes", problem))
    if len(used) and counts[used[-1]] > IMBALANCE * counts[used[0]]:
        problem = "times as many annotations of the most frequent class as of the rarest"
        for found in _counted(truth, counts, used[[-1, 0]], _finding("note", "class imbalance", problem)):
            yield replace(found, count=int(counts[used[-1]] // counts[used[0]]))


def _counted(
    truth: GroundTruthColumns, counts: IntArray, classes: IntArray, finding: DatasetFinding
) -> Iterator[DatasetFinding]:
    if len(truth) and len(classes):
        examples = some(f"{truth.classes.names[i]} ({counts[i]})" for i in classes.tolist())
        yield replace(finding, count=len(classes), examples=examples)


def _images(truth: GroundTruthColumns) -> Iterator[DatasetFinding]:
    counts = np.bincount(truth.image_index, minlength=len(truth.images))
    unknown = np.less(truth.sizes_wh, 0).any(axis=1) & (counts > 0)
    for which, finding in (
        (counts == 0, _finding("note", "empty images", "images without annotations")),
        (
            unknown,
            _finding(
                "warning",
                "unknown sizes",
                "annotated images whose size is not stated",
                "write width and height, so that boxes can be checked and turned into pixels",
            ),
        ),
    ):
        found = np.flatnonzero(which).tolist()
        if found:
            yield replace(finding, count=len(found), examples=some(truth.images[i] for i in found))
    crowds = _finding("note", "crowds", "annotations of crowds, which count neither way")
    yield from _rows(truth, truth.labels.iscrowd, crowds)
