"""Results written as COCO has them, under a data set's own image and category ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from anydet.contract.columns import to_images
from anydet.contract.join import join_keys
from anydet.contract.reading.coco_entries import Result, parse_results
from anydet.contract.reading.coco_results import join_results, join_rows, sizes_by_id
from anydet.contract.reading.load import accepted
from anydet.contract.reading.result_ids import coco_ids
from anydet.contract.reading.source import Source
from anydet.errors import ContractError
from anydet.geometry.boxes import xyxy_to_xywh
from anydet.geometry.masks import bounds_xywh
from anydet.types import RLE, ClassTable, GroundTruthColumns, ImagePredictions, IntArray

_SAME_PX = 1e-6
_KNOWN = frozenset(Result.__struct_fields__) - {"file_name"}  # COCO does not know it


def images_of_coco(
    source: Source,
    truth: GroundTruthColumns,
    class_map: str | None = None,
    *,
    box_format: str | None = None,
    refuse_odd: bool = False,
) -> Iterator[ImagePredictions]:
    """The results of a COCO file, sizes from the data set; keypoints that are all 0 are missing ones.

    Keys that COCO does not know become ``detection_extra``. ``class_map`` says how category ids count, where
    they are not the data set's, and ``box_format`` what boxes are in, where they are not as in COCO;
    ``refuse_odd`` is as for ``load``.
    """
    images, classes = coco_ids(truth, class_map)
    found = parse_results(source, sizes_by_id(truth))
    joined = join_rows(source.path, found, images, classes)
    raw = accepted(join_results(source.path, found, images, classes, joined), refuse_odd=refuse_odd)
    sizes = truth.sizes_wh[join_keys(raw.images, truth.images)].reshape(-1, 2)
    columns = raw.columns(raw.format_used(box_format), sizes)
    if columns.keypoints is not None:
        missing = (columns.keypoints == 0).all(axis=2, keepdims=True)
        columns = replace(columns, keypoints=np.where(missing, np.nan, columns.keypoints))
    rows = np.arange(len(joined.images)) if joined.rows is None else joined.rows
    extras = _extras(source.text, rows[joined.classes >= 0])
    start = 0
    for image in to_images(columns):
        own = extras[start : start + len(image)]
        start += len(image)
        yield replace(image, detection_extra=own) if any(own) else image


def coco_results(
    images: Sequence[ImagePredictions], truth: GroundTruthColumns, names: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Results as COCO's list; the bbox is x, y, width, height, and left out where all are around masks.

    Args:
        images: results whose keys join those of the data set.
        truth: the data set.
        names: class names of the results; classes join by name where both sides have them.

    Raises:
        ContractError: the data set has no image ids, or does not know an image or a class.
    """
    if truth.image_ids is None:
        raise ContractError(
            f"COCO results name images by id, and this data set ({truth.source}) has no image ids",
            fix="give the COCO annotations JSON that the ids come from as the data set",
        )
    known = truth.image_names or truth.image_ids.tolist()
    ids = [known[i] for i in join_keys([p.image for p in images], truth.images).tolist()]
    categories = category_ids(truth.classes, names)
    results = [
        result
        for image_id, image in zip(ids, images, strict=True)
        for result in _results(image_id, image, categories)
    ]
    masks = [mask for image in images for mask in image.masks or (None,) * len(image)]
    if masks and all(map(_says_nothing_more, results, masks)):
        for result in results:
            del result["bbox"]
    return results


def _says_nothing_more(result: Mapping[str, Any], mask: RLE | None) -> bool:
    """Whether the box of a result is just the one around its mask.

    With a box, pycocotools takes that one's area for the mask's.
    """
    return mask is not None and bool(np.allclose(result["bbox"], bounds_xywh(mask), rtol=0, atol=_SAME_PX))


def category_ids(classes: ClassTable, names: Sequence[str] | None) -> tuple[int | str, ...]:
    """The data set's category id of each class id; raises ``ContractError`` for names it does not have."""
    source = classes.own_ids
    if names is None or tuple(names) == classes.names:
        return source
    position = {name: i for i, name in enumerate(classes.names)}
    unknown = [name for name in names if name not in position]
    if unknown:
        raise ContractError(
            f"classes that the data set does not have: {', '.join(map(repr, unknown[:5]))} "
            f"(of {len(names)} there, {len(classes)} here)",
            fix="give the data set of the predictions, or correct meta.classes",
        )
    return tuple(source[position[name]] for name in names)


def _results(
    image_id: int | str, p: ImagePredictions, categories: Sequence[int | str]
) -> Iterator[dict[str, Any]]:
    beyond = np.flatnonzero(p.class_ids >= len(categories))
    if len(beyond):
        row = int(beyond[0])
        raise ContractError(
            f"{p.image}: detections[{row}]: class_id {p.class_ids[row]} where the data set has "
            f"{len(categories)} classes",
            fix="give the data set that the predictions were made for",
        )
    boxes = xyxy_to_xywh(p.boxes_xyxy_px).tolist()
    for row, (class_id, score) in enumerate(zip(p.class_ids.tolist(), p.scores.tolist(), strict=True)):
        result = {
            "image_id": image_id,
            "category_id": categories[class_id],
            "bbox": boxes[row],
            "score": score,
        }
        mask = p.masks[row] if p.masks else None
        if mask is not None:
            result["segmentation"] = {"size": list(mask.size_hw), "counts": mask.counts}
        if p.keypoints is not None and not np.isnan(p.keypoints[row]).all():
            result["keypoints"] = _keypoints(p.keypoints[row])
        yield result


def _extras(text: bytes, order: IntArray) -> tuple[dict[str, Any] | None, ...]:
    """Unknown keys of each result, in this order of results."""
    results = msgspec.json.decode(text, type=list[dict[str, msgspec.Raw]])
    return tuple(
        {key: msgspec.json.decode(value) for key, value in results[i].items() if key not in _KNOWN} or None
        for i in order.tolist()
    )


def _keypoints(points: Any) -> list[float]:
    """x, y, score of each point; all 0 where it is missing, score 1 where there is none."""
    missing = np.isnan(points[:, :2]).any(axis=1)
    scored = np.where(np.isnan(points), [0.0, 0.0, 1.0], points)
    flat: list[float] = np.where(missing[:, None], 0.0, scored).reshape(-1).tolist()
    return flat
