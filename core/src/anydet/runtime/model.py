"""A model of any runtime as something that images go into: inputs, batches, outputs an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.runtime.errors import ModelError
from anydet.runtime.inputs import Inputs
from anydet.runtime.layouts.candidates import Array, Outputs
from anydet.runtime.layouts.shapes import Shapes, Signature, describe
from anydet.runtime.loaded import LoadedModel, RuntimeInfo
from anydet.runtime.metadata import described, head_facts
from anydet.types import Size


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read what a run gives.

    Attributes:
        signature: of one image's outputs.
        batched: whether all outputs have a batch axis in front; else they are those of a single image.
        images: how many images a run takes then.
        outputs: of the first image, for a look at the values.
    """

    signature: Signature
    batched: bool
    images: int
    outputs: Outputs = ()


class Model:
    """A detector: one image input, any outputs.

    Args:
        path: the file, for messages.
        loaded: the model as its runtime has opened it.

    Attributes:
        path: the file.
        inputs: what it is fed.
        outputs: all outputs.
        metadata: what the exporter wrote into the file.
        description: what the file says of itself, where it is one of anydet's exports.
        runtime: what runs it.
        reading: how outputs are read; what ``readings`` gave and a layout fits.

    Raises:
        ModelError: it does not take images, or its description cannot be read or is another model's.
    """

    def __init__(self, path: str, loaded: LoadedModel) -> None:
        self.path = path
        self._loaded: LoadedModel | None = loaded
        self.runtime: RuntimeInfo = loaded.runtime
        self.outputs = tuple(loaded.outputs)
        self.inputs = Inputs.of(path, loaded.inputs)
        self.metadata = loaded.metadata
        self.description = described(path, loaded.metadata, [tensor.name for tensor in self.outputs])
        self.reading: Reading | None = None
        self._facts = head_facts(loaded.metadata)

    @property
    def batch(self) -> int:
        """Images a run takes."""
        return 1 if self.reading is None else self.reading.images

    def readings(self, size_wh: Size, batch: int) -> tuple[Reading, ...]:
        """Ways to read the outputs, found by a run on zeros: without batch axis, and with it.

        Files declare shapes loosely: an open batch axis may be a constant inside, and the outputs may have
        no batch axis at all. How long the first axis is says nothing of that, for (1, 6) may be one image or
        one detection; a layout knows how many axes its outputs have and fits one of the readings.

        Args:
            size_wh: input size in pixels.
            batch: images a run should take.
        """
        for count in self._tries(batch):
            try:
                outputs = self._run(np.zeros((count, 3, size_wh[1], size_wh[0]), self.inputs.dtype))
            except ModelError:
                if self.inputs.fixed_batch or count == 1:
                    raise
                continue
            batched = all(o.ndim > 0 and len(o) == count for o in outputs)
            if batched or count == 1:
                break
        shapes = tuple(o.shape for o in outputs)
        if self.inputs.fixed_batch not in (None, 1):
            self._require_batch(shapes, batched=batched)
            return (self._batched(outputs, count),)
        plain = Reading(self.signature(shapes), batched=False, images=1, outputs=outputs)
        return (plain, self._batched(outputs, batch if count > 1 else 1)) if batched else (plain,)

    def signature(self, shapes: Shapes) -> Signature:
        """Of outputs for one image that have these shapes."""
        names = tuple(tensor.name for tensor in self.outputs)
        described = () if self.description is None else self.description.outputs
        meanings = {output.name: output.meaning for output in described}
        whole = tuple(tensor.is_integer for tensor in self.outputs)
        said = tuple(meanings.get(name, "") for name in names)
        return Signature(shapes, names, whole, said, self._facts)

    def run(self, images: NDArray[Any]) -> list[Outputs]:
        """Outputs of each of (B, 3, H, W) images, without batch axis; B is at most ``batch``."""
        count, fixed = len(images), self.inputs.fixed_batch or 0
        if count < fixed:
            images = np.concatenate([images, np.zeros((fixed - count, *images.shape[1:]), images.dtype)])
        outputs = self._run(images)
        if self.reading is None or not self.reading.batched:
            return [outputs]
        return [[o[i] for o in outputs] for i in range(count)]

    def describe(self) -> str:
        """Inputs and outputs as the file declares them."""
        outputs = "; ".join(map(str, self.outputs))
        return f"{self.path} has input {self.inputs} and {len(self.outputs)} output(s): {outputs}"

    def close(self) -> None:
        """Free what the runtime holds. Safe to call twice."""
        if self._loaded is not None:
            self._loaded.close()
        self._loaded = None

    def _batched(self, outputs: Outputs, images: int) -> Reading:
        first = [o[0] for o in outputs]
        signature = self.signature(tuple(o.shape for o in first))
        return Reading(signature, batched=True, images=images, outputs=first)

    def _require_batch(self, shapes: Shapes, *, batched: bool) -> None:
        if not batched:
            raise ModelError(
                f"{self.path} takes {self.inputs.fixed_batch} images a run, but not all of its outputs have "
                f"that batch axis: {', '.join(map(describe, shapes))}",
                fix="export it with a batch of 1",
            )

    def _tries(self, batch: int) -> Sequence[int]:
        if self.inputs.fixed_batch:
            return [self.inputs.fixed_batch]
        return [2, 1] if batch > 1 else [1]

    def _run(self, images: NDArray[Any]) -> list[Array]:
        if self._loaded is None:
            raise ModelError(
                f"{self.path} was closed, and does not run any more", fix="load the adapter again"
            )
        try:
            outputs = self._loaded.run(self.inputs.feeds(images))
        except ModelError as exc:
            raise ModelError(
                f"{self.path} does not run on input {describe(images.shape)}: {exc.problem}",
                fix="give the input size it was exported for as --option size=WIDTHxHEIGHT",
            ) from exc
        return [o.astype(np.float32) if o.dtype in (np.float16, np.float64) else o for o in outputs]
