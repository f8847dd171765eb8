"""The ``transformers`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from anydet.errors import OptionError
from anydet.plugins.adapter import AdapterNotes, ClassLogits
from anydet.plugins.export import ExportSpec
from anydet.training.adapter import TorchAdapter
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable
from anydet_transformers.about import NAME, About
from anydet_transformers.build import build_task
from anydet_transformers.export import export_spec
from anydet_transformers.inputs import described
from anydet_transformers.model import LibraryModel
from anydet_transformers.predictor import Predictor
from anydet_transformers.prompts import PromptPredictor, Texts, read_texts
from anydet_transformers.saved import Saved, read_saved
from anydet_transformers.segments import Segmenter
from anydet_transformers.task import LibraryTraining
from anydet_transformers.untrained import describe


class Transformers(TorchAdapter[LibraryModel, Saved]):
    """A detector, segmentation model or zero-shot detector of the library.

    Args:
        settings: ``checkpoint`` is a folder that ``save_pretrained`` wrote, the id of a model on the hub, a
            run's folder, or a checkpoint of one. Without one, the option ``model`` says what to build with
            random weights. Options are those of ``options.schema.json``.

    Raises:
        TrainingError: weights cannot be had or read, or are of a model that is not run here.
        OptionError: there is no model, or an option does not fit it.
    """

    registered_name = NAME
    weights_hint = "--checkpoint with a folder of save_pretrained, an id of the hub, or a run"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self._about: About | None = self._described()
        self._texts: Texts | None = self._read_texts()

    @property
    def classes(self) -> ClassTable | None:
        """Names of the checkpoint, of the option ``names``, or the prompts."""
        if self._about is None:
            return None
        return ClassTable(self._texts.prompts if self._texts else self._about.classes)

    @property
    def notes(self) -> AdapterNotes:
        """Preprocessing where it can be described, and whether the weights mean anything."""
        if self._about is None:
            return super().notes
        processor, preprocess = self._about.image_processor(), None
        preprocess = described(processor)
        size = None if preprocess is None else preprocess.size_wh
        details = {
            "model_type": self._about.config["model_type"],
            "image_processor": type(processor).__name__,
        }
        return replace(super().notes, image_size=size, preprocess=preprocess, details=details)

    def read_saved(self, checkpoint: str) -> Saved:
        """A folder of the library, a model of the hub, or a checkpoint of this adapter."""
        return read_saved(checkpoint)

    def build_model(self) -> LibraryModel:
        """The library's model with random weights."""
        return LibraryModel(self._model())

    def build_predictor(self, model: LibraryModel) -> Predictor:
        """Boxes, masks, or boxes of the prompts."""
        settings, stage, options = self.settings, self.stage, self.settings.options
        if model.kind == "segment":
            return Segmenter(
                model,
                settings,
                stage,
                segments=options.get("segments") or "instance",
                threshold=options.get("segment_threshold"),
            )
        if model.kind == "prompts":
            return PromptPredictor(model, settings, stage, texts=self._texts)
        return Predictor(model, settings, stage)

    def build_task(self, run: Run) -> LibraryTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights."""
        names = self.class_names(self.saved.about.classes) if self.saved else ()
        task = build_task(run, self.saved, self.build_predictor, names)
        self._about = task.model.about
        return task

    def class_logits(self, batch: Tensor, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the queries; softmax with the background last, or sigmoid without one."""
        texts = self._texts.repeated(len(batch)) if self._texts else {}
        return self.model.class_logits(batch, like, **{key: t.to(batch.device) for key, t in texts.items()})

    def export_spec(self) -> ExportSpec:
        """Class logits and boxes of a detector's queries."""
        return export_spec(self.model)

    def _model(self) -> About:
        if self._about is None:
            raise OptionError(
                "no model is given",
                fix="name a folder of save_pretrained or an id of the hub with --checkpoint, or a type of "
                "model with random weights: --option model=rt_detr",
            )
        return self._about

    def _described(self) -> About | None:
        """What the checkpoint or the option ``model`` says; ``None`` without either, as before a training."""
        options = self.settings.options
        if self.saved is not None:
            about = self.saved.about
        elif options.get("model"):
            about = describe(options["model"])
        else:
            return None
        about = about.with_image_size(options.get("image_size"))
        names = self.class_names(about.classes) if about.kind != "prompts" else about.classes
        return about if names == about.classes else about.with_classes(names)

    def _read_texts(self) -> Texts | None:
        prompts = self.settings.options.get("prompts") or ()
        if self._about is None or self._about.kind != "prompts":
            if prompts:
                raise OptionError(
                    "option prompts: the model has classes of its own, and takes no texts",
                    fix="leave prompts out, or give a zero-shot detector such as an OWLv2",
                )
            return None
        assert self.saved is not None
        assert self.saved.folder is not None
        return read_texts(self.saved.folder, prompts, source=self.saved.source)
