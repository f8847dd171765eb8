"""What a model gives for one image, before any number of it is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from anydet.runtime.metadata import HeadFacts

Shape = tuple[int, ...]
Shapes = tuple[Shape, ...]
"""One tuple an output, in the model's order."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Outputs for one image, in the model's order.

    Attributes:
        shapes: without batch axis.
        names: in the graph; many exporters number them.
        integer: whether an output holds whole numbers.
        meanings: what the file says that an output means, or an empty text.
        facts: what else the file says of them.
    """

    shapes: Shapes
    names: tuple[str, ...]
    integer: tuple[bool, ...]
    meanings: tuple[str, ...] = ()
    facts: HeadFacts = field(default_factory=HeadFacts)

    def __len__(self) -> int:
        return len(self.shapes)

    def positions(self, *shape: int) -> tuple[int, ...]:
        """Outputs of exactly this shape."""
        return tuple(i for i, other in enumerate(self.shapes) if other == shape)


def describe(shape: Iterable[int | str | None]) -> str:
    """``(1, 3, ?, ?)``: sizes that the file leaves open are question marks, or their names."""
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"
