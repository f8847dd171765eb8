"""From an ONNX model to an engine that was shown to predict as the model does: all steps, and one report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

import anydet
from anydet.benchmark.contestant import Contestant
from anydet.benchmark.run import BenchmarkSettings, measure
from anydet.benchmark.timing import Timing
from anydet.crosscheck.tolerances import Tolerances
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import AnydetError, OptionError
from anydet.outputs import write_file, writing_to
from anydet.plugins.adapter import Adapter
from anydet.prediction.meta import identity
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.recipe import Recipe
from anydet.prediction.spool import discard, is_unfinished
from anydet.text import listed
from anydet_tensorrt.building import BuildSettings, Progress, build_engine
from anydet_tensorrt.errors import LibraryError
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.library import find_library
from anydet_tensorrt.metadata import Calibration, beside, read_metadata, require_current
from anydet_tensorrt.precision import settle_precision
from anydet_tensorrt.shapes import settle_profiles

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.manager import Plugins

STEPS = ("build", "reference", "tensorrt", "parity", "evaluation", "latency")
_REFERENCES = ("onnxruntime", "openvino", "opencv_dnn")
_WARM_UP = 5
_OWN_OPTIONS = {"cuda_graph", "runtime_cache"}
"""Options that other runtimes do not have."""

Shown = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called with a step and its images, gives a function that is told of each that is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """What is built, and what it is compared with.

    Attributes:
        model: the ``.onnx`` file.
        folder: that engine, predictions and report are written to.
        build: how the engine is built; its options are those of both adapters.
        device: ``cuda`` or ``cuda:N``.
        reference: adapter that runs the model itself; by default the first of those that are installed.
        max_images: only the first so many.
        batch_size: images a run.
        score_threshold: lowest score of a detection that is written.
        latency_images: that are timed one by one.
        tolerances: of parity, ``name`` -> value; those of ``anydet parity`` by default.
        resume: whether what an earlier run completed is taken; what would be another now is made anew.
    """

    model: Path
    folder: Path
    build: BuildSettings
    device: str = "cuda"
    reference: str | None = None
    max_images: int | None = None
    batch_size: int = 1
    score_threshold: float = 0.001
    latency_images: int = 64
    tolerances: Mapping[str, float] = field(default_factory=dict)
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one step.

    Attributes:
        name: one of ``STEPS``.
        state: ``done``, ``failed`` where it shows that the engine is not as the model, ``left`` where it
            could not be done here.
        summary: in a line; of what is left, why.
        results: its numbers.
        seconds: that it took.
    """

    name: str
    state: Literal["done", "failed", "left"]
    summary: str
    results: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """All steps.

    Attributes:
        model: the ``.onnx`` file.
        dataset: as it was named.
        fingerprint: of its content.
        images: that were predicted.
        steps: in their order.
    """

    model: str
    dataset: str
    fingerprint: str
    images: int
    steps: tuple[Step, ...]

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return all(step.state != "failed" for step in self.steps)

    @property
    def left(self) -> tuple[str, ...]:
        """Steps that could not be done here."""
        return tuple(step.name for step in self.steps if step.state == "left")

    def as_dict(self) -> dict[str, Any]:
        """What ``report.json`` holds."""
        return {"format": 1, "ok": self.ok, "left": list(self.left), **msgspec.to_builtins(self)}

    def as_text(self) -> str:
        """What ``report.md`` holds: a row a step."""
        rows = [f"| {s.name} | {s.state} | {s.seconds:.1f} s | {s.summary} |" for s in self.steps]
        head = f"# {Path(self.model).name} on TensorRT\n\n{self.images} images of {self.dataset}\n\n"
        return head + "\n".join(["| step | | time | |", "|---|---|---|---|", *rows, ""])


def run_pipeline(
    settings: PipelineSettings,
    dataset: Dataset,
    plugins: Plugins,
    *,
    progress: Progress = lambda _phase, _done, _steps: None,
    shown: Shown = lambda _step, _images: nullcontext(lambda _count: None),
) -> PipelineReport:
    """Build, predict with model and engine, compare, evaluate and time both; write the report.

    What needs a GPU is left where there is none, and the report says so.

    Args:
        settings: what is built and how it is compared.
        dataset: images to predict; with labels both are evaluated.
        plugins: where adapters come from.
        progress: told of each step of the build.
        shown: shows the progress of predictions.

    Raises:
        AnydetError: a step went wrong in another way than that it shows a difference.
    """
    Graph(settings.model)  # what is no model is said before a folder is made
    with writing_to(settings.folder):
        settings.folder.mkdir(parents=True, exist_ok=True)
    run = _Run(settings, dataset, plugins, progress=progress, shown=shown)
    with run.stack:
        run.open_reference()  # a build takes minutes, and what is missing is said before it
        steps = tuple(run.timed(name) for name in STEPS)
    report = PipelineReport(str(settings.model), str(dataset.root), dataset.fingerprint(), run.count, steps)
    write_file(settings.folder / "report.json", json.dumps(report.as_dict(), indent=2) + "\n")
    write_file(settings.folder / "report.md", report.as_text())
    return report


class _Run:
    """One run of all steps; each uses what those before it have left."""

    def __init__(
        self,
        settings: PipelineSettings,
        dataset: Dataset,
        plugins: Plugins,
        *,
        progress: Progress,
        shown: Shown,
    ) -> None:
        self._settings, self._dataset, self._plugins = settings, dataset, plugins
        self._progress, self._shown = progress, shown
        self.stack = ExitStack()
        self.count = min(len(dataset), settings.max_images or len(dataset))
        self._engine = settings.folder / settings.model.with_suffix(".engine").name
        self._limits = Limits(score_threshold=settings.score_threshold)
        self._reference: Adapter | None = None
        self._ours: Adapter | None = None
        self._why_left = ""

    def timed(self, name: str) -> Step:
        """One step, with its duration."""
        start = time.perf_counter()
        step: Step = getattr(self, f"_{name}_step")()
        return replace(step, seconds=round(time.perf_counter() - start, 3))

    def _build_step(self) -> Step:
        settings = self._settings
        warnings: tuple[str, ...] = ()
        changed = self._changed_build() if settings.resume else ()
        if settings.resume and changed == ():
            stated, done = read_metadata(self._engine), "taken from the earlier run"
        else:
            built = build_engine(settings.model, self._engine, settings.build, progress=self._progress)
            stated = built.metadata
            done = f"built {_again(changed)}in {stated.build_seconds:.1f} s"
            warnings = built.warnings
        size = self._engine.stat().st_size
        results = {"engine": self._engine.name, "bytes": size, "metadata": msgspec.to_builtins(stated)}
        library = f"{stated.library} {stated.library_version}"
        summary = "; ".join((f"{stated.precision}, {size / 1e6:.1f} MB, {done} by {library}", *warnings))
        return Step("build", "done", summary, results)

    def open_reference(self) -> None:
        """Open the model itself; raises ``AnydetError`` where an adapter or a preset is missing."""
        name = self._reference_name()
        options = {k: v for k, v in self._settings.build.options.items() if k not in _OWN_OPTIONS}
        self._reference = self._opened(name, self._settings.model, "cpu", options)

    def _reference_step(self) -> Step:
        assert self._reference is not None  # opened before the first step
        return self._predicted("reference", self._reference)

    def _tensorrt_step(self) -> Step:
        try:
            self._ours = self._opened("tensorrt", self._engine, self._settings.device, {})
        except LibraryError as exc:
            self._why_left = exc.problem
            return Step("tensorrt", "left", self._why_left)
        return self._predicted("tensorrt", self._ours)

    def _parity_step(self) -> Step:
        if self._ours is None:
            return Step("parity", "left", self._why_left)
        limits = Tolerances(**self._settings.tolerances)
        found = anydet.parity(
            self._file("reference"), self._file("tensorrt"), tolerances=limits, plugins=self._plugins
        )
        return Step("parity", "done" if found.ok else "failed", found.reason, found.as_dict())

    def _evaluation_step(self) -> Step:
        names = ["reference", *(["tensorrt"] if self._ours is not None else [])]
        if not any(record.labels is not None for record in map(self._dataset.__getitem__, range(self.count))):
            return Step("evaluation", "left", "the data set has no labels")
        metrics: dict[str, dict[str, Any]] = {name: dict(self._evaluated(name)) for name in names}
        found = {name: one["AP"] for name, one in metrics.items()}
        if None in found.values():
            return Step("evaluation", "left", "the images have no objects to find", metrics)
        shown = [f"AP {ap:.4f} ({name})" for name, ap in found.items()]
        if self._ours is None:
            return Step("evaluation", "left", f"{shown[0]}; of the engine: {self._why_left}", metrics)
        difference = found["tensorrt"] - found["reference"]
        return Step("evaluation", "done", f"{', '.join(shown)}, difference {difference:+.4f}", metrics)

    def _latency_step(self) -> Step:
        adapters = {"reference": self._reference, "tensorrt": self._ours}
        there = {name: adapter for name, adapter in adapters.items() if adapter is not None}
        found = self._timed_images(there)
        shown = ", ".join(
            f"{name} p50 {one['p50_ms']:.1f} p90 {one['p90_ms']:.1f} p99 {one['p99_ms']:.1f} ms"
            for name, one in found.items()
        )
        if self._ours is None:
            return Step("latency", "left", f"{shown}; of the engine: {self._why_left}", found)
        return Step("latency", "done", shown, found)

    def _changed_build(self) -> tuple[str, ...] | None:
        """What differs from the engine of an earlier run; ``None`` where there is none that could be used."""
        if not (self._engine.is_file() and beside(self._engine).is_file()):
            return None
        stated, wanted = read_metadata(self._engine), self._settings.build
        graph, library = Graph(self._settings.model), find_library(wanted.library)
        plan = settle_precision(graph, wanted.precision, library, calibrate=wanted.calibration is not None)
        profiles = settle_profiles(graph.inputs, wanted.smallest, wanted.usual, wanted.largest)
        pairs = {
            "model": (stated.onnx.sha256, graph.sha256()),
            "options": (dict(stated.options), dict(wanted.options)),
            "precision": (stated.precision, plan.precision),
            "workspace": (stated.workspace_mib, wanted.workspace_mib),
            "shapes": (dict(stated.profiles), profiles),
            "calibration images": (stated.calibration, self._calibration()),
        }
        changed = [name for name, (before, now) in pairs.items() if before != now]
        try:
            require_current(self._engine, stated, library, None)
        except AnydetError:
            changed += [] if "model" in changed else ["library or file of the engine"]
        return tuple(changed)

    def _calibration(self) -> Calibration | None:
        """As the metadata of the engine would state it."""
        wanted = self._settings.build
        if wanted.calibration is None:
            return None
        images = min(len(wanted.calibration), wanted.calibration_images)
        return Calibration(str(wanted.calibration.root), wanted.calibration.fingerprint(), images)

    def _reference_name(self) -> str:
        names = [self._settings.reference] if self._settings.reference else list(_REFERENCES)
        there = [name for name in names if self._plugins.has("adapters", name)]
        if not there:
            raise OptionError(
                f"no adapter that runs the ONNX model itself is installed ({', '.join(names)})",
                fix="pip install anydet-onnxruntime",
            )
        return there[0]

    def _opened(self, name: str, checkpoint: Path, device: str, options: Mapping[str, Any]) -> Adapter:
        settings = self._plugins.settings(
            name,
            options=options,
            checkpoint=str(checkpoint),
            device=device,
            batch_size=self._settings.batch_size,
            score_floor=self._settings.score_threshold,
        )
        return self.stack.enter_context(self._plugins.adapter(name, settings))

    def _predicted(self, step: str, adapter: Adapter) -> Step:
        output, about = self._file(step), self._settings.folder / f"{step}.run.json"
        made_from, before = self._made_from(adapter), _read_record(about)
        changed: tuple[str, ...] | None = None
        if self._settings.resume and before is not None:
            changed = tuple(key for key in made_from if before.get(key) != made_from[key])
            # The finished file is complete: an interrupted run left parts beside it.
            if not changed and output.is_file() and not is_unfinished(output):
                return Step(step, "done", f"{output.name} is taken from the earlier run")
        if self._settings.resume and changed != ():
            discard(output)  # of another run, which its parts must not be mixed with
        write_file(about, json.dumps(made_from, indent=2) + "\n")
        with self._shown(step, self.count) as advance:
            summary = anydet.export_predictions(
                adapter,
                self._dataset,
                output,
                limits=self._limits,
                max_images=self._settings.max_images,
                wrap=True,
                resume=self._settings.resume,
                progress=advance,
                plugins=self._plugins,
            )
        results = {"detections": summary.detections, "runtime": dict(adapter.notes.runtime)}
        shown = f"{summary.images} images, {summary.detections} detections by {adapter.name}"
        if changed:
            shown += f" {_again(changed).rstrip()}"
        return Step(step, "done", shown, results)

    def _made_from(self, adapter: Adapter) -> dict[str, Any]:
        """All that decides what a file of predictions has in it, as JSON has it."""
        pipeline = Pipeline(adapter, self._limits, plugins=self._plugins)
        stated = identity(Recipe.of(pipeline), self._dataset, self.count, adapter.version)
        # Options that stand beside the engine are not among the settings of its adapter.
        more = {"runtime": dict(adapter.notes.runtime), "built_with": dict(self._settings.build.options)}
        found: dict[str, Any] = json.loads(json.dumps({**stated, **more}))
        return found

    def _evaluated(self, step: str) -> Mapping[str, float | None]:
        return anydet.evaluate(
            self._dataset, self._file(step), max_images=self._settings.max_images, plugins=self._plugins
        ).metrics

    def _timed_images(self, adapters: Mapping[str, Adapter]) -> dict[str, dict[str, float]]:
        """Milliseconds an image of each, in turn on the same images, so that other work slows all alike."""
        count = min(self.count, self._settings.latency_images)
        there = (self._dataset[i] for i in range(count))
        records = [Record(record.key, ImageArray(record.image())) for record in there]
        contestants = [
            Contestant(name, adapter, self._limits, self._plugins) for name, adapter in adapters.items()
        ]
        settings = BenchmarkSettings(rounds=1, block=1, warm_up=_WARM_UP)
        with self._shown("latency", count) as advance:
            measure(contestants, records, settings, progress=advance)
        return {one.label: _latency(Timing.of(one.blocks)) for one in contestants}

    def _file(self, step: str) -> Path:
        return self._settings.folder / f"{step}.json"


def _again(changed: tuple[str, ...] | None) -> str:
    """In a summary: why what an earlier run completed is not taken; nothing where it completed none."""
    return f"anew, as {listed(changed)} changed, " if changed else ""


def _read_record(path: Path) -> dict[str, Any] | None:
    """What an earlier run wrote of a file; ``None`` where there is nothing that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _latency(timing: Timing) -> dict[str, float]:
    quantiles = {f"p{q}_ms": value for q, value in timing.latency_ms.items()}
    return {**quantiles, "images_per_s": timing.images_per_s, "images": timing.images}
