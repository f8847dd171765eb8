"""An engine of an ONNX model, with what it is beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.errors import OptionError
from anydet.outputs import new_file, require_writable, write_file
from anydet.prediction.meta import file_sha256
from anydet.runtime.errors import ModelError
from anydet.runtime.model_file import lacking_operators
from anydet_tensorrt.cuda import Cuda, Gpu, find_gpu
from anydet_tensorrt.declared import check_options
from anydet_tensorrt.errors import BuildError, LibraryError
from anydet_tensorrt.graph import Graph, Precision
from anydet_tensorrt.library import Library, Log, find_library, plain
from anydet_tensorrt.metadata import SUFFIX, Calibration, EngineMetadata, stated_source
from anydet_tensorrt.precision import Plan, settle_precision
from anydet_tensorrt.shapes import Profile, Shape, settle_profiles

if TYPE_CHECKING:
    import tensorrt as trt

    from anydet.data.dataset.protocols import Dataset

Progress = Callable[[str, int, int], None]
"""Called with a phase of the build, the step that it has done, and the number of its steps."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How an engine is built.

    Attributes:
        precision: that it computes in.
        smallest: input -> least shape, of inputs that the model leaves open.
        usual: input -> shape that kernels are chosen for.
        largest: input -> largest shape.
        workspace_mib: most memory for intermediate results while it runs; by default all of the GPU's.
        timing_cache: file of times of kernels, read where it is there, and written.
        calibration: images that ranges of activations are measured on.
        calibration_images: at most so many of them.
        options: of the adapter, for what the file does not say; kept beside the engine.
        library: ``tensorrt``, ``tensorrt-rtx``, or ``auto`` for the first that is installed.
        device: number of the GPU, where there is one.
    """

    precision: Precision = "fp32"
    smallest: Mapping[str, Shape] = field(default_factory=dict)
    usual: Mapping[str, Shape] = field(default_factory=dict)
    largest: Mapping[str, Shape] = field(default_factory=dict)
    workspace_mib: int | None = None
    timing_cache: Path | None = None
    calibration: Dataset | None = None
    calibration_images: int = 512
    options: Mapping[str, Any] = field(default_factory=dict)
    library: str = "auto"
    device: int = 0


@dataclass(frozen=True, slots=True)
class Built:
    """An engine that was written.

    Attributes:
        engine: its path.
        metadata: what it is.
        warnings: what was asked for and has no effect, and what nothing says of the model.
    """

    engine: Path
    metadata: EngineMetadata
    warnings: tuple[str, ...]


def build_engine(
    model: Path,
    engine: Path,
    settings: BuildSettings | None = None,
    *,
    progress: Progress = lambda _phase, _done, _steps: None,
) -> Built:
    """Build and write an engine of an ONNX model, and its metadata beside it.

    TensorRT builds for the GPU of this machine. TensorRT-RTX builds without one, for any.

    Args:
        model: the ``.onnx`` file.
        engine: file to write.
        settings: how it is built.
        progress: told of each step.

    Raises:
        ModelError: the model cannot be opened, or no engine be built of it (``BuildError``).
        OptionError: a setting or an option of the adapter does not fit the model or the library.
        LibraryError: the library is not installed, or TensorRT finds no GPU.
        OutputError: the engine cannot be written.
    """
    settings = settings or BuildSettings()
    require_writable(engine, SUFFIX)
    library, graph = find_library(settings.library), Graph(model)
    plan = settle_precision(graph, settings.precision, library, calibrate=settings.calibration is not None)
    profiles = settle_profiles(
        graph.inputs, settings.smallest, settings.usual, settings.largest, graph.size_wh
    )
    unsaid = check_options(graph, profiles, settings.options)
    gpu = _gpu(library, settings.device)
    build = _Build(library, graph, plan=plan, profiles=profiles, settings=settings, progress=progress)
    start = time.perf_counter()
    content = build.run()
    seconds = time.perf_counter() - start
    with new_file(engine) as file:
        file.write(content)
    metadata = EngineMetadata(
        sha256=file_sha256(engine),
        onnx=stated_source(graph, engine),
        library=library.name,
        library_version=library.version,
        gpu=gpu,
        precision=plan.precision,
        strongly_typed=plan.strongly_typed,
        flags=build.flags,
        inputs=graph.inputs,
        outputs=graph.outputs,
        profiles=profiles,
        workspace_mib=settings.workspace_mib,
        timing_cache=None if library.is_rtx or not settings.timing_cache else settings.timing_cache.name,
        calibration=build.calibration,
        options=settings.options,
        build_seconds=round(seconds, 3),
        anydet_tensorrt=version("anydet-tensorrt"),
    )
    metadata.write(engine)
    return Built(engine, metadata, tuple(filter(None, (*build.warnings, unsaid))))


def _gpu(library: Library, index: int) -> Gpu | None:
    """The GPU that is built for; raises ``LibraryError`` where TensorRT has none."""
    if library.is_rtx:
        return None
    gpu = find_gpu(index)
    if gpu is None:
        raise LibraryError(
            f"{library} measures kernels on the GPU that it builds for, and CUDA finds none",
            fix="build it where it will run, or use --library tensorrt-rtx, which builds without a GPU",
        )
    return gpu


class _Build:
    """One build: network, configuration, engine."""

    def __init__(
        self,
        library: Library,
        graph: Graph,
        *,
        plan: Plan,
        profiles: Mapping[str, Profile],
        settings: BuildSettings,
        progress: Progress,
    ) -> None:
        self._library, self._graph, self._plan = library, graph, plan
        self._profiles, self._settings = profiles, settings
        self._log = Log(library)
        self._watch = _Watch(progress)
        self.flags: tuple[str, ...] = ()
        self.calibration: Calibration | None = None
        self.warnings: list[str] = []

    def run(self) -> bytes:
        """The engine, serialized."""
        builder = self._library.Builder(self._log.logger)
        network = builder.create_network(self._network_flags())
        self._parse(network)
        config = builder.create_builder_config()
        self._configure(config)
        self._add_profile(builder, config)
        cache = self._timing_cache(config)
        if self._plan.calibrated:
            self._calibrate(config)
        config.progress_monitor = _monitor(self._library, self._watch)
        plan = builder.build_serialized_network(network, config)
        if self._watch.interrupted:
            raise KeyboardInterrupt
        if plan is None:
            raise self._build_error(self._log.reason)
        if cache is not None and self._settings.timing_cache is not None:
            write_file(self._settings.timing_cache, bytes(config.get_timing_cache().serialize()))
        return bytes(plan)

    def _network_flags(self) -> int:
        # Later versions than 10 know no other networks, and may know no flag for them.
        flag = getattr(self._library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 1 << int(flag) if self._plan.strongly_typed and flag is not None else 0

    def _parse(self, network: trt.INetworkDefinition) -> None:
        parser = self._library.OnnxParser(network, self._log.logger)
        path = str(self._graph.path)
        if self._plan.cast:
            done = parser.parse(self._graph.cast(self._plan.precision), path)
        else:
            done = parser.parse_from_file(path)
        if not done:
            raise self._parser_error([parser.get_error(i) for i in range(parser.num_errors)])

    def _parser_error(self, errors: Sequence[trt.ParserError]) -> ModelError:
        path, instead = (
            str(self._graph.path),
            "predict with 'anydet export-predictions --adapter onnxruntime'",
        )
        # Of an operator that it does not know it looks for a plugin.
        lacking = [error for error in errors if "Plugin not found" in error.desc()]
        if lacking:
            nodes = [self._graph.proto.graph.node[error.node()] for error in lacking]
            names = [f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes]
            return lacking_operators(path, str(self._library), names, instead=instead)
        said = plain(errors[0].desc()) if errors else self._log.reason
        node = errors[0].node_name() or errors[0].node_operator() if errors else ""
        where = f" at node {node!r}" if node else ""
        return BuildError(f"{path}: {self._library} cannot read it{where}: {said}", fix=instead)

    def _build_error(self, reason: str) -> BuildError:
        fix = "see whether 'anydet export-predictions --adapter onnxruntime' runs it, or export it again"
        if self._settings.workspace_mib is not None and "workspace" in reason:
            fix = "raise --workspace-mib, or leave it out"
        return BuildError(f"{self._library} cannot build an engine of {self._graph.path}: {reason}", fix=fix)

    def _configure(self, config: trt.IBuilderConfig) -> None:
        flag = self._library.BuilderFlag
        for name in self._plan.flags:
            config.set_flag(getattr(flag, name))
        if self._plan.precision != "best":
            # It is set by default, and rounds the factors of float32 to 11 bits.
            config.clear_flag(flag.TF32)
        if self._settings.workspace_mib is not None:
            config.set_memory_pool_limit(
                self._library.MemoryPoolType.WORKSPACE, self._settings.workspace_mib << 20
            )
        members: Mapping[str, Any] = flag.__members__
        self.flags = tuple(name for name, value in members.items() if config.get_flag(value))

    def _add_profile(self, builder: trt.Builder, config: trt.IBuilderConfig) -> None:
        if not self._profiles:
            return
        profile = builder.create_optimization_profile()
        for name, shapes in self._profiles.items():
            profile.set_shape(name, list(shapes.smallest), list(shapes.usual), list(shapes.largest))  # type: ignore[arg-type]
        if config.add_optimization_profile(profile) < 0:
            raise OptionError(
                f"{self._library} does not take these shapes: {self._log.reason}",
                fix="change --min-shapes, --opt-shapes and --max-shapes",
            )

    def _timing_cache(self, config: trt.IBuilderConfig) -> trt.ITimingCache | None:
        path = self._settings.timing_cache
        if path is None:
            return None
        if self._library.is_rtx:
            self.warnings.append(
                "--timing-cache has no effect: TensorRT-RTX measures nothing when it builds. What it "
                "compiles at the first runs is kept by the adapter's option runtime_cache=FILE"
            )
            return None
        require_writable(path)
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            raise OptionError(
                f"{path} is no timing cache of this GPU and {self._library}",
                fix="remove it, or name another file that is written anew",
            )
        return cache

    def _calibrate(self, config: trt.IBuilderConfig) -> None:
        from anydet_tensorrt.calibration import calibration_feeds, calibrator

        settings, dataset = self._settings, self._settings.calibration
        assert dataset is not None  # the plan says so
        count = min(len(dataset), settings.calibration_images)
        feeds = calibration_feeds(self._graph, self._profiles, dataset, count, settings.options)
        config.int8_calibrator = calibrator(self._library, Cuda(settings.device), feeds)
        self.calibration = Calibration(str(dataset.root), dataset.fingerprint(), count)


class _Watch:
    """Progress of a build, and whether it was interrupted: an exception cannot pass through the library."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._steps: dict[str, int] = {}
        self.interrupted = False

    def start(self, phase: str, steps: int) -> None:
        """A phase of so many steps begins."""
        self._steps[phase] = steps
        self.step(phase, 0)

    def step(self, phase: str, done: int) -> bool:
        """A step is done; returns whether to go on."""
        try:
            self._progress(phase, done, self._steps.get(phase, 0))
        except KeyboardInterrupt:
            self.interrupted = True
        return not self.interrupted


def _monitor(library: Library, watch: _Watch) -> trt.IProgressMonitor:
    if TYPE_CHECKING:
        base = trt.IProgressMonitor
    else:
        base = library.module.IProgressMonitor

    class Monitor(base):  # type: ignore[misc, valid-type]
        """Tells the watch; without a parent, phases would overlap."""

        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """A phase begins."""
            watch.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """A step is done."""
            return watch.step(phase_name, step + 1)

        def phase_finish(self, phase_name: str) -> None:
            """A phase ends."""

    return Monitor()
