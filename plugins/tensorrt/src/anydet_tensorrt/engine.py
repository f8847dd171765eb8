"""An engine on a GPU: one stream, memory that is reserved once, runs as CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anydet.errors import OptionError
from anydet.outputs import write_file
from anydet.plugins.weights_file import ENGINE, ONNX, UNKNOWN, identify
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo
from anydet_tensorrt.buffers import Buffer, output_allocator, shapes_of, sizes
from anydet_tensorrt.cuda import Cuda, device_index
from anydet_tensorrt.library import Library, Log, find_library
from anydet_tensorrt.metadata import EngineMetadata, read_metadata, require_current
from anydet_tensorrt.shapes import with_profile

if TYPE_CHECKING:
    import tensorrt as trt

Array = NDArray[Any]
_WANTED = "give --checkpoint a file that 'anydet tensorrt build' wrote"
_PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8", "best": "mixed"}


class Engine:
    """An engine that was built by ``building``, ready to run.

    Args:
        path: the engine, with its metadata beside it.
        device: ``cuda`` or ``cuda:N``.
        cuda_graph: whether runs are launched as graphs, from the second of a shape on.
        runtime_cache: file of what TensorRT-RTX compiles for this GPU, read where it is there, and written
            by ``close``.

    Attributes:
        inputs: what it is fed; an axis of a profile with one size has that size.
        outputs: what it gives, as the model declares it.
        metadata: what the model's exporter wrote into the file.
        runtime: library and version, GPU, precision, whether graphs are used.

    Raises:
        ModelError: the engine is missing, broken, or not for this place (``StaleEngineError``).
        LibraryError: what runs it is not installed, or there is no GPU.
        OptionError: the device is not there, or an option does not apply.
    """

    def __init__(
        self, path: str, *, device: str = "cuda", cuda_graph: bool = True, runtime_cache: str | None = None
    ) -> None:
        index, engine = device_index(device), Path(path)
        require_engine(engine)
        stated = read_metadata(engine)
        library = find_library(stated.library)
        if runtime_cache is not None and not library.is_rtx:
            raise OptionError(
                f"runtime_cache= is for TensorRT-RTX; TensorRT, which {path} is of, compiles when it builds",
                fix="leave runtime_cache= out",
            )
        # What differs without a look at the GPU is said where there is none, too.
        require_current(engine, stated, library, None)
        self._cuda = Cuda(index)
        require_current(engine, stated, library, self._cuda.gpu)
        self._stack, self._log = ExitStack(), Log(library)
        self._graph: Any = None
        self._shapes: tuple[tuple[str, tuple[int, ...]], ...] | None = None
        self._repeated = False
        try:
            self._open(library, engine, cuda_graph=cuda_graph, cache=runtime_cache)
            self._reserve(library)
        except BaseException:
            self._stack.close()
            raise
        # TensorRT-RTX captures by itself; a copy whose size the run decides cannot be captured.
        self._captures = cuda_graph and not library.is_rtx and not self._found
        self.inputs = tuple(
            with_profile(tensor, stated.profiles.get(tensor.name)) for tensor in stated.inputs
        )
        self.outputs = stated.outputs
        self.metadata = stated.onnx.metadata
        self.runtime = _info(library, self._cuda, stated, cuda_graph=cuda_graph)
        self._largest, self._smallest = _batches(stated)

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for inputs by name; batches beyond the profile are run in parts, or filled up.

        Raises ``ModelError`` with TensorRT's reason where it does not run.
        """
        self._cuda.use()
        results = [self._run(part) for part in batch_parts(feeds, self._largest)]
        return results[0] if len(results) == 1 else [np.concatenate(o) for o in zip(*results, strict=True)]

    def close(self) -> None:
        """Free memory and stream, and write what was compiled. Safe to call twice."""
        self._drop_graph()
        self._stack.close()

    def _open(self, library: Library, path: Path, *, cuda_graph: bool, cache: str | None) -> None:
        """Engine and context, to be freed after all that they use."""
        self._stack.callback(self._forget)
        runtime = library.Runtime(self._log.logger)
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise ModelError(
                f"{path} cannot be opened by {library}: {self._log.reason}",
                fix="build it again on this machine",
            )
        self._engine, self._runtime = engine, runtime
        context = (
            self._rtx_context(library, cuda_graph, cache)
            if library.is_rtx
            else engine.create_execution_context()
        )
        if context is None:
            raise ModelError(
                f"{path}: {library} has no room to run it: {self._log.reason}",
                fix="end what else uses the GPU, or build it for smaller shapes",
            )
        self._context: trt.IExecutionContext = context

    def _rtx_context(self, library: Library, cuda_graph: bool, cache: str | None) -> Any:
        """A context of TensorRT-RTX, which captures graphs by itself and compiles at the first runs."""
        rtx: Any = library.module
        config: Any = self._engine.create_runtime_config()
        if cuda_graph:
            config.cuda_graph_strategy = rtx.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if cache is not None:
            kernels, file = config.create_runtime_cache(), Path(cache)
            if file.is_file():
                kernels.deserialize(file.read_bytes())
            config.set_runtime_cache(kernels)
            self._stack.callback(lambda: write_file(file, bytes(kernels.serialize())))
        return self._engine.create_execution_context(config)

    def _reserve(self, library: Library) -> None:
        """Stream and buffers; addresses never change after this."""
        engine, context = self._engine, self._context
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == library.TensorIOMode.INPUT]
        self._stream = self._cuda.new_stream()
        self._stack.callback(self._cuda.end_stream, self._stream)
        for name in inputs:
            context.set_input_shape(name, _largest_shape(engine, name))
        self._buffers: dict[str, Buffer] = {}
        self._found: dict[str, tuple[int, ...]] = {}
        for name in names:
            dtype = np.dtype(library.module.nptype(engine.get_tensor_dtype(name)))
            if name in inputs:
                self._add_buffer(name, prod(_largest_shape(engine, name)) * dtype.itemsize, dtype)
                continue
            size = context.get_max_output_size(name)
            buffer = self._add_buffer(name, size, dtype)
            if -1 in sizes(context.get_tensor_shape(name)):
                allocator = output_allocator(library, buffer, size, self._found)
                context.set_output_allocator(name, allocator)
                self._stack.callback(lambda kept: None, allocator)  # the context does not keep it alive
                self._found[name] = ()

    def _add_buffer(self, name: str, size: int, dtype: np.dtype[Any]) -> Buffer:
        buffer = self._buffers[name] = Buffer(self._cuda, size, dtype)
        self._stack.callback(buffer.close)
        self._context.set_tensor_address(name, buffer.device)
        return buffer

    def _run(self, feeds: Mapping[str, Array]) -> list[Array]:
        count = len(next(iter(feeds.values())))
        feeds = filled_up(feeds, self._smallest)
        shapes = shapes_of(feeds)
        if shapes != self._shapes:
            self._set_shapes(shapes)
        for name, array in feeds.items():
            self._buffers[name].view(array.shape)[...] = array
        if self._graph is None and self._repeated and self._captures:
            self._graph = self._captured()
        if self._graph is not None:
            self._cuda.launch(self._graph, self._stream)
        else:
            self._enqueue()
        self._repeated = True
        return self._results(None if self._smallest is None or count >= self._smallest else count)

    def _set_shapes(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
        # A graph is of the context's state when it was captured, and must not be launched after a change.
        self._drop_graph()
        self._shapes, self._repeated = None, False
        for name, shape in shapes:
            self._log.errors.clear()
            if name not in self._buffers or not self._context.set_input_shape(name, shape):
                raise ModelError(f"the engine does not take {name} of {shape}: {self._log.reason}")
        self._shapes = shapes

    def _enqueue(self) -> None:
        """Copies in, the run, and copies out of what has a known size, in the stream's order."""
        for name, shape in self._shapes or ():
            self._buffers[name].upload(shape, self._stream)
        self._log.errors.clear()
        if not self._context.execute_async_v3(self._stream):
            raise ModelError(self._log.reason)
        for tensor in self.outputs:
            if tensor.name not in self._found:
                shape = sizes(self._context.get_tensor_shape(tensor.name))
                self._buffers[tensor.name].download(shape, self._stream)

    def _captured(self) -> Any:
        self._cuda.begin_capture(self._stream)
        try:
            self._enqueue()
        except ModelError as exc:
            # The capture must end, whatever it gives; its own error says less.
            with suppress(ModelError):
                self._cuda.end_graph(self._cuda.end_capture(self._stream))
            raise ModelError(
                f"no CUDA graph can be made of it ({exc.problem}); use --option cuda_graph=false"
            ) from exc
        return self._cuda.end_capture(self._stream)

    def _results(self, count: int | None) -> list[Array]:
        """Outputs of the run, as arrays of their own: the next run writes into the buffers."""
        self._cuda.wait(self._stream)
        late = dict(self._found)
        for name, shape in late.items():
            self._buffers[name].download(shape, self._stream)
        if late:
            self._cuda.wait(self._stream)
        shapes = (
            late[o.name] if o.name in late else sizes(self._context.get_tensor_shape(o.name))
            for o in self.outputs
        )
        arrays = [self._buffers[o.name].view(s) for o, s in zip(self.outputs, shapes, strict=True)]
        return [np.array(array if count is None else array[:count]) for array in arrays]

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            self._cuda.end_graph(graph)

    def _forget(self) -> None:
        """Context before engine, engine before runtime: each uses what comes after it."""
        for name in ("_context", "_engine", "_runtime"):
            if hasattr(self, name):
                delattr(self, name)


def require_engine(path: Path) -> None:
    """Raise ``ModelError`` for a file that is known to be no engine."""
    if not path.exists():
        raise ModelError(f"{path}: no such file", fix=_WANTED)
    try:
        found = identify(path)
    except OSError as exc:
        raise ModelError(
            f"{path}: cannot be read: {exc.strerror or exc}", fix="change its permissions, or copy it again"
        ) from exc
    if found.what in {ENGINE, UNKNOWN}:
        return
    build = f"build one of it: 'anydet tensorrt build --onnx {path} --engine {path.with_suffix('.engine')}'"
    raise ModelError(
        f"{path}: {found.what}, no engine of TensorRT",
        fix=build if found.what == ONNX else found.fix or _WANTED,
    )


def batch_parts(feeds: Mapping[str, Array], largest: int | None) -> Iterator[dict[str, Array]]:
    """Feeds of at most ``largest`` images, all at once without a limit."""
    count = len(next(iter(feeds.values())))
    step = count if largest is None else largest
    for start in range(0, count, step):
        yield {name: np.ascontiguousarray(array[start : start + step]) for name, array in feeds.items()}


def filled_up(feeds: Mapping[str, Array], smallest: int | None) -> Mapping[str, Array]:
    """Feeds with copies of the last image up to ``smallest``."""
    count = len(next(iter(feeds.values())))
    if smallest is None or count >= smallest:
        return feeds
    rows = np.minimum(np.arange(smallest), count - 1)
    return {name: array[rows] for name, array in feeds.items()}


def _largest_shape(engine: trt.ICudaEngine, name: str) -> tuple[int, ...]:
    shape = sizes(engine.get_tensor_shape(name))
    return sizes(engine.get_tensor_profile_shape(name, 0)[2]) if -1 in shape else shape


def _batches(stated: EngineMetadata) -> tuple[int | None, int | None]:
    """Most and fewest images a run, where the model leaves their number open; ``None`` where it does not."""
    ends = [
        (profile.largest[0], profile.smallest[0])
        for tensor in stated.inputs
        if (profile := stated.profiles.get(tensor.name)) and not isinstance(tensor.shape[0], int)
    ]
    return (min(most for most, _ in ends), max(least for _, least in ends)) if ends else (None, None)


def _info(library: Library, cuda: Cuda, stated: EngineMetadata, *, cuda_graph: bool) -> RuntimeInfo:
    return RuntimeInfo(
        library.name,
        library.version,
        f"cuda:{cuda.index}: {cuda.gpu}",
        precision=_PRECISIONS[stated.precision],
        details={"driver_cuda": cuda.gpu.driver, "cuda_graph": cuda_graph, "onnx_sha256": stated.onnx.sha256},
    )
