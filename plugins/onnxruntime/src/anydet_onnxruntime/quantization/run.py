"""``quantize_model``: ranges, choice of layers, the file, and what it was measured to lose."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import msgspec
import onnx
import onnxruntime as ort

from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.subset import FirstImages
from anydet.errors import OptionError
from anydet.evaluation.analysis.comparison import Difference
from anydet.evaluation.reading import Inputs
from anydet.outputs import require_writable, write_file
from anydet.plugins.manager import Plugins
from anydet.prediction.export import InterruptedRunError
from anydet.prediction.meta import file_sha256
from anydet.runtime.errors import ModelError
from anydet.version import __version__
from anydet_onnxruntime.quantization.calibration import Method, calibration_feeds, measure_ranges
from anydet_onnxruntime.quantization.choice import Choice, Loss, Progress, choose_layers, time_left
from anydet_onnxruntime.quantization.graph import FloatGraph, Layer, weight_bytes
from anydet_onnxruntime.quantization.images import ChosenImages, Images, divide, repeated_images
from anydet_onnxruntime.quantization.judging import METRIC, Judge
from anydet_onnxruntime.quantization.measurements import SUFFIX, Measurements

METADATA_KEY = "anydet_quantization"
"""Key in the metadata of a quantized file: how it was made and what it lost, as JSON."""
_FEW = 16
"""Images that each layer alone is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeSettings:
    """How a model is quantized.

    Attributes:
        max_drop: AP that may be lost.
        method: how ranges of activations are measured.
        calibration_images: that they are measured on, at most.
        max_images: that are evaluated, at most; half of them choose, half are for the report.
        per_channel: whether each output channel of a weight has a scale of its own.
        time_budget_s: seconds after which no further choice is tried.
        seed: of the draw of images and of the interval.
        adapter: that runs the files that are measured, of any runtime that opens ONNX files.
        options: of the adapter, for what the file does not say.
        resume: go on with what an interrupted run measured.
    """

    max_drop: float = 0.005
    method: Method = "entropy"
    calibration_images: int = 64
    max_images: int = 256
    per_channel: bool = True
    time_budget_s: float = 600
    seed: int = 0
    adapter: str = "onnxruntime"
    options: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Images of one purpose.

    Attributes:
        root: of the data set.
        fingerprint: of its content.
        images: how many of it.
        keys_sha256: of their keys, a line each.
    """

    root: str
    fingerprint: str
    images: int
    keys_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A quantized file, and what it loses.

    Attributes:
        model_sha256: of the float file.
        float_bytes: its size.
        layers: how many can be quantized.
        float_layers: names of those that stay in float.
        sensitivity: of each layer that was measured alone, the part of the float model's detections that is
            lost with it in int8.
        weight_bytes: of all layers in float32.
        float_weight_bytes: of those that stay.
        method: of the calibration.
        per_channel: whether weights have a scale for each channel.
        calibration: images of the calibration.
        choice: images that decided.
        held_out: images that decided nothing.
        metric: that was evaluated.
        choice_loss: of the images that decided, which flatters it.
        held_out_difference: of the images that decided nothing: float is a, quantized is b.
        complete: whether all was tried, or the time ran out.
        measurements: how many files were evaluated.
        runtime: what ran the files that were measured, as ``meta.extra.runtime`` of predictions says it.
        repeated: images that were evaluated and have the pixels of one of the calibration.
        versions: of what made it.
        wall_s: seconds that this run took.
        cpu_s: seconds of processors that it used, which other work on the machine does not change.
    """

    model_sha256: str
    float_bytes: int
    layers: int
    float_layers: tuple[str, ...]
    sensitivity: Mapping[str, float]
    weight_bytes: int
    float_weight_bytes: int
    method: str
    per_channel: bool
    calibration: Source
    choice: Source
    held_out: Source
    metric: str
    choice_loss: Loss
    held_out_difference: Difference
    complete: bool
    measurements: int
    runtime: Mapping[str, Any]
    repeated: int
    versions: Mapping[str, str]
    wall_s: float
    cpu_s: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return cast(dict[str, Any], msgspec.to_builtins(self))


def quantize_model(
    model: Path,
    output: Path,
    dataset: Dataset,
    evaluation: Dataset | None = None,
    settings: QuantizeSettings | None = None,
    *,
    plugins: Plugins,
    progress: Progress = lambda _phase, _done, _steps: None,
) -> Quantized:
    """Quantize a model to int8, but for the layers that cost too much AP, and write it.

    Args:
        model: the ``.onnx`` file in float32.
        output: file to write.
        dataset: images for calibration, and for evaluation where there is no other data set.
        evaluation: images for evaluation.
        settings: how it is quantized.
        plugins: adapters, formats and engines.
        progress: told of each measurement.

    Raises:
        ModelError: the file cannot be opened or prepared, or no layer may be quantized.
        OptionError: there is nothing to quantize, or options, images or an unfinished run do not fit.
        EvaluationError: the images have no annotations.
        InterruptedRunError: Ctrl-C; what was measured is kept.
        OutputError: the file cannot be written.
    """
    settings = settings or QuantizeSettings()
    if output.suffix != ".onnx":
        raise OptionError(f"{output}: the name of an ONNX file ends with .onnx", fix="write --output Q.onnx")
    require_writable(output, SUFFIX)
    with TemporaryDirectory() as folder:
        graph = FloatGraph(model, Path(folder))
        images = divide(
            dataset,
            evaluation,
            calibration_images=settings.calibration_images,
            max_images=settings.max_images,
            seed=settings.seed,
        )
        judge = Judge(settings.adapter, settings.options, plugins, Path(folder))
        run = _Run(graph, images, judge, settings, progress=progress)
        with Measurements(output, run.identity(), resume=settings.resume) as measurements:
            with _interruptible(measurements):
                quantized, content = run.result(measurements)
            write_file(output, content)
            measurements.remove()
    return quantized


@contextmanager
def _interruptible(measurements: Measurements) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, InterruptedRunError):
        if not len(measurements):
            measurements.remove()
            raise InterruptedRunError("interrupted before anything was measured") from None
        raise InterruptedRunError(
            f"interrupted after {len(measurements)} measurements; they are kept in {measurements.path}",
            fix="add --resume to the same command to go on",
        ) from None
    except BaseException:
        if not len(measurements):
            measurements.remove()
        raise


class _Run:
    """One run; a ``Trial`` for the choice."""

    def __init__(
        self,
        graph: FloatGraph,
        images: Images,
        judge: Judge,
        settings: QuantizeSettings,
        *,
        progress: Progress,
    ) -> None:
        self._graph, self._images, self._judge = graph, images, judge
        self._settings, self._folder, self._progress = settings, judge.folder, progress
        self._start, self._cpu_start = time.perf_counter(), time.process_time()
        self._measurements: Measurements | None = None
        self._longest_s = 0.0
        self._runtime: Mapping[str, Any] = {}

    def identity(self) -> dict[str, Any]:
        """All that measurements depend on."""
        settings, images = self._settings, self._images
        return {
            "model": file_sha256(self._graph.path),
            "calibration": msgspec.to_builtins(_source(images.calibration)),
            "evaluation": msgspec.to_builtins(_source(images.choice)),
            "adapter": settings.adapter,
            "options": dict(settings.options),
            "method": settings.method,
            "per_channel": settings.per_channel,
            "versions": _versions(),
        }

    def result(self, measurements: Measurements) -> tuple[Quantized, bytes]:
        """What was chosen, and the file."""
        self._measurements = measurements
        choice = choose_layers(self._graph.layers, self, self._settings.max_drop, progress=self._progress)
        if choice.loss is None:
            raise self._nothing(choice)
        self._progress("held-out images", 0, 2)
        reference = self._judge.predicted(self._graph.path, self._images.held_out)
        self._progress("held-out images", 1, 2)
        path = self._written(choice.layers)
        difference = self._judge.difference(
            reference, self._judge.predicted(path, self._images.held_out), self._settings.seed
        )
        self._progress("held-out images", 2, 2)
        quantized = self._report(choice, choice.loss, difference)
        model = onnx.load(path)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, json.dumps(quantized.as_dict())
        return quantized, bytes(model.SerializeToString())

    def loss(self, layers: Sequence[Layer]) -> Loss:
        """On all images of the choice."""
        ap, agreement = self._kept("all", layers, self._reference, self._images.choice)
        return Loss(self._float_ap - ap, 1.0 - agreement, self._float_ap)

    def disagreement(self, layers: Sequence[Layer]) -> float:
        """On a few of them."""
        return 1.0 - self._kept("few", layers, self._reference_of_few, self._few)[1]

    def time_left(self) -> float:
        """Part of the time, without what one more measurement and the report would take."""
        spent = time.perf_counter() - self._start
        return time_left(spent, self._longest_s, self._settings.time_budget_s)

    def _kept(
        self, what: str, layers: Sequence[Layer], reference: Inputs, images: Dataset
    ) -> Sequence[float]:
        """AP and agreement with the float model, measured once."""

        def measure() -> tuple[float, float]:
            begun = time.perf_counter()
            found = self._judge.predicted(self._written(layers), images)
            numbers = self._judge.ap(found), self._judge.agreement(found, reference)
            self._longest_s = max(self._longest_s, time.perf_counter() - begun)
            return numbers

        names = "\n".join(layer.name for layer in layers)
        assert self._measurements is not None
        return self._measurements.get(f"{what} {sha256(names.encode()).hexdigest()}", measure)

    def _written(self, layers: Sequence[Layer]) -> Path:
        path = self._folder / "quantized.onnx"
        onnx.save(self._graph.quantized(layers, self._ranges, per_channel=self._settings.per_channel), path)
        return path

    def _nothing(self, choice: Choice) -> ModelError:
        limit = self._settings.max_drop
        if not choice.complete:
            return ModelError(
                f"{self._graph.path}: in {self._settings.time_budget_s:g} s no choice of layers was found "
                f"that loses at most {limit:g} {METRIC}, so that there is none to write; "
                "what was measured is kept",
                fix="add --resume to go on with another --time-budget, or raise --max-drop",
            )
        return ModelError(
            f"{self._graph.path}: each choice of layers loses more than {limit:g} {METRIC}",
            fix="raise --max-drop, or try another --calibration",
        )

    def _report(self, choice: Choice, loss: Loss, difference: Difference) -> Quantized:
        settings, graph, images = self._settings, self._graph, self._images
        chosen = {layer.name for layer in choice.layers}
        left: list[Layer] = [layer for layer in graph.layers if layer.name not in chosen]
        return Quantized(
            model_sha256=file_sha256(graph.path),
            float_bytes=graph.path.stat().st_size,
            layers=len(graph.layers),
            float_layers=tuple(layer.name for layer in left),
            sensitivity={name: round(value, 6) for name, value in choice.sensitivity.items()},
            weight_bytes=weight_bytes(graph.layers),
            float_weight_bytes=weight_bytes(left),
            method=settings.method,
            per_channel=settings.per_channel,
            calibration=_source(images.calibration),
            choice=_source(images.choice),
            held_out=_source(images.held_out),
            metric=METRIC,
            choice_loss=loss,
            held_out_difference=difference,
            complete=choice.complete,
            measurements=0 if self._measurements is None else len(self._measurements),
            runtime=self._runtime,
            repeated=repeated_images(images),
            versions=_versions(),
            wall_s=round(time.perf_counter() - self._start, 3),
            cpu_s=round(time.process_time() - self._cpu_start, 3),
        )

    @cached_property
    def _float_ap(self) -> float:
        return self._judge.ap(self._reference)

    @cached_property
    def _reference(self) -> Inputs:
        return self._judge.predicted(self._graph.path, self._images.choice)

    @cached_property
    def _few(self) -> FirstImages:
        return FirstImages(self._images.choice, _FEW)

    @cached_property
    def _reference_of_few(self) -> Inputs:
        return self._judge.predicted(self._graph.path, self._few)

    @cached_property
    def _ranges(self) -> Any:
        records = [self._images.calibration[at] for at in range(len(self._images.calibration))]
        total = len(records)
        with self._judge.open(self._graph.path) as adapter:
            stages = adapter.stages
            self._runtime = adapter.notes.runtime
            batch = stages.model.inputs.fixed_batch or 1
            runs = -(-total // batch)
            done = iter(range(1, runs + 1))
            self._progress("calibration", 0, runs)
            return measure_ranges(
                self._graph.prepared,
                calibration_feeds(stages, records),
                self._settings.method,
                self._folder,
                lambda: self._progress("calibration", next(done), runs),
            )


def _versions() -> dict[str, str]:
    return {"anydet": __version__, "onnxruntime": ort.__version__, "onnx": onnx.__version__}


def _source(images: ChosenImages) -> Source:
    keys = "\n".join(images.keys)
    return Source(
        root=str(images.root),
        # Of the whole data set; which of its images is said beside.
        fingerprint=images.dataset.fingerprint(),
        images=len(images),
        keys_sha256=sha256(keys.encode()).hexdigest(),
    )
