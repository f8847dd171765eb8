"""Batches of a training loop, predictions and targets in memory, as columns.

One prediction an image is a dictionary of ``boxes``, ``scores`` and ``labels`` (torchvision, torchmetrics,
transformers after post-processing), with ``masks`` or ``keypoints`` where these are scored;
``supervision.Detections``; ``ImagePredictions``; or a list of COCO results. One target is a dictionary of
``boxes`` and ``labels`` (torchvision, torchmetrics), of ``class_labels`` and normalized ``boxes`` with
``orig_size`` (transformers), or of COCO's ``annotations``; ``supervision.Detections``; or ``Labels``.

Tensors may be on any device. Those of the CPU are read where they lie, through numpy or DLPack; the others
of a batch are joined on their device and copied once. ``DetectionColumns`` and ``GroundTruthColumns`` are a
batch, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anydet.contract.tensors import array_of
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation import compatibility
from anydet.geometry import masks as mask_codes
from anydet.geometry.boxes import to_xywh_px
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.text import listed, shortened
from anydet.types import (
    RLE,
    ClassTable,
    DetectionColumns,
    FloatArray,
    GroundTruthColumns,
    ImagePredictions,
    IntArray,
    Labels,
    Segmentation,
)

ImageId: TypeAlias = int | str
_FORMS = "a dictionary of boxes, scores and labels, supervision.Detections, ImagePredictions or COCO results"
_TARGETS = "a dictionary of boxes and labels, of annotations, supervision.Detections or Labels"
_XYXY = "xyxy_abs"


@dataclass(eq=False)
class Objects:
    """The objects of one image, as they were given.

    Attributes:
        boxes: (N, 4) in ``box_format``, tensors or arrays; so are the others.
        labels: (N,) in the ids of ``classes``, or contiguous ones.
        scores, areas, crowd, keypoints: (N,), (N,), (N,) and (N, K, 3), where there are any.
        masks: one code or polygons an object.
        box_format: one of ``geometry.boxes.BOX_FORMATS``.
        size_wh: of the image, (-1, -1) where unknown.
        image: its id, or ``None``.
        contiguous: whether labels are 0 to C - 1, whatever the ids of ``classes``.
    """

    boxes: Any
    labels: Any
    scores: Any = None
    areas: Any = None
    crowd: Any = None
    keypoints: Any = None
    masks: Sequence[Segmentation] | None = None
    box_format: str = _XYXY
    size_wh: tuple[int, int] = (-1, -1)
    image: ImageId | None = None
    contiguous: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some images with predictions and targets.

    Attributes:
        images: ids of the images, ``None`` where they have none.
        detections: what was predicted.
        truth: what is there.
    """

    images: tuple[ImageId | None, ...]
    detections: DetectionColumns
    truth: GroundTruthColumns


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """Reads batches.

    Attributes:
        classes: of labels; ``source_ids`` are the labels that they have.
        box_format: of dictionaries of boxes; one of ``geometry.boxes.BOX_FORMATS``.
        masks: whether masks are read.
        keypoints: whether keypoints are.
    """

    classes: ClassTable
    box_format: str = _XYXY
    masks: bool = False
    keypoints: bool = False
    sorted_ids: IntArray = field(init=False, repr=False)
    order: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ids = np.array(self.classes.source_ids, np.int64)
        object.__setattr__(self, "order", np.argsort(ids, kind="stable"))
        object.__setattr__(self, "sorted_ids", ids[self.order])

    def read(self, predictions: Any, targets: Any) -> Batch:
        """Columns of a batch.

        Raises:
            EvaluationError: they are of no form that is known, do not fit each other, or break rules.
        """
        if isinstance(predictions, DetectionColumns) and isinstance(targets, GroundTruthColumns):
            return self._of_columns(predictions, targets)
        found = [(self._prediction(one), image) for image, one in _by_image(predictions)]
        known = [(self._target(one), image) for image, one in _by_image(targets)]
        pairs = _paired([_named(*one) for one in found], [_named(*one) for one in known])
        predicted, truth = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        images = tuple(b.image if a.image is None else a.image for a, b in pairs)
        keys = tuple(str(i if image is None else image) for i, image in enumerate(images))
        sizes = np.array([_size(*pair) for pair in pairs], np.int64).reshape(-1, 2)
        detections = self._detections(predicted, keys, sizes)
        return Batch(images, detections, self._truth(truth, keys, sizes))

    def _of_columns(self, detections: DetectionColumns, truth: GroundTruthColumns) -> Batch:
        """Columns as they are."""
        compatibility.check_classes(truth, self.classes)
        compatibility.check_tables(detections, truth)
        ids: Sequence[ImageId] = truth.images if truth.image_ids is None else truth.image_ids.tolist()
        return Batch(tuple(ids), detections, truth)

    def _prediction(self, one: Any) -> Objects:
        if isinstance(one, ImagePredictions):
            return Objects(
                one.boxes_xyxy_px,
                one.class_ids,
                one.scores,
                keypoints=one.keypoints if self.keypoints else None,
                masks=one.masks if self.masks else None,
                size_wh=one.size_wh if min(one.size_wh) > 0 else (-1, -1),
                image=one.image,
                contiguous=True,
            )
        if _is_supervision(one):
            return self._supervised(one)
        if isinstance(one, Mapping) and {"boxes", "scores", "labels"} <= one.keys():
            return self._dictionary(one, one["labels"])
        if _is_listed(one):
            return self._coco(one, "score")
        raise EvaluationError(f"a prediction is {_shown(one)}", fix=f"give {_FORMS} for each image")

    def _target(self, one: Any) -> Objects:
        if isinstance(one, Labels):
            return Objects(
                one.boxes_xywh_px,
                one.class_ids,
                areas=one.areas,
                crowd=one.iscrowd,
                keypoints=one.keypoints if self.keypoints else None,
                masks=one.segmentations if self.masks else None,
                box_format="xywh_abs",
                contiguous=True,
            )
        if _is_supervision(one):
            return self._supervised(one)
        if isinstance(one, Mapping) and {"boxes", "class_labels"} <= one.keys():
            return replace(self._dictionary(one, one["class_labels"]), box_format="cxcywh_norm")
        if isinstance(one, Mapping) and {"boxes", "labels"} <= one.keys():
            return self._dictionary(one, one["labels"])
        if isinstance(one, Mapping) and "annotations" in one:
            found = self._coco(one["annotations"], None)
            return replace(found, size_wh=_stated_size(one), image=_image_id(one))
        if _is_listed(one):
            return self._coco(one, None)
        raise EvaluationError(f"a target is {_shown(one)}", fix=f"give {_TARGETS} for each image")

    def _dictionary(self, one: Mapping[str, Any], labels: Any) -> Objects:
        codes = encoded(one["masks"]) if self.masks and one.get("masks") is not None else None
        size = (codes[0].size_hw[1], codes[0].size_hw[0]) if codes else _stated_size(one)
        return Objects(
            one["boxes"],
            labels,
            one.get("scores"),
            areas=one.get("area"),
            crowd=one.get("iscrowd"),
            keypoints=one.get("keypoints") if self.keypoints else None,
            masks=codes,
            box_format=self.box_format,
            size_wh=size,
            image=_image_id(one),
        )

    def _supervised(self, one: Any) -> Objects:
        count = len(one.xyxy)
        codes = encoded(one.mask) if self.masks and one.mask is not None else None
        return Objects(
            one.xyxy,
            np.zeros(count, np.int64) if one.class_id is None else one.class_id,
            np.ones(count) if one.confidence is None else one.confidence,
            masks=codes,
            size_wh=(codes[0].size_hw[1], codes[0].size_hw[0]) if codes else (-1, -1),
            image=(getattr(one, "metadata", None) or {}).get("image"),
        )

    def _coco(self, rows: Sequence[Mapping[str, Any]], score: str | None) -> Objects:
        """COCO's dictionaries of one image: results where ``score`` names their number, else annotations."""
        images = {row["image_id"] for row in rows if "image_id" in row}
        if len(images) > 1:
            raise EvaluationError(
                f"COCO results of {len(images)} images stand for one",
                fix="give one list of results an image, or a map of them by image",
            )
        codes = [_code(row.get("segmentation")) for row in rows] if self.masks else None
        points = [row["keypoints"] for row in rows] if self.keypoints and rows else None
        areas = [row["area"] for row in rows if "area" in row]
        return Objects(
            np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4),
            np.array([row["category_id"] for row in rows], np.int64),
            None if score is None else np.array([row[score] for row in rows], np.float64),
            areas=np.array(areas, np.float64) if score is None and len(areas) == len(rows) else None,
            crowd=np.array([row.get("iscrowd", 0) for row in rows], np.int64),
            keypoints=None if points is None else np.array(points, np.float64).reshape(len(rows), -1, 3),
            masks=codes,
            box_format="xywh_abs",
            image=images.pop() if images else None,
        )

    def _detections(
        self, ones: Sequence[Objects], keys: tuple[str, ...], sizes: IntArray
    ) -> DetectionColumns:
        index, boxes, labels = self._columns(ones, sizes, keys)
        scores = _numbers([one.scores for one in ones])
        if len(scores) != len(labels) or not np.isfinite(scores).all():
            raise EvaluationError(
                f"predictions have {len(labels)} labels and {np.isfinite(scores).sum()} finite scores",
                fix="give one finite score for each box",
            )
        return DetectionColumns(
            keys,
            sizes,
            index,
            labels,
            boxes,
            scores,
            boxes[:, 2] * boxes[:, 3],
            masks=MaskColumn.of(_joined(ones, index)) if self.masks else None,
            keypoints=_points(ones, len(index)) if self.keypoints else None,
        )

    def _truth(self, ones: Sequence[Objects], keys: tuple[str, ...], sizes: IntArray) -> GroundTruthColumns:
        index, boxes, labels = self._columns(ones, sizes, keys)
        codes = _joined(ones, index) if self.masks else None
        areas = boxes[:, 2] * boxes[:, 3]
        if codes is not None:
            found = [mask_codes.as_rle(one, _pair(sizes[i])) for one, i in zip(codes, index, strict=True)]
            areas = np.array([0.0 if one is None else mask_codes.area(one) for one in found], np.float64)
        counts = np.bincount(index, minlength=len(ones))
        stated = np.repeat([one.areas is not None for one in ones], counts)
        areas[stated] = _numbers([one.areas for one in ones if one.areas is not None])
        crowd = np.zeros(len(index), np.bool_)
        marked = np.repeat([one.crowd is not None for one in ones], counts)
        crowd[marked] = _numbers([one.crowd for one in ones if one.crowd is not None]) != 0
        return GroundTruthColumns(
            keys,
            sizes,
            index,
            Labels(
                labels,
                boxes,
                areas,
                crowd,
                segmentations=None if codes is None else SegmentationColumn.of(codes),
                keypoints=_points(ones, len(index)) if self.keypoints else None,
            ),
            self.classes,
            source="memory",
        )

    def _columns(
        self, ones: Sequence[Objects], sizes: IntArray, keys: tuple[str, ...]
    ) -> tuple[IntArray, FloatArray, IntArray]:
        """Image index, boxes as x, y, width and height in pixels, and class ids of all objects."""
        parts = arrays([one.labels for one in ones])
        counts = [part.size for part in parts]
        index = np.repeat(np.arange(len(ones)), counts)
        raw = _numbers([one.boxes for one in ones]).reshape(-1, 4)
        if len(raw) != len(index):
            raise EvaluationError(
                f"{len(raw)} boxes have {len(index)} labels", fix="give one label for each box"
            )
        if not np.isfinite(raw).all():
            wrong = index[np.argmin(np.isfinite(raw).all(axis=1))]
            raise EvaluationError(
                f"image {shortened(keys[wrong])}: a box is not finite",
                fix="look for NaN in what the model gives",
            )
        formats = [one.box_format for one in ones]
        boxes = np.zeros_like(raw)
        for kind in dict.fromkeys(formats):
            rows = np.repeat([one == kind for one in formats], counts)
            if kind.endswith("_norm") and (sizes[index[rows]] < 0).any():
                raise EvaluationError(
                    "normalized boxes are of images of unknown size", fix="give orig_size in the targets"
                )
            boxes[rows] = to_xywh_px(raw[rows], kind, sizes[index[rows]])
        flat = [part.reshape(-1) for part in parts]
        given = np.concatenate(flat).astype(np.int64) if flat else np.zeros(0, np.int64)
        contiguous = np.repeat([one.contiguous for one in ones], counts).astype(np.bool_)
        return index, boxes, np.where(contiguous, given, self._class_ids(given, contiguous))

    def _class_ids(self, labels: IntArray, contiguous: NDArray[np.bool_]) -> IntArray:
        """Contiguous class ids of labels."""
        place = np.minimum(np.searchsorted(self.sorted_ids, labels), len(self.sorted_ids) - 1)
        unknown = (self.sorted_ids[place] != labels) & ~contiguous
        unknown |= contiguous & ((labels < 0) | (labels >= len(self.classes)))
        if unknown.any():
            shown = listed(np.unique(labels[unknown]).tolist(), 10, quotes=False)
            known = listed(self.classes.source_ids, 10, quotes=False)
            raise EvaluationError(
                f"labels that no class has: {shown} ({np.count_nonzero(unknown)} objects); known are {known}",
                fix="give the meter classes={label: name} with all labels of the data set",
            )
        found: IntArray = self.order[place]
        return found


def arrays(values: Sequence[Any]) -> list[NDArray[Any]]:
    """Tensors or arrays as numpy's, without a copy of what is on the CPU, and with one of all the others."""
    if not values or not hasattr(values[0], "detach"):
        return [array_of(one) for one in values]
    if all(one.device.type == "cpu" for one in values):
        return [array_of(one) for one in values]
    import torch

    parts = [one.detach() for one in values]
    joint = array_of(torch.cat([part.reshape(-1) for part in parts]).cpu())
    ends = np.cumsum([part.numel() for part in parts])[:-1]
    return [one.reshape(tuple(part.shape)) for one, part in zip(np.split(joint, ends), parts, strict=True)]


def encoded(pixels: Any) -> list[RLE]:
    """Codes of (N, H, W) or (N, 1, H, W) masks, boolean or probabilities."""
    found = array_of(pixels)
    if found.ndim == 4 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 3:
        raise EvaluationError(
            f"masks have shape {found.shape}", fix="give masks of shape (N, H, W) or (N, 1, H, W)"
        )
    return [mask_codes.encode(one if one.dtype == np.bool_ else one > 0.5) for one in found]


def _numbers(values: Sequence[Any]) -> FloatArray:
    """All in one flat float64 array."""
    parts = [part.reshape(-1) for part in arrays([() if one is None else one for one in values])]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def _points(ones: Sequence[Objects], count: int) -> FloatArray:
    """(N, K, 3) keypoints of all objects."""
    given = arrays([one.keypoints for one in ones if one.keypoints is not None])
    parts = [part for part in given if part.size]
    if sum(map(len, parts)) != count or len({part.shape[1:] for part in parts}) > 1:
        raise EvaluationError(
            f"{count} objects have keypoints of shapes "
            + (listed([part.shape for part in parts], quotes=False) or "none"),
            fix="give keypoints of shape (N, K, 3) for the N boxes of each image",
        )
    found: FloatArray = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 0, 3))
    return found


def _joined(ones: Sequence[Objects], index: IntArray) -> list[Any]:
    codes = [code for one in ones for code in one.masks or ()]
    if len(codes) != len(index):
        raise EvaluationError(
            f"{len(index)} objects have {len(codes)} masks", fix="give one mask for each box"
        )
    return codes


def _by_image(values: Any) -> Iterable[tuple[ImageId | None, Any]]:
    """What is given for each image, with the image's id where that is known."""
    if isinstance(values, Mapping) and not {"boxes", "annotations"} & values.keys():
        return list(values.items())
    if not isinstance(values, Sequence) or isinstance(values, str):
        return [(None, values)]
    if values and all(isinstance(one, Mapping) and "bbox" in one and "image_id" in one for one in values):
        groups: dict[ImageId, list[Any]] = {}
        for one in values:
            groups.setdefault(one["image_id"], []).append(one)
        return list(groups.items())
    return [(None, one) for one in values]


def _named(one: Objects, image: ImageId | None) -> Objects:
    return one if image is None else replace(one, image=_plain_id(image))


def _paired(found: list[Objects], known: list[Objects]) -> list[tuple[Objects, Objects]]:
    """Predictions with their targets: by image where predictions name any, else one by one."""
    by_image: dict[ImageId | None, Objects] = {one.image: one for one in found if one.image is not None}
    if found and len(by_image) == len(found) and all(one.image is not None for one in known):
        strangers = by_image.keys() - {one.image for one in known}
        if strangers:
            raise EvaluationError(
                f"predictions of images without a target: {listed(sorted(map(str, strangers)))}",
                fix="give the targets of all images that are predicted, [] for those without objects",
            )
        none = Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
        return [(by_image.get(one.image, none), one) for one in known]
    if len(found) != len(known):
        raise EvaluationError(
            f"{len(found)} predictions for {len(known)} targets", fix="give one of each for every image"
        )
    return list(zip(found, known, strict=True))


def _size(found: Objects, known: Objects) -> tuple[int, int]:
    return known.size_wh if known.size_wh[0] >= 0 else found.size_wh


def _stated_size(one: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) in pixels of the original image, (-1, -1) where it is not stated."""
    if one.get("orig_size") is not None:
        height, width = array_of(one["orig_size"]).tolist()
        return int(width), int(height)
    if "width" in one and "height" in one:
        return int(one["width"]), int(one["height"])
    return -1, -1


def _image_id(one: Mapping[str, Any]) -> ImageId | None:
    return None if one.get("image_id") is None else _plain_id(one["image_id"])


def _plain_id(value: Any) -> ImageId:
    """An id as Python has it; it may be a tensor of one number."""
    if isinstance(value, str):
        return value
    number = array_of(value)
    if number.size != 1 or number.dtype.kind not in "iu":
        raise EvaluationError(f"the image id {_shown(value)} is no integer", fix="give integers or text")
    return int(number.reshape(-1)[0])


def _code(segmentation: Any) -> Segmentation:
    """COCO's run-length codes or polygons as ours."""
    if isinstance(segmentation, Mapping):
        counts, size = segmentation["counts"], tuple(map(int, segmentation["size"]))
        height, width = size
        if isinstance(counts, list):
            return mask_codes.from_uncompressed(counts, (height, width))
        return RLE((height, width), counts.decode("ascii") if isinstance(counts, bytes) else counts)
    return tuple(tuple(map(float, ring)) for ring in segmentation) if segmentation else None


def _pair(size_wh: IntArray) -> tuple[int, int]:
    width, height = size_wh.tolist()
    return width, height


def _is_supervision(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("xyxy", "confidence", "class_id", "mask"))


def _is_listed(value: Any) -> bool:
    """Whether it is a list of COCO's dictionaries, or of none."""
    listed_all = isinstance(value, list | tuple)
    return listed_all and all(isinstance(one, Mapping) and "bbox" in one for one in value)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dictionary of {listed(list(value), 8)}"
    return f"{type(value).__name__} {shortened(repr(value))}"
