"""The border to a runtime: a model that it has opened, with named tensors in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from anydet.runtime.layouts.shapes import describe


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output as the model declares it.

    Attributes:
        name: its name in the model.
        shape: sizes; text or ``None`` where the model leaves them open.
        dtype: numpy's name of its type, ``float32``.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str

    @property
    def is_integer(self) -> bool:
        """Whether it holds whole numbers."""
        return "int" in self.dtype

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {describe(self.shape)}"


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What runs a model, and how: numbers differ between precisions, times by all of it.

    Attributes:
        name: of the runtime.
        version: of its library.
        device: that it runs on, as the runtime calls it.
        precision: numpy's name of the type that it computes in, ``float32``, of several ``int8, float32``; ""
            where it is the model's own.
        threads: on the CPU; ``None`` elsewhere.
        details: what else its numbers or times depend on.
    """

    name: str
    version: str
    device: str
    precision: str = ""
    threads: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For ``meta``: what is known of it."""
        stated = {key: value for key, value in asdict(self).items() if key != "details" and value}
        return {**stated, **self.details}


class LoadedModel(Protocol):
    """A model that a runtime has opened and that it can run."""

    @property
    def runtime(self) -> RuntimeInfo:
        """What runs it."""

    @property
    def inputs(self) -> Sequence[TensorInfo]:
        """What ``run`` takes; weights are not among them."""

    @property
    def outputs(self) -> Sequence[TensorInfo]:
        """What ``run`` gives, in its order."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the exporter wrote into the file."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """All outputs for inputs by name, of the types that are declared.

        Raises ``ModelError`` with the runtime's reason where the model does not run on them.
        """

    def close(self) -> None:
        """Free what it holds. Safe to call twice."""
