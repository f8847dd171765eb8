"""``RuntimeAdapter``: the life of an adapter whose model is run by a runtime, from file to predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.geometry.placement import Placement
from anydet.plugins.adapter import Adapter, AdapterNotes
from anydet.prediction.pixel_classes import predictions_of_image, predictions_of_pixels
from anydet.runtime.classes import COCO_COUNTS, model_classes
from anydet.runtime.decoding import Decoding, SeenScores, class_probabilities
from anydet.runtime.errors import ModelError
from anydet.runtime.layout_matching import bind_layout, fit_reading, require_options, with_stated_preset
from anydet.runtime.layouts import Bound
from anydet.runtime.layouts.candidates import Landmarked, Oriented, Outputs
from anydet.runtime.layouts.classify import ImageClasses
from anydet.runtime.layouts.declared import Pixels, Queries
from anydet.runtime.layouts.shapes import Signature
from anydet.runtime.loaded import LoadedModel
from anydet.runtime.metadata import stated_size, unread_names
from anydet.runtime.model import Model
from anydet.runtime.not_numbers import require_numbers
from anydet.runtime.options import settle_preset
from anydet.runtime.preprocess import Preprocessor
from anydet.runtime.presets import described_preset
from anydet.runtime.quantized import quantized_types
from anydet.runtime.stages import RuntimeStages
from anydet.text import counted, quoted
from anydet.types import AdapterSettings, ByteImage, ClassTable, ImagePredictions, Size

_MAX_CANDIDATES = 3000
_NAMELESS = (
    "neither the model file nor its outputs say what its classes are, so predictions carry numbers alone; "
    "add --option names=FILE"
)
_OR_COCO = ", or names=coco for a model trained on COCO"
_ASSUMED = (
    "classes have COCO's names for no other reason than that the model has {columns} columns of them: add "
    "--option names=coco if that is right, or names=FILE"
)
_UNREAD = "{path}: names in its metadata is no list or dictionary of names, and is not used: {text}"
_ORIENTED = (
    "boxes of this model are oriented: bbox is the smallest upright box around each, mask the oriented box, "
    "and keypoints are its corners, which 'anydet eval-coco --iou-type obb' scores"
)


class RuntimeAdapter(Adapter):
    """Base class of adapters that run model files.

    A runtime defines how a file is opened (``load``). Options are those of ``options.schema.json``; a
    runtime's own schema may refer to it by ``$ref`` and add others.

    Attributes:
        registered_name: name that messages have; ``name`` is known after ``__init__`` only.
        model_file: such a file, as hints call it.

    Args:
        settings: ``checkpoint`` is the model file.

    Raises:
        OptionError: an option, or the lack of one, makes no sense for this model.
        ModelError: the file is no model that runs here, or not of the family that the preset names.
    """

    registered_name: ClassVar[str]
    model_file: ClassVar[str] = "MODEL.onnx"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        path = self._checkpoint()
        self._model = Model(path, self.load(path))
        self._quantized = quantized_types(Path(path))
        given = {**self.stated_options(path), **settings.options}
        options = with_stated_preset(given, self._model)
        require_options(options, self._model)
        description = self._model.description
        self._preset = settle_preset(
            options,
            self._model.inputs.size_wh,
            described=None if description is None else described_preset(description),
            stated_wh=stated_size(self._model.metadata),
        )
        self._preset_name: str | None = options.get("preset")
        self._chosen_by_outputs = self._preset_name is not None and "preset" not in given
        self._layout_chosen = "layout" in options
        self._names_given = "names" in options
        self._preprocessor = Preprocessor(self._preset.preprocess, self._model.inputs.dtype)
        decoder = self._settled_decoder()
        self._classes = model_classes(
            decoder.class_count,
            names=options.get("names"),
            metadata=self._model.metadata,
            described=() if description is None else description.classes,
            usual=self._preset.names,
            first_label=self._preset.first_label,
            background_last=self._preset.background_last,
        )
        self._decoding = Decoding(
            self._classes,
            self._preset.nms_iou,
            settings.score_floor,
            limit=options.get("max_candidates", self._most_candidates(decoder)),
        )
        named = description.keypoint_names if description is not None else ()
        self._keypoint_names = named or (decoder.landmark_names if isinstance(decoder, Landmarked) else ())
        self._class_count = decoder.class_count
        self._oriented = isinstance(decoder, Oriented)
        self._most: int | None = None
        self._scores = SeenScores(settings.score_floor)

    @abstractmethod
    def load(self, path: str) -> LoadedModel:
        """The model of a file, opened by ``settings``.

        Raises ``ModelError`` where it cannot be opened, ``OptionError`` where the device is not there.
        """

    def stated_options(self, path: str) -> Mapping[str, Any]:
        """Options that stand beside a file, and count where the settings have none of that name."""
        del path
        return {}

    @property
    def classes(self) -> ClassTable | None:
        """Names from the ``names`` option, the model file, or COCO's where there are as many classes."""
        return self._classes.table

    @property
    def notes(self) -> AdapterNotes:
        """Preprocessing and NMS as they are used, for ``meta``; names of landmarks, and what is missing."""
        preset, description = self._preset, self._model.description
        runtime = self._model.runtime.as_dict()
        # A runtime that computes as the file says does not state in what.
        stated = () if description is None or description.source is None else (description.source.precision,)
        if self._quantized:
            runtime.setdefault("precision", ", ".join((*self._quantized, *(stated or ("float32",)))))
            runtime.setdefault("quantized", ", ".join(self._quantized))
        elif stated:
            runtime.setdefault("precision", *stated)
        return AdapterNotes(
            image_size=preset.preprocess.size_wh,
            nms_iou=preset.nms_iou,
            preprocess=preset.preprocess,
            details={"preset": self._preset_name, "layout": preset.layout},
            runtime=runtime,
            states=description.states if description is not None else (),
            keypoint_names=self._keypoint_names,
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[str]:
        yield from self._doubts_of_names()
        if self._oriented:
            yield _ORIENTED
        if silence := self._scores.silence:
            yield silence
        if self._chosen_by_outputs and self._preset.caution:
            yield f"preset {self._preset_name} was chosen by the outputs: {self._preset.caution}"

    def _doubts_of_names(self) -> Iterator[str]:
        unread = None if self._names_given else unread_names(self._model.metadata)
        if unread is not None:
            yield _UNREAD.format(path=self._model.path, text=quoted(unread))
        if self._classes.table is None:
            own = self._classes.columns
            count = self._class_count if own is None else len(own)
            of_coco = count is None or count in COCO_COUNTS
            yield _NAMELESS + (_OR_COCO if of_coco else f" with {counted(count or 0, 'name')}")
        elif self._classes.assumed:
            yield _ASSUMED.format(columns=self._class_count)

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order, in batches as large as the model takes.

        Where the input's size follows the image, neighbors whose inputs have one size are a batch.
        """
        for chunk, images in self._batches(records, self._model.batch):
            yield from self._predict_batch(chunk, images)

    @property
    def stages(self) -> RuntimeStages:
        """Its stages one by one."""

        def bind(outputs: Outputs, input_wh: Size) -> Bound:
            return self._decoder(self._model.signature(tuple(o.shape for o in outputs)), input_wh)

        return RuntimeStages(
            self._preset.preprocess,
            self._model,
            self._decoding,
            self._preprocessor,
            bind,
            self._result,
            self.load,
        )

    @contextmanager
    def keeping_best(self, most: int | None) -> Iterator[None]:
        """While it is open, suppression ends with so many detections of an image."""
        before, self._most = self._most, most
        try:
            yield
        finally:
            self._most = before

    def close(self) -> None:
        """Free the model."""
        self._model.close()

    def _batches(
        self, records: Sequence[Record], most: int
    ) -> Iterator[tuple[list[Record], list[ByteImage]]]:
        """Records and their pixels, ``most`` at once or fewer: neighbors whose inputs have one size."""

        def input_wh(pair: tuple[Record, ByteImage]) -> Size:
            height, width, _ = pair[1].shape
            return self._preset.preprocess.input_wh((width, height))

        for start in range(0, len(records), most):
            chunk = records[start : start + most]
            with self.stage("decode"):
                images = [record.image() for record in chunk]
            for _, alike in groupby(zip(chunk, images, strict=True), key=input_wh):
                pairs = list(alike)
                yield [record for record, _ in pairs], [image for _, image in pairs]

    def _predict_batch(
        self, records: Sequence[Record], images: Sequence[ByteImage]
    ) -> list[ImagePredictions]:
        """Results of images whose inputs have one size."""
        with self.stage("preprocess"):
            inputs, placements = self._preprocessor.batch(images)
        with self.stage("model"):
            outputs = self._model.run(inputs)
        with self.stage("postprocess"):
            results = zip(records, outputs, placements, strict=True)
            return [self._result(record, out, placement) for record, out, placement in results]

    def _result(self, record: Record, outputs: Outputs, placement: Placement) -> ImagePredictions:
        try:
            shapes = tuple(o.shape for o in outputs)
            decoder = self._decoder(self._model.signature(shapes), placement.input_wh)
            if isinstance(decoder, Pixels):
                require_numbers(outputs, [tensor.name for tensor in self._model.outputs])
                return self._pixels_result(record.key, decoder, outputs, placement)
            if isinstance(decoder, ImageClasses):
                return predictions_of_image(record.key, placement.image_wh, decoder.image_scores(outputs))
            result = self._decoding.result(record, decoder, outputs, placement, most=self._most)
            self._scores.look(result, decoder, outputs)
            return result
        except ModelError as exc:
            raise self._of_image(record, outputs, exc) from exc

    def _of_image(self, record: Record, outputs: Outputs, problem: ModelError) -> ModelError:
        """The problem, or NaN that caused it, with file and image."""
        try:
            require_numbers(outputs, [tensor.name for tensor in self._model.outputs])
        except ModelError as exc:
            problem = exc
        where = f"{self._model.path}, image {record.key}"
        return ModelError(f"{where}: {problem.problem}", details=problem.details, fix=problem.fix)

    def _pixels_result(
        self, key: str, decoder: Pixels, outputs: Outputs, placement: Placement
    ) -> ImagePredictions:
        description = self._model.description
        return predictions_of_pixels(
            key,
            class_probabilities(decoder.pixel_logits(outputs), placement),
            decoder.image_scores(outputs).tolist(),
            self.classes,
            self.settings,
            min_area_px=1 if description is None else description.min_area_px,
        )

    def _most_candidates(self, decoder: Bound) -> int:
        """Of queries as many pairs of query and class as there are queries, as DETR's descendants do."""
        if isinstance(decoder, Queries):
            return max(decoder.query_count, self.settings.max_detections)
        return _MAX_CANDIDATES

    def _settled_decoder(self) -> Bound:
        """Of a run on zeros, which settles how outputs are read."""
        size_wh = self._preset.preprocess.input_wh(self._preset.preprocess.size_wh)
        readings = self._model.readings(size_wh, self.settings.batch_size)
        preset = replace(self._preset, alternatives=()) if self._layout_chosen else self._preset
        layout = fit_reading(self._model, readings, preset, size_wh, named_by=self._named_by)
        self._preset = replace(self._preset, layout=layout)
        assert self._model.reading is not None
        return self._decoder(self._model.reading.signature, size_wh)

    def _decoder(self, outputs: Signature, input_wh: Size) -> Bound:
        return bind_layout(self._model, outputs, self._preset.layout, input_wh, named_by=self._named_by)

    @property
    def _named_by(self) -> str:
        if self._layout_chosen:
            return f"layout={self._preset.layout}"
        return "its description" if self._preset_name is None else f"preset={self._preset_name}"

    def _checkpoint(self) -> str:
        if self.settings.config is not None:
            raise OptionError(
                f"the {self.registered_name} adapter has no configurations (got {self.settings.config!r})",
                fix="leave --config out; use --option preset=NAME",
            )
        if not self.settings.checkpoint:
            raise OptionError(
                f"the {self.registered_name} adapter needs a model file",
                fix=f"add --checkpoint {self.model_file} --option preset=NAME",
            )
        return self.settings.checkpoint
