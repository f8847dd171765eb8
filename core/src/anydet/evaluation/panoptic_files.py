"""Predicted segments: COCO's JSON with PNG files in which they are drawn by ids, or masks of detections."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anydet.data.coco.panoptic import PanopticMask
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.class_mask import ClassMaskColumn
from anydet.data.record.containment import contained
from anydet.dataclass import dataclass
from anydet.errors import ContractError, EvaluationError
from anydet.evaluation.lacking_rows import refuse
from anydet.evaluation.panoptic import DetectionSegments, FoundSegments
from anydet.evaluation.reading import read_inputs
from anydet.inputs import read_json, require_text
from anydet.mask_columns import MaskColumn
from anydet.text import as_given, counted, listed, quoted
from anydet.types import ClassTable


class _Segment(msgspec.Struct, gc=False):
    id: int
    category_id: int


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    file_name: str
    segments_info: list[_Segment]


class _File(msgspec.Struct):
    annotations: list[_Annotation]


@dataclass(frozen=True, slots=True, eq=False)
class PanopticInputs:
    """True and predicted segments of images.

    Attributes:
        images: keys of the images that have true segments.
        pairs: true and predicted segments of each of them.
        classes: the class table.
        context: data set, split, predictions and counts, for the protocol.
        warnings: what lowers the numbers, or is left out.
    """

    images: tuple[str, ...]
    pairs: tuple[tuple[PanopticMask, FoundSegments], ...]
    classes: ClassTable
    context: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


class _Probe(msgspec.Struct):
    annotations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def read_panoptic_sides(
    dataset: Dataset, predictions: Path, folder: Path | None = None, max_images: int | None = None
) -> PanopticInputs:
    """Join predicted segments to the images of a data set.

    Args:
        dataset: of COCO's panoptic format.
        predictions: JSON with ``annotations``, each with ``image_id``, ``file_name`` and ``segments_info``,
            joined by image id as panopticapi does; or predictions whose detections have masks.
        folder: of the PNG files; by default the path of the JSON without its suffix.
        max_images: only the first so many images of the data set.

    Raises:
        EvaluationError: the data set has no panoptic segments, an image has no prediction, or a detection no
            mask.
        ContractError: the JSON is malformed, names a category that the data set does not have, or a PNG file
            that is not there.
    """
    truth = dataset.ground_truth(max_images)
    masks = None if truth.about is None else truth.about.semantic_masks
    sources = masks.sources if isinstance(masks, ClassMaskColumn) else ()
    if truth.image_ids is None or not any(isinstance(one, PanopticMask) for one in sources):
        raise EvaluationError(
            f"{dataset.root}: no panoptic segments",
            fix="give COCO's panoptic JSON (panoptic_val2017.json), its PNG files in the folder of its name",
        )
    if folder is None and not _is_panoptic(predictions):
        return _of_detections(dataset, predictions, max_images, sources)
    folder = predictions.with_suffix("") if folder is None else folder
    found = read_panoptic_results(predictions, folder, truth.classes)
    true = {
        id_: (key, one)
        for id_, key, one in zip(truth.image_ids.tolist(), truth.images, sources, strict=True)
        if isinstance(one, PanopticMask)
    }
    missing = [key for id_, (key, _) in true.items() if id_ not in found]
    if missing:
        raise EvaluationError(
            f"{predictions}: no prediction of {counted(len(missing), 'image')} of {len(true)}: "
            f"{listed(missing, 3, quotes=False)}",
            fix="predict all images, those without a segment too (segments_info: []), or evaluate the first "
            "ones with --max-images",
        )
    known = {id_: found[id_] for id_ in true}
    _require_files(predictions, folder, known.values())
    surplus = len(found) - len(known)
    note = f"{predictions}: {counted(surplus, 'image')} without true segments left out"
    return PanopticInputs(
        tuple(key for key, _ in true.values()),
        tuple((one, known[id_]) for id_, (_, one) in true.items()),
        truth.classes,
        {
            "dataset": as_given(str(dataset.root)),
            "split": dataset.split,
            "max_images": max_images,
            "ground_truth": truth.source,
            "predictions": as_given(str(predictions)),
            "predicted_images_left_out": surplus,
        },
        (note,) if surplus and max_images is None else (),
    )


def _is_panoptic(file: Path) -> bool:
    """Whether it is an object with annotations, or no JSON; predictions of other forms are neither."""
    if file.is_dir() or file.suffix.lower() != ".json":
        return False
    try:
        return msgspec.json.decode(read_json(file), type=_Probe).annotations is not msgspec.UNSET
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.ValidationError):
        return False
    except msgspec.DecodeError:
        return True


def _of_detections(
    dataset: Dataset, predictions: Path, max_images: int | None, sources: Sequence[object]
) -> PanopticInputs:
    """Segments that are the masks of detections; images without a prediction have none."""
    inputs = read_inputs(dataset, predictions, max_images=max_images)
    detections, truth = inputs.detections, inputs.ground_truth
    masks = MaskColumn.of(detections.masks or (None,) * len(detections))
    refuse(
        masks.missing,
        detections,
        "detections have no mask",
        "give COCO's panoptic results (JSON and PNG files), or export with an adapter that predicts masks",
    )
    order = np.argsort(detections.image_index, kind="stable")
    borders = np.searchsorted(detections.image_index[order], np.arange(len(truth.images) + 1))
    kept = [i for i, one in enumerate(sources) if isinstance(one, PanopticMask)]
    pairs = []
    for i in kept:
        rows, true = order[borders[i] : borders[i + 1]], sources[i]
        assert isinstance(true, PanopticMask), "an image with true segments"
        found = masks.take(rows), detections.scores[rows], detections.class_ids[rows]
        pairs.append((true, DetectionSegments(predictions, *found)))
    return PanopticInputs(
        tuple(truth.images[i] for i in kept), tuple(pairs), truth.classes, inputs.context, inputs.warnings
    )


def read_panoptic_results(file: Path, folder: Path, classes: ClassTable) -> dict[int, PanopticMask]:
    """Image id -> predicted segments; no PNG is opened.

    Raises ``ContractError`` where the JSON is malformed, or names what there cannot be.
    """
    annotations = _decode(file).annotations
    if not folder.is_dir():
        raise ContractError(
            f"{file}: its PNG files are not in {folder}", fix="name their folder: --segments DIR"
        )
    class_of = dict(zip(classes.source_ids, range(len(classes)), strict=True))
    found: dict[int, PanopticMask] = {}
    for annotation in annotations:
        if annotation.image_id in found:
            raise ContractError(
                f"{file}: image_id {annotation.image_id} has two annotations", fix="give each image one"
            )
        for problem in _problems(annotation, class_of):
            raise ContractError(f"{file}: image_id {annotation.image_id}: {problem}", fix="correct the JSON")
        found[annotation.image_id] = PanopticMask(
            contained(folder, annotation.file_name, links=True),
            {one.id: class_of[one.category_id] for one in annotation.segments_info},
        )
    return found


def _decode(file: Path) -> _File:
    try:
        return msgspec.json.decode(read_json(file), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        require_text(file)
        raise ContractError(
            f"{file}: no panoptic results: {exc}",
            fix="give annotations with image_id, file_name and segments_info (id and category_id of each)",
        ) from exc


def _problems(annotation: _Annotation, class_of: Mapping[int, int]) -> Iterator[str]:
    ids = [one.id for one in annotation.segments_info]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        yield f"segment {twice} is there twice in segments_info"
    for one in annotation.segments_info:
        if not 0 < one.id < 1 << 24:
            yield f"segment id {one.id}: ids are 1 to {(1 << 24) - 1}, which R + 256 G + 65536 B can be"
        if one.category_id not in class_of:
            yield (
                f"segment {one.id} has the category_id {one.category_id}, which the data set does not have "
                f"(it has {listed(list(class_of), 5, quotes=False)})"
            )


def _require_files(file: Path, folder: Path, masks: Collection[PanopticMask]) -> None:
    """Raise ``ContractError`` where PNG files are missing, before the others are counted for minutes."""
    paths = [one.path for one in masks]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ContractError(
            f"{file}: {len(missing)} of {len(paths)} PNG files are not in {folder}: "
            f"{listed([quoted(name) for name in missing], 3, quotes=False)}",
            fix="write them, or name their folder: --segments DIR",
        )
