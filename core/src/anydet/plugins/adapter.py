"""``Adapter``: what a model family or runtime implements. One required method, the rest by capability."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeAlias

from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import UnsupportedError
from anydet.plugins.specs import CAPABILITIES, CAPABILITY_NAMES, AdapterSpec
from anydet.types import AdapterSettings, ClassTable, ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self

    from anydet.plugins.export import ExportSpec
    from anydet.plugins.preprocess import Preprocess
    from anydet.plugins.stages import Stages


Stage: TypeAlias = Literal["decode", "preprocess", "model", "postprocess"]
"""Stages of a prediction: the same for all adapters, so that their times can be compared.

``decode`` gives pixels, ``preprocess`` the model's input, ``model`` runs from there, with the copy to the
device, to the raw outputs, and ``postprocess`` makes results of them.
"""


@dataclass(frozen=True, slots=True, eq=False)
class RowValues:
    """Numbers of the rows of ``ClassLogits`` beside their classes.

    Attributes:
        values: (B, N, n) tensor, or (B, N, C, n) with numbers for each column of the logits.
        kind: what they are: ``numbers`` are compared by their distance, ``states`` are logits of states.
    """

    values: Any
    kind: Literal["numbers", "states"] = "numbers"


@dataclass(frozen=True, slots=True, eq=False)
class ClassLogits:
    """Class logits of a batch, differentiable in the model's parameters.

    Rows are regions, queries, cells or pixels. ``boxes`` with ``sizes_wh``, or ``queries``, say which, so
    that another model of the family can give logits of the very same ones (``TrainingTask.logits``).

    Attributes:
        logits: (B, N, C) tensor.
        valid: (B, N) boolean tensor, false where a row is padding.
        activation: how logits become probabilities.
        background: index of the background class, or ``None``.
        boxes: (B, N, 4) tensor, ``xyxy`` in model input pixels; ``None`` in image classification.
        sizes_wh: (B, 2) tensor, width and height of each image in the model's input, in pixels, padding left
            out; ``boxes`` are scaled by it for a model with inputs of another size. ``None`` without boxes.
        queries: (B, N) int64 tensor, position in the flattened feature map of the encoder that each query is
            made of; ``None`` where rows are no queries of a two-stage decoder.
        beside: name -> what else a model says of each row, such as ``bbox``; by
            ``TrainingTask.distill_keys``.
    """

    logits: Any
    valid: Any
    activation: Literal["sigmoid", "softmax"]
    background: int | None = None
    boxes: Any = None
    sizes_wh: Any = None
    queries: Any = None
    beside: Mapping[str, RowValues] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Masking:
    """What masked-image training hides; ``None`` is the adapter's own choice.

    Attributes:
        mask_prob: probability with which a patch is hidden.
        patch_size: side of a patch in pixels of the input.
        mask_value: what hidden pixels of the input are, in all channels.
    """

    mask_prob: float | None = None
    patch_size: int | None = None
    mask_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterNotes:
    """What ``meta`` says of an adapter, in plain numbers, texts and lists.

    Attributes:
        image_size: size of the model's input in pixels, width and height; shortest and longest side where
            it depends on the image; ``None`` where there is no such size.
        nms_iou: threshold of non-maximum suppression, ``None`` where there is none.
        preprocess: how images become inputs; ``None`` where nothing is known.
        details: further entries of ``preprocess`` in ``meta``: names of layout, backbone or norm, say.
        runtime: what runs the model: name, version, device, precision and threads of the runtime.
        states: names of the states of objects, in the order of their numbers.
        keypoint_names: in the order of ``ImagePredictions.keypoints``.
        warnings: what makes the predictions worth less than they look; commands print them.
    """

    image_size: tuple[int, int] | None = None
    nms_iou: float | None = None
    preprocess: Preprocess | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    runtime: Mapping[str, Any] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training run left behind.

    Attributes:
        checkpoint: path of weights that ``predict`` can load as ``AdapterSettings.checkpoint``.
        metrics: final numbers by name.
    """

    checkpoint: str
    metrics: Mapping[str, float] = field(default_factory=dict)


class Adapter(ABC):
    """A model family or runtime. Set-up happens once, in ``__init__``; ``predict`` is called on many chunks.

    Attributes:
        settings: those of the run.
        spec: the description it was registered with (set by the plugin manager).
        version: version of the distribution that registered it (set by the plugin manager).
        needs_pixels: whether ``predict`` looks at images; where it does not, none is decoded, and records
            state their sizes.
        peers: capability -> names of installed adapters that have it (set by the plugin manager).
        stage_seconds: stage -> duration of each of its runs so far, float64: 8 bytes a run, so that four
            stages of a million images take 32 MB.
    """

    spec: AdapterSpec | None = None
    version: str | None = None
    needs_pixels: ClassVar[bool] = True
    peers: Mapping[str, Sequence[str]] = {}

    def __init__(self, settings: AdapterSettings) -> None:
        self.settings = settings
        # A list of Python floats would take four times the memory.
        self.stage_seconds: dict[str, array[float]] = defaultdict(lambda: array("d"))

    @property
    def name(self) -> str:
        """The registered name, or the class's where the adapter was built by hand."""
        return self.spec.name if self.spec else type(self).__name__

    @property
    def classes(self) -> ClassTable | None:
        """Names of what it predicts, or ``None`` where it does not know."""
        return None

    @property
    def notes(self) -> AdapterNotes:
        """What ``meta`` says of it: preprocessing, warnings, names of keypoints and of states."""
        return AdapterNotes()

    @property
    def stages(self) -> Stages | None:
        """What ``predict`` does one by one, for those who look for the stage at which two adapters differ."""
        return None

    @abstractmethod
    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order, empty ones too; boxes in pixels of ``record.image()``.

        Returns every detection above ``settings.score_floor``; the caller applies thresholds.
        """

    def train(self, run: Any) -> TrainResult:
        """Train on the data of a run (``anydet.training.run.Run``); what it saves, ``predict`` can load."""
        self._unsupported("train")

    def get_model(self) -> Any:
        """The live ``torch.nn.Module`` that ``predict`` uses."""
        self._unsupported("get_model")

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterable[Any]:
        """Model-ready batches (B, 3, H, W), with the very preprocessing of ``predict``."""
        self._unsupported("build_loader")

    def class_logits(self, batch: Any, like: ClassLogits | None = None) -> ClassLogits:
        """Class logits of one batch of ``build_loader``; changes no parameter and no buffer.

        Args:
            batch: (B, 3, H, W) inputs.
            like: logits that the model gave for the same images, perhaps with other weights or other colors:
                rows are of the same regions or queries in the same order. ``None`` lets the model choose.
        """
        self._unsupported("class_logits")

    def features(self, batch: Any) -> Mapping[str, Any]:
        """Feature maps of one batch of ``build_loader``, without the cost of the head.

        ``backbone.<level>`` or ``neck.<level>`` -> (B, C, h, w) tensor, what backbone or neck gives at that
        level, finest first; what levels are called is up to the model family. Differentiable in the
        parameters of ``get_model``; changes no parameter and no buffer.
        """
        self._unsupported("features")

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """``backbone``, ``neck`` and ``head`` -> names of their modules, as ``get_model()`` has them.

        Each parameter of the model is below the modules of exactly one of the three. Where the model has no
        neck, there are no names for it.
        """
        self._unsupported("module_names")

    def self_supervised_loss(self, batch: Any, generator: Any, masking: Masking | None = None) -> Any:
        """Scalar loss of one batch of ``build_loader`` that needs no labels, for test-time training.

        Differentiable in parameters of ``get_model``; changes no parameter and no buffer.

        Args:
            batch: (B, 3, H, W) inputs.
            generator: ``torch.Generator`` on the CPU, the only source of random choices.
            masking: what is hidden, for a loss that hides patches; ``None`` is the adapter's own choice.
        """
        self._unsupported("self_supervised_loss")

    def export_spec(self) -> ExportSpec:
        """The model ready to be traced, with what its outputs mean."""
        self._unsupported("export_spec")

    def keeping_inputs(self) -> AbstractContextManager[None]:
        """While it is open, ``predict`` need not prepare again what ``build_loader`` prepared of a record."""
        return nullcontext()

    def keeping_best(self, most: int | None) -> AbstractContextManager[None]:
        """While it is open, nobody looks at more than the ``most`` best detections of an image.

        ``predict`` may leave the others out; of equal scores the earlier one is the better. ``None`` is all.
        """
        del most
        return nullcontext()

    def close(self) -> None:
        """Free sessions and devices. Safe to call twice."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def synchronize(self) -> None:
        """Wait until the device has done all its work; a device that works beside the CPU overrides it."""
        return

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Time one run of a stage, of one image or of a batch; one that raises leaves no duration.

        What the device still has to do is waited for before the clock is read, at both ends.
        """
        self.synchronize()
        start = time.perf_counter()
        yield
        self.synchronize()
        self.stage_seconds[name].append(time.perf_counter() - start)

    def _unsupported(self, method: str) -> NoReturn:
        wanted = next(name for name, methods in CAPABILITIES.items() if method in methods)
        raise UnsupportedError(self.name, CAPABILITY_NAMES[wanted], others=self.peers.get(wanted, ()))
