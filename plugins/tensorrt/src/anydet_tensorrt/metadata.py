"""What stands beside an engine: what it was built of, by what and for what, so that it needs no options."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from anydet.outputs import write_file
from anydet.prediction.meta import file_sha256
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import TensorInfo
from anydet_tensorrt.cuda import Gpu
from anydet_tensorrt.errors import StaleEngineError
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.library import Library
from anydet_tensorrt.shapes import Profile

SUFFIX = ".json"
"""Behind the whole name of the engine: ``model.engine.json``."""
_REBUILD = "build it again: 'anydet tensorrt build --onnx MODEL.onnx --engine {engine}'"


@dataclass(frozen=True, slots=True)
class Source:
    """The ONNX model that an engine was built of.

    Attributes:
        file: its path, relative to the engine's folder where it is in or below it, else absolute.
        sha256: of the file; with data beside it, of the digests of all.
        opset: of ONNX's own operators.
        precision: that the file computes in.
        metadata: what its exporter wrote into it.
    """

    file: str
    sha256: str
    opset: int
    precision: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Images that ranges of activations were measured on.

    Attributes:
        dataset: as it was named.
        fingerprint: of its content.
        images: that were used.
    """

    dataset: str
    fingerprint: str
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetadata:
    """What an engine is.

    Attributes:
        sha256: of the engine.
        onnx: what it was built of.
        library: name of what built it, key of ``library.MODULES``.
        library_version: of what built it, the only version that runs it.
        gpu: that it was built on; ``None`` where it was built without one, for any GPU.
        precision: that was asked for, with ``best`` settled where the library does not choose.
        strongly_typed: whether numbers are of the types in the file; else the library chooses.
        flags: of the builder.
        inputs: as they are fed.
        outputs: as the model declares them.
        profiles: input -> shapes, of those that the model leaves open.
        workspace_mib: most memory for intermediate results while it runs; ``None`` where there is no limit.
        timing_cache: file of measured times that was used and written.
        calibration: of int8 without quantized tensors in the file.
        options: of the adapter, where they are not set otherwise.
        build_seconds: duration of the build.
        anydet_tensorrt: version of the package that wrote this.
        format: of this file.
    """

    sha256: str
    onnx: Source
    library: str
    library_version: str
    gpu: Gpu | None
    precision: str
    strongly_typed: bool
    flags: tuple[str, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    workspace_mib: int | None = None
    timing_cache: str | None = None
    calibration: Calibration | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    build_seconds: float = 0.0
    anydet_tensorrt: str = ""
    format: int = 1

    def write(self, engine: Path) -> None:
        """Write it beside the engine."""
        write_file(beside(engine), json.dumps(msgspec.to_builtins(self), indent=2) + "\n")


def beside(engine: Path) -> Path:
    """Where the metadata of an engine are."""
    return engine.with_name(engine.name + SUFFIX)


def read_metadata(engine: Path) -> EngineMetadata:
    """What stands beside an engine; raises ``ModelError`` where it is not there or cannot be read."""
    path, fix = beside(engine), _REBUILD.format(engine=engine)
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise ModelError(
            f"{engine}: {path.name} is not beside it, which says what the engine is",
            fix=f"copy {path.name} too, or {fix}",
        ) from exc
    except OSError as exc:
        raise ModelError(
            f"{path} cannot be read: {exc.strerror or exc}", fix="change its permissions"
        ) from exc
    try:
        return msgspec.json.decode(content, type=EngineMetadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ModelError(f"{path} does not describe an engine: {exc}", fix=fix) from exc


def stated_source(graph: Graph, engine: Path) -> Source:
    """What the metadata of an engine say of its model."""
    model, folder = graph.path.resolve(), engine.resolve().parent
    inside = model.is_relative_to(folder)
    file = os.path.relpath(model, folder) if inside else str(model)
    return Source(Path(file).as_posix(), graph.sha256(), graph.opset, graph.precision, graph.metadata)


def require_current(engine: Path, stated: EngineMetadata, library: Library, gpu: Gpu | None) -> None:
    """Raise ``StaleEngineError`` with all that differs, where an engine is not for what is here.

    An ONNX model that is no longer at its place is not missed: engines are copied to where they run.

    Args:
        engine: the engine.
        stated: its metadata.
        library: that is to run it.
        gpu: that it is to run on; ``None`` checks all but that.
    """
    found = [
        *_file_differences(engine, stated),
        *_library_differences(stated, library),
        *_gpu_differences(stated, gpu),
    ]
    if found:
        raise StaleEngineError(
            f"{engine} is not for this place: {'; '.join(found)}", fix=_REBUILD.format(engine=engine)
        )


def _file_differences(engine: Path, stated: EngineMetadata) -> list[str]:
    found = []
    if file_sha256(engine) != stated.sha256:
        found.append(f"the file is not the one that {beside(engine).name} describes")
    model = engine.resolve().parent / stated.onnx.file
    if model.is_file() and Graph(model).sha256() != stated.onnx.sha256:
        found.append(f"{stated.onnx.file} is not the model that it was built of")
    return found


def _library_differences(stated: EngineMetadata, library: Library) -> list[str]:
    built = (stated.library, stated.library_version)
    if built == (library.name, library.version):
        return []
    return [f"it was built by {' '.join(built)}, and {library.name} {library.version} is installed"]


def _gpu_differences(stated: EngineMetadata, gpu: Gpu | None) -> list[str]:
    # Engines of TensorRT-RTX are compiled where they run, so its GPU may be any.
    if gpu is None or stated.gpu is None or stated.library == "tensorrt-rtx":
        return []
    built = (stated.gpu.name, stated.gpu.compute_capability)
    if built == (gpu.name, gpu.compute_capability):
        return []
    return [f"it was built for {stated.gpu}, and this is {gpu}"]
