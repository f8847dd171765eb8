"""The ``onnxruntime`` adapter: an ONNX file and a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.geometry.boxes import area_xyxy, clip_xyxy, nms_by_class
from anydet.plugins.adapter import Adapter
from anydet.runtime.classes import model_classes
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import Candidates, Decoder, Landmarked, Masked, Outputs, select
from anydet.runtime.layouts.shapes import Signature
from anydet.runtime.masks import mask_codes
from anydet.runtime.metadata import stated_size
from anydet.runtime.options import build_recipe
from anydet.runtime.preprocess import Placement, Preprocessor
from anydet.types import RLE, AdapterSettings, ClassTable, FloatArray, ImagePredictions, IntArray, Size
from anydet_onnxruntime.layout_matching import bind_layout, fit_reading, require_options, with_stated_preset
from anydet_onnxruntime.model import Model

_MAX_CANDIDATES = 3000
_NAMELESS = (
    "neither the model file nor its outputs say what its classes are, so predictions carry numbers alone; "
    "add --option names=FILE, or names=coco for a model trained on COCO"
)


class OnnxRuntimeAdapter(Adapter):
    """Any ONNX detector of a known family.

    Args:
        settings: ``checkpoint`` is the ``.onnx`` file; ``device`` is ``cpu``, ``cuda``, ``cuda:N``,
            ``tensorrt`` or ``tensorrt:N``; options are those of ``options.schema.json``.

    Raises:
        OptionError: an option, or the lack of one, makes no sense for this model.
        ModelError: the file is no model that runs here, or not of the family that the preset names.
    """

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        threads = settings.options.get("threads")
        self._model = Model(_checkpoint(settings), device=settings.device, threads=threads)
        options = with_stated_preset(settings.options, self._model)
        require_options(options, self._model)
        stated_wh = stated_size(self._model.metadata)
        self._recipe = build_recipe(options, self._model.inputs.size_wh, stated_wh=stated_wh)
        self._preset: str | None = options.get("preset")
        self._preprocessor = Preprocessor(self._recipe, self._model.inputs.dtype)
        decoder = self._settled_decoder()
        self._classes = model_classes(
            decoder.class_count,
            names=options.get("names"),
            metadata=self._model.metadata,
            usual=self._recipe.names,
            first_label=self._recipe.first_label,
        )
        self._landmark_names = decoder.landmark_names if isinstance(decoder, Landmarked) else ()
        self._countless = decoder.class_count is None
        self._limit: int = options.get("max_candidates", _MAX_CANDIDATES)

    @property
    def classes(self) -> ClassTable | None:
        """Names from the ``names`` option, the model file, or COCO's where there are as many classes."""
        return self._classes.table

    @property
    def notes(self) -> Mapping[str, Any]:
        """Preprocessing and NMS as they are used, for ``meta``; names of landmarks, and what is missing."""
        recipe = self._recipe
        return {
            "image_size": list(recipe.size_wh),
            "nms_iou": recipe.nms_iou,
            "preprocess": {
                "preset": self._preset,
                "layout": recipe.layout,
                "resize": recipe.resize,
                "pad": recipe.pad,
                "channels": recipe.channels,
                "mean": list(recipe.mean),
                "std": list(recipe.std),
            },
            "providers": list(self._model.providers),
            "keypoint_names": list(self._landmark_names),
            "warnings": [_NAMELESS] if self._countless and self._classes.table is None else [],
        }

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order, in batches as large as the model takes."""
        for start in range(0, len(records), self._model.batch):
            yield from self._predict_batch(records[start : start + self._model.batch])

    def close(self) -> None:
        """Free the session."""
        self._model.close()

    def _predict_batch(self, records: Sequence[Record]) -> list[ImagePredictions]:
        with self.stage("decode"):
            images = [record.image() for record in records]
        with self.stage("preprocess"):
            inputs, placements = self._preprocessor.batch(images, self._recipe.size_wh)
        with self.stage("model"):
            outputs = self._model.run(inputs)
        with self.stage("postprocess"):
            results = zip(records, outputs, placements, strict=True)
            return [self._finish(record.key, out, placement) for record, out, placement in results]

    def _finish(self, key: str, outputs: Outputs, placement: Placement) -> ImagePredictions:
        try:
            shapes = tuple(o.shape for o in outputs)
            decoder = self._decoder(self._model.signature(shapes), placement.input_wh)
            found = self._select(decoder, outputs, placement)
        except ModelError as exc:
            raise ModelError(f"{self._model.path}, image {key}: {exc.problem}", fix=exc.fix) from exc
        boxes = clip_xyxy(placement.to_image(found.boxes_xyxy_px), placement.image_wh)
        inside = np.flatnonzero(area_xyxy(boxes) > 0)  # what was found in the border alone is gone
        keep = inside[self._suppress(boxes[inside], found.scores[inside], found.class_ids[inside])]
        found = found.take(keep)
        return ImagePredictions(
            key,
            placement.image_wh,
            boxes[keep],
            found.scores,
            found.class_ids,
            masks=_masks(decoder, outputs, found, placement),
            keypoints=_keypoints(decoder, outputs, found, placement),
        )

    def _select(self, decoder: Decoder, outputs: Outputs, placement: Placement) -> Candidates:
        return select(
            decoder,
            outputs,
            self._classes,
            floor=self.settings.score_floor,
            limit=self._limit,
            input_wh=placement.input_wh,
        )

    def _suppress(self, boxes: FloatArray, scores: FloatArray, class_ids: IntArray) -> IntArray:
        if self._recipe.nms_iou is None:
            return np.argsort(-scores, kind="stable")
        return nms_by_class(boxes, scores, class_ids, self._recipe.nms_iou)

    def _settled_decoder(self) -> Decoder:
        """Of a run on zeros, which settles how outputs are read."""
        size_wh = self._recipe.size_wh
        readings = self._model.readings(size_wh, self._batch_wanted())
        reading = fit_reading(self._model, readings, self._recipe.layout, size_wh, named_by=self._named_by)
        return self._decoder(reading.signature, size_wh)

    def _decoder(self, outputs: Signature, input_wh: Size) -> Decoder:
        return bind_layout(self._model, outputs, self._recipe.layout, input_wh, named_by=self._named_by)

    @property
    def _named_by(self) -> str:
        own = "layout" in self.settings.options
        return f"layout={self._recipe.layout}" if own else f"preset={self._preset}"

    def _batch_wanted(self) -> int:
        """Images of ``shortest`` differ in size, so they cannot be in one batch."""
        return 1 if self._recipe.resize == "shortest" else self.settings.batch_size


def _masks(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement
) -> tuple[RLE, ...] | None:
    prototypes = decoder.prototypes(outputs) if isinstance(decoder, Masked) else None
    if prototypes is None or not isinstance(decoder, Masked):
        return None
    return mask_codes(decoder.coefficients(outputs, found.rows), prototypes, found.boxes_xyxy_px, placement)


def _keypoints(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement
) -> FloatArray | None:
    """Landmarks in the image; their scores are NaN, for these families give none."""
    if not isinstance(decoder, Landmarked) or not decoder.landmark_names:
        return None
    points = placement.points_to_image(decoder.landmarks(outputs, found.rows))
    return np.concatenate([points, np.full((*points.shape[:2], 1), np.nan)], axis=-1)


def _checkpoint(settings: AdapterSettings) -> str:
    if settings.config is not None:
        raise OptionError(
            f"the onnxruntime adapter has no configurations (got {settings.config!r})",
            fix="leave --config out; use --option preset=NAME",
        )
    if not settings.checkpoint:
        raise OptionError(
            "the onnxruntime adapter needs a model file",
            fix="add --checkpoint MODEL.onnx --option preset=NAME",
        )
    return settings.checkpoint
