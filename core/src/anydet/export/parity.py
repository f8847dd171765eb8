"""A model file against the module that it was traced from: the same tensors, in a runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.errors import AnydetError, PluginError
from anydet.export.axes import axis_kinds
from anydet.plugins.export import ExportSpec
from anydet.plugins.manager import Plugins
from anydet.plugins.preprocess import Preprocess
from anydet.runtime.loaded import LoadedModel
from anydet.runtime.tensor_parity import Rows, Run, TensorParity, Tensors, Tolerance, tensor_parity
from anydet.types import ByteImage

RUNTIME = "onnxruntime"
"""Adapter whose runtime files are held against."""
TOLERANCES: Mapping[str, Tolerance] = {
    "float32": Tolerance(absolute=1e-3, relative=1e-3),
    "float16": Tolerance(absolute=2e-2, relative=2e-2),
}
"""Precision of a file -> what counts as the same tensors; half precision rounds each layer to 11 bits."""
BATCH = 3
"""Images of a run with more than one."""
_OTHER_SIZES = (7, -5), (32, -32)
"""What is added to height and width, where a file takes other sizes: odd, else those of usual strides."""


@dataclass(frozen=True, slots=True)
class NotRun:
    """Why a file was not run.

    Attributes:
        reason: a sentence.
        fix: what to do about it.
    """

    reason: str
    fix: str


def missing_runtime(plugins: Plugins) -> NotRun | None:
    """Why no runtime can be had; ``None`` where one can."""
    if not plugins.has("adapters", RUNTIME):
        return NotRun(f"the adapter {RUNTIME} is not installed", "pip install 'anydet[onnx]'")
    try:
        plugins.load("adapters", RUNTIME)
    except PluginError as exc:
        return NotRun(f"the adapter {RUNTIME} does not load: {exc.problem}", exc.fix)
    return None


@contextmanager
def opened_file(path: Path, plugins: Plugins) -> Iterator[LoadedModel]:
    """The file as its runtime's adapter opens it, with no options at all.

    Raises ``AnydetError`` where the adapter cannot predict with it.
    """
    settings = plugins.settings(RUNTIME, checkpoint=str(path))
    try:
        with plugins.adapter(RUNTIME, settings) as adapter:
            loaded: LoadedModel = adapter.load(str(path))  # type: ignore[attr-defined]  # a RuntimeAdapter
    except AnydetError as exc:
        raise AnydetError(
            f"{path} was written, and the adapter {RUNTIME} cannot predict with it: {exc.problem}",
            fix=exc.fix or "report this as a fault of the export",
        ) from exc
    try:
        yield loaded
    finally:
        loaded.close()


def file_parity(
    spec: ExportSpec, run: Run, loaded: LoadedModel, cases: Mapping[str, Tensors], tolerance: Tolerance
) -> TensorParity:
    """Every output of the file against the module's.

    Args:
        spec: as the file was written by it.
        run: the module, as ``onnx_file.module_run`` makes it.
        loaded: the file.
        cases: name -> inputs.
        tolerance: what counts as the same.
    """
    names = [tensor.name for tensor in loaded.outputs]

    def candidate(feeds: Tensors) -> Tensors:
        try:
            return dict(zip(names, loaded.run(feeds), strict=True))
        except AnydetError as exc:
            shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in feeds.items())
            raise AnydetError(
                f"the file was written, and {RUNTIME} cannot run it on {shapes}: {exc.problem}",
                fix="try another --opset, or leave out --dynamic-batch and --dynamic-size",
            ) from exc

    return tensor_parity(run, candidate, cases, tolerance=tolerance, rows=Rows.of(spec.description))


def noise_cases(spec: ExportSpec, run: Run, *, seed: int = 0) -> dict[str, Tensors]:
    """Noise in the range of real images: one, several, and one of another size, where a file takes these.

    Args:
        spec: as the file was written by it.
        run: the module, which is asked what sizes it takes.
        seed: of the noise.
    """
    height, width = image_input(spec).shape[-2:]
    dice = np.random.default_rng(seed)

    def noise(count: int, height: int, width: int) -> Tensors:
        pixels = dice.integers(0, 256, (count, 3, height, width)).astype(np.float32)
        return feeds(spec, normalized(pixels, spec.description.preprocess))

    kinds = axis_kinds(spec).values()
    cases = {"1 image of noise": noise(1, height, width)}
    if "batch" in kinds:
        cases[f"{BATCH} images of noise"] = noise(BATCH, height, width)
    others = _OTHER_SIZES if "size" in kinds else ()
    for taller, wider in ((height + more, width + less) for more, less in others):
        case = noise(1, taller, wider)
        if _takes(run, case):
            cases[f"noise of {wider}x{taller}"] = case
            break
    return cases


def _takes(run: Run, case: Tensors) -> bool:
    try:
        run(case)
    except Exception:  # whatever a model raises at a size that it does not take
        return False
    return True


def real_cases(spec: ExportSpec, images: Sequence[ByteImage]) -> dict[str, Tensors]:
    """Images as the description says that they are prepared, alone, and the first with its mirror images."""
    from anydet.runtime.preprocess import Preprocessor

    preprocessor = Preprocessor(spec.description.preprocess, np.float32)
    cases = {
        f"image {number}": feeds(spec, preprocessor.batch([image])[0])
        for number, image in enumerate(images, start=1)
    }
    if images and "batch" in axis_kinds(spec).values():
        # Mirror images have the size of the image, so that they fit in one batch with it.
        mirrored = [images[0], images[0][:, ::-1], images[0][::-1]][:BATCH]
        inputs = np.concatenate([preprocessor.batch([np.ascontiguousarray(i)])[0] for i in mirrored])
        cases[f"image 1 and its mirror images, {BATCH} at once"] = feeds(spec, inputs)
    return cases


def feeds(spec: ExportSpec, images: NDArray[Any]) -> Tensors:
    """Inputs with (B, 3, H, W) images, others as in the example, once an image where they have that axis."""
    name = next(name for name, tensor in spec.inputs.items() if tensor is image_input(spec))
    found = {}
    for other, tensor in spec.inputs.items():
        example = np.asarray(tensor.cpu())
        per_image = 0 in spec.dynamic_axes.get(other, {})
        found[other] = np.repeat(example[:1], len(images), axis=0) if per_image else example
    return {**found, name: np.ascontiguousarray(images.astype(found[name].dtype))}


def image_input(spec: ExportSpec) -> Any:
    """The example of the images: the first input with four axes."""
    return next(tensor for tensor in spec.inputs.values() if tensor.ndim == 4)


def normalized(pixels: NDArray[np.float32], preprocess: Preprocess) -> NDArray[np.float32]:
    """(B, 3, H, W) pixels of 0..255 as inputs."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (preprocess.mean, preprocess.std))
    values: NDArray[np.float32] = (pixels / np.float32(preprocess.divisor) - mean) / std
    return values
