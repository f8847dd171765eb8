"""A GPU made of the host's memory, and TensorRT's run-time interface on ONNX Runtime.

No GPU is at hand where these tests run. What the engine does with addresses, streams, shapes and graphs can
be tested nevertheless: copies are copies of bytes at addresses, done when the stream is waited for and not
before, a capture records them, and what is undefined on a GPU is an error here. That the names and arguments
are those of the real libraries is checked by their types, and by ``test_names_are_those_of_the_libraries``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime

OK = 0


@dataclass
class Stream:
    pending: list[Callable[[], None]] = field(default_factory=list)
    capturing: list[Callable[[], None]] | None = None

    def give(self, work: Callable[[], None]) -> None:
        (self.pending if self.capturing is None else self.capturing).append(work)


class CudaRuntime:
    """The functions of ``cuda.bindings.runtime`` that are in use, under their names."""

    cudaHostAllocDefault = 0  # noqa: N815 - CUDA's name
    cudaStreamNonBlocking = 1  # noqa: N815 - CUDA's name
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815 - CUDA's name
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815 - CUDA's name

    def __init__(self, gpus: int = 1, name: str = "Emulated GPU", capability: tuple[int, int] = (8, 9)):
        self.gpus, self.name, self.capability = gpus, name, capability
        self.device: dict[int, ctypes.Array] = {}
        self.pinned: dict[int, ctypes.Array] = {}
        self.streams: dict[int, Stream] = {0: Stream()}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self.allocations = 0

    def cudaGetDeviceCount(self):
        return OK, self.gpus

    def cudaGetErrorString(self, error):
        return OK, f"error {error}".encode()

    def cudaSetDevice(self, index):
        return (OK if index < self.gpus else 101,)

    def cudaGetDeviceProperties(self, index):
        major, minor = self.capability
        return OK, SimpleNamespace(name=self.name.encode(), major=major, minor=minor)

    def cudaDriverGetVersion(self):
        return OK, 13010

    def cudaMalloc(self, size):
        return OK, self._new(self.device, size)

    def cudaFree(self, address):
        del self.device[address]
        return (OK,)

    def cudaHostAlloc(self, size, flags):
        return OK, self._new(self.pinned, size)

    def cudaFreeHost(self, address):
        del self.pinned[address]
        return (OK,)

    def cudaStreamCreateWithFlags(self, flags):
        number = max(self.streams) + 1
        self.streams[number] = Stream()
        return OK, number

    def cudaStreamDestroy(self, stream):
        del self.streams[stream]
        return (OK,)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        to_gpu = kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice
        places = (
            ((self.device, target), (self.pinned, source))
            if to_gpu
            else ((self.pinned, target), (self.device, source))
        )
        # Of pageable memory, which is not looked up here, the default stream copies at once.
        for memory, address in places[:1] if stream == 0 else places:
            assert address in memory, "no address that was allocated on that side"
            assert size <= len(memory[address]), "beyond what was allocated"
        self.streams[stream].give(lambda: ctypes.memmove(target, source, size))
        return (OK,)

    def cudaStreamSynchronize(self, stream):
        work, self.streams[stream].pending = self.streams[stream].pending, []
        for one in work:
            one()
        return (OK,)

    def cudaStreamBeginCapture(self, stream, mode):
        self.streams[stream].capturing = []
        return (OK,)

    def cudaStreamEndCapture(self, stream):
        work, self.streams[stream].capturing = self.streams[stream].capturing, None
        return OK, work

    def cudaGraphInstantiate(self, graph, flags):
        number = 1000 + len(self.graphs)
        self.graphs[number] = graph
        return OK, number

    def cudaGraphDestroy(self, graph):
        return (OK,)

    def cudaGraphLaunch(self, graph, stream):
        self.launches += 1
        for work in self.graphs[graph]:
            self.streams[stream].give(work)
        return (OK,)

    def cudaGraphExecDestroy(self, graph):
        del self.graphs[graph]
        return (OK,)

    def _new(self, memory, size):
        self.allocations += 1
        block = (ctypes.c_uint8 * size)(*([0xAB] * size))
        memory[ctypes.addressof(block)] = block
        return ctypes.addressof(block)


class Mode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class TensorRT:
    """The run-time interface of TensorRT, for engines that are ONNX files behind the mark of an engine."""

    MARK = b"ftrt"
    TensorIOMode = Mode

    class ILogger:
        pass

    class IOutputAllocator:
        pass

    class IProgressMonitor:
        pass

    class IInt8EntropyCalibrator2:
        pass

    class ErrorCode(IntEnum):
        UNSUPPORTED_NODE = 8

    class MemoryPoolType(IntEnum):
        WORKSPACE = 0

    class NetworkDefinitionCreationFlag(IntEnum):
        STRONGLY_TYPED = 1

    def __init__(self, runtime: CudaRuntime, *, version: str = "10.13.0", profiles=None, late=()):
        self.__version__ = version
        self.profiles, self._runtime, self._late = profiles or {}, runtime, set(late)
        names = ["TF32", *(["FP16", "BF16", "INT8"] if version.startswith("10.") else [])]
        self.BuilderFlag = IntEnum("BuilderFlag", names)
        self.config = None

    @staticmethod
    def nptype(kind):
        return kind

    def Runtime(self, logger):
        return SimpleNamespace(deserialize_cuda_engine=lambda data: self._engine(data, logger))

    def _engine(self, data, logger):
        if not data.startswith(self.MARK):
            logger.log(
                SimpleNamespace(name="ERROR"), "IRuntime::deserializeCudaEngine: Error Code 1: damaged"
            )
            return None
        session = onnxruntime.InferenceSession(data[len(self.MARK) :], providers=["CPUExecutionProvider"])
        return EmulatedEngine(self._runtime, session, self.profiles, self._late)

    def Builder(self, logger):
        return EmulatedBuilder(self)

    def OnnxParser(self, network, logger):
        return EmulatedParser(network)


class EmulatedEngine:
    def __init__(self, runtime, session, profiles, late):
        self.runtime, self.session, self.profiles, self.late = runtime, session, profiles, late
        self.inputs, self.outputs = session.get_inputs(), session.get_outputs()
        self.tensors = {t.name: t for t in (*self.inputs, *self.outputs)}

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return Mode.INPUT if name in {t.name for t in self.inputs} else Mode.OUTPUT

    def get_tensor_dtype(self, name):
        kinds = {"float": np.float32, "float16": np.float16, "int64": np.int64}
        return kinds[self.tensors[name].type[len("tensor(") : -1]]

    def get_tensor_shape(self, name):
        return [d if isinstance(d, int) else -1 for d in self.tensors[name].shape]

    def get_tensor_profile_shape(self, name, profile_index):
        return self.profiles[name]

    def create_execution_context(self):
        return EmulatedContext(self)


class EmulatedContext:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses, self.allocators = engine, {}, {}, {}
        self.version = 0

    def set_input_shape(self, name, shape):
        for axis, size in enumerate(self.engine.get_tensor_shape(name)):
            least, _, most = self.engine.profiles[name] if size == -1 else ([size] * 9,) * 3
            if len(shape) <= axis or not least[axis] <= shape[axis] <= most[axis]:
                return False
        self.shapes[name] = tuple(shape)
        self.version += 1
        return True

    def set_tensor_address(self, name, address):
        assert address in self.engine.runtime.device
        self.addresses[name] = address
        return True

    def set_output_allocator(self, name, allocator):
        self.allocators[name] = allocator
        return True

    def get_tensor_shape(self, name):
        if name in self.shapes:
            return self.shapes[name]
        return [-1] if name in self.engine.late else list(self._outputs(zeros=True)[name].shape)

    def get_max_output_size(self, name):
        if name in self.engine.late:
            return 1 << 16
        return self._outputs(zeros=True)[name].nbytes

    def execute_async_v3(self, stream_handle):
        if stream_handle not in self.engine.runtime.streams:
            return False
        version = self.version
        if self.engine.runtime.streams[stream_handle].capturing is not None:
            assert not self.allocators, "a run that allocates cannot be captured"

        def work():
            assert version == self.version, "a graph must not be launched after its context has changed"
            for name, array in self._outputs().items():
                self._write(name, np.ascontiguousarray(array))

        self.engine.runtime.streams[stream_handle].give(work)
        if self.allocators:  # TensorRT waits for the size, so it runs what was given before
            self.engine.runtime.cudaStreamSynchronize(stream_handle)
        return True

    def _write(self, name, array):
        address = self.addresses[name]
        if name in self.allocators:
            address = self.allocators[name].reallocate_output_async(name, address, array.nbytes, 256, 0)
            self.allocators[name].notify_shape(name, array.shape)
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def _outputs(self, *, zeros=False):
        feeds = {}
        for tensor in self.engine.inputs:
            shape, dtype = self.shapes[tensor.name], self.engine.get_tensor_dtype(tensor.name)
            feeds[tensor.name] = np.zeros(shape, dtype)
            if not zeros:
                ctypes.memmove(
                    feeds[tensor.name].ctypes.data, self.addresses[tensor.name], feeds[tensor.name].nbytes
                )
        names = [output.name for output in self.engine.outputs]
        return dict(zip(names, self.engine.session.run(names, feeds), strict=True))


class EmulatedBuilder:
    """Takes what TensorRT 10 takes; its engines are what was parsed."""

    def __init__(self, library):
        self.library = library

    def create_network(self, flags=0):
        return SimpleNamespace(flags=flags, content=None)

    def create_builder_config(self):
        self.library.config = EmulatedConfig(self.library)
        return self.library.config

    def create_optimization_profile(self):
        shapes = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three}))

    def build_serialized_network(self, network, config):
        config.network_flags = network.flags
        while config.calibrator is not None and (batch := config.calibrator.get_batch(["pixels"])):
            config.batches.append(bytes(self.library._runtime.device[batch[0]])[:64])
        config.progress_monitor.phase_start("Building", None, 2)
        if not config.progress_monitor.step_complete("Building", 0):
            return None
        config.progress_monitor.phase_finish("Building")
        self.library.profiles.update(config.shapes)
        return TensorRT.MARK + network.content


class EmulatedParser:
    num_errors = 0

    def __init__(self, network):
        self.network = network

    def parse(self, content, path=None):
        self.network.content = content
        return True

    def parse_from_file(self, path):
        return self.parse(Path(path).read_bytes())


class EmulatedConfig:
    def __init__(self, library):
        self.flags = {library.BuilderFlag.TF32}
        self.limits, self.shapes, self.batches = {}, {}, []
        self.calibrator = self.cache = self.progress_monitor = None
        self.network_flags = 0

    @property
    def int8_calibrator(self):
        return self.calibrator

    @int8_calibrator.setter
    def int8_calibrator(self, made):
        self.calibrator = made

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def get_flag(self, flag):
        return flag in self.flags

    def set_memory_pool_limit(self, pool, size):
        self.limits[pool] = size

    def add_optimization_profile(self, profile):
        self.shapes = profile.shapes
        return 0

    def create_timing_cache(self, content):
        return SimpleNamespace(content=content, serialize=lambda: content + b"measured;")

    def set_timing_cache(self, cache, ignore_mismatch):
        self.cache = cache
        return not cache.content or cache.content.startswith(b"measured")

    def get_timing_cache(self):
        return self.cache
