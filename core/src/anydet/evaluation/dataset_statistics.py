"""What a data set consists of, in numbers: images, classes, sizes and shapes of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anydet.data.dataset.kinds import annotation_kinds
from anydet.data.dataset.protocols import Dataset
from anydet.evaluation.figures import Axis, Bar, Bars, Figure, Lines, Series
from anydet.evaluation.protocol import AREAS
from anydet.evaluation.results import shown
from anydet.evaluation.tables import Table
from anydet.types import FloatArray, GroundTruthColumns, IntArray

SIZES = ("small", "medium", "large")
_MOST_BARS = 30
_MOST_SIZES = 5
_BINS = 40


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """Numbers of one split.

    Attributes:
        dataset: what was opened.
        split: the split; "" where there are none.
        source: where the annotations come from.
        metrics: numbers by name; ``None`` where there is nothing to measure on. Sizes are COCO's, by area:
            small up to 32 x 32 pixels, medium up to 96 x 96.
        tables: classes, the most frequent one first, and sizes of images.
        figures: annotations of classes, sizes and aspects of objects, objects an image.
    """

    dataset: str
    split: str
    source: str
    metrics: Mapping[str, float | None]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        named = {"dataset": self.dataset, "split": self.split, "source": self.source}
        return {**named, "metrics": dict(self.metrics), **shown(self)}


def describe_dataset(dataset: Dataset) -> DatasetStatistics:
    """Numbers of a data set, from its annotations alone; of one without labels, how many images it has."""
    if dataset.source == "none":
        metrics = {"images": float(len(dataset))}
        return DatasetStatistics(str(dataset.root), dataset.split, dataset.source, metrics, (), ())
    truth = dataset.ground_truth()
    counts = np.bincount(truth.image_index, minlength=len(truth.images))
    classes = _classes(truth)
    return DatasetStatistics(
        str(dataset.root),
        dataset.split,
        truth.source,
        dict(_metrics(truth, counts)),
        (classes, _image_sizes(truth.sizes_wh)),
        tuple(_figures(truth, counts, classes)),
    )


def size_of(areas: FloatArray) -> IntArray:
    """(N,) position in ``SIZES``; an object on a border, which COCO counts on both sides, has the smaller."""
    borders = [AREAS[name][1] for name in SIZES[:-1]]
    return np.searchsorted(borders, areas, side="left")


def _metrics(truth: GroundTruthColumns, counts: IntArray) -> Iterator[tuple[str, float | None]]:
    labels = truth.labels
    yield "images", float(len(truth.images))
    yield "images without annotations", float((counts == 0).sum())
    yield "annotations", float(len(truth))
    yield "classes", float(len(truth.classes))
    yield "classes without annotations", float(len(truth.classes) - len(np.unique(labels.class_ids)))
    yield "annotations an image", float(counts.mean()) if len(counts) else None
    yield "annotations an image, median", float(np.median(counts)) if len(counts) else None
    yield "annotations an image, most", float(counts.max()) if len(counts) else None
    sizes = np.bincount(size_of(labels.areas), minlength=len(SIZES))
    yield from ((name, float(count)) for name, count in zip(SIZES, sizes.tolist(), strict=True))
    aspects = _aspects(labels.boxes_xywh_px)
    for name, quantile in (("5 %", 0.05), ("median", 0.5), ("95 %", 0.95)):
        yield f"width / height, {name}", float(np.quantile(aspects, quantile)) if len(aspects) else None
    yield from ((name, float(count)) for name, count in annotation_kinds(labels).items())
    about = truth.about
    if about is not None:
        masks = about.semantic_masks
        yield "images with class masks", 0.0 if masks is None else float(sum(m is not None for m in masks))
        yield "images with a class", 0.0 if about.class_ids is None else float((about.class_ids >= 0).sum())
        cameras = about.cameras
        known = 0 if cameras is None else int(np.isfinite(cameras).all(axis=1).sum())
        yield "images with a camera", float(known)


def _aspects(boxes_xywh_px: FloatArray) -> FloatArray:
    """Width / height of boxes that have both."""
    sides = boxes_xywh_px[:, 2:]
    sides = sides[(sides > 0).all(axis=1)]
    aspects: FloatArray = sides[:, 0] / sides[:, 1]
    return aspects


def _classes(truth: GroundTruthColumns) -> Table:
    """A row for each class, most annotations first; classes without any, too."""
    ids, names = truth.labels.class_ids, truth.classes.names
    known = ids < len(names)
    ids, areas, index = ids[known], truth.labels.areas[known], truth.image_index[known]
    counts = np.bincount(ids, minlength=len(names))
    pairs = np.unique(index * max(len(names), 1) + ids)
    images = np.bincount(pairs % max(len(names), 1), minlength=len(names))
    sizes = np.bincount(ids * len(SIZES) + size_of(areas), minlength=len(names) * len(SIZES))
    sizes = sizes.reshape(-1, len(SIZES))
    share = counts / max(counts.sum(), 1)
    order = np.argsort(-counts, kind="stable").tolist()
    rows = tuple(
        (names[i], int(counts[i]), float(share[i]), int(images[i]), *map(int, sizes[i])) for i in order
    )
    return Table("classes", ("class", "annotations", "share", "images", *SIZES), rows)


def _image_sizes(sizes_wh: IntArray) -> Table:
    """The most frequent sizes of images, and a row for all others."""
    often = Counter(map(tuple, sizes_wh.tolist())).most_common()
    rows: list[tuple[str, int]] = [(_size(size), count) for size, count in often[:_MOST_SIZES]]
    if len(often) > _MOST_SIZES:
        rest = often[_MOST_SIZES:]
        rows.append((f"{len(rest)} other sizes", sum(count for _, count in rest)))
    return Table("sizes of images", ("width x height", "images"), tuple(rows))


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}" if size[0] > 0 else "not stated"


def _figures(truth: GroundTruthColumns, counts: IntArray, classes: Table) -> Iterator[Figure]:
    number = Axis("annotations")
    bars = tuple(Bar(str(row[0]), int(row[1] or 0)) for row in classes.rows[:_MOST_BARS])
    most = f"the {_MOST_BARS} most frequent of {len(classes.rows)} classes"
    title = f"Annotations of {most if len(classes.rows) > _MOST_BARS else 'each class'}"
    if bars:
        yield Bars("classes", title, number, bars)
    if len(truth):
        sizes = np.bincount(size_of(truth.labels.areas), minlength=len(SIZES)).tolist()
        ranges = ("up to 32 x 32 px", "up to 96 x 96 px", "above")
        sized = tuple(Bar(n, c, note=r) for n, c, r in zip(SIZES, sizes, ranges, strict=True))
        yield Bars("sizes", "Annotations of each size", number, sized)
        roots = np.sqrt(np.maximum(truth.labels.areas, 0.0))
        yield _histogram("areas", "Sizes of objects", Axis("square root of the area", "px"), roots)
        logs = np.log2(_aspects(truth.labels.boxes_xywh_px))
        axis = Axis("width / height, as a power of 2 (0: square)")
        if len(logs):
            yield _histogram("aspects", "Aspects of boxes", axis, logs)
    per_image = np.bincount(counts) if len(counts) else counts
    if len(per_image):
        points = Series("", tuple(range(len(per_image))), tuple(per_image.tolist()))
        title = "Images by their number of annotations"
        yield Lines("objects", title, Axis("annotations of an image"), Axis("images"), (points,))


def _histogram(name: str, title: str, axis: Axis, values: FloatArray) -> Lines:
    heights, edges = np.histogram(values, bins=_BINS)
    centers = ((edges[:-1] + edges[1:]) / 2).tolist()
    points = Series("", tuple(centers), tuple(heights.tolist()))
    return Lines(name, title, axis, Axis("annotations"), (points,))
