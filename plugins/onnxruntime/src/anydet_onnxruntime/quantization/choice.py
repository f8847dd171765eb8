"""Which layers go to int8: sensitivity of each alone, then as many as the evaluator lets pass.

All numbers come from the caller, and each is asked for once, so that a search is the same whether its numbers
are measured now or were measured before it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anydet_onnxruntime.quantization.graph import Layer

MARGIN = 2.0
"""How many times AP lost, as the disagreement says it, must fit: a search ends at the limit."""
_SENSITIVITY = 0.6
"""Part of the time after which no further layer is measured alone."""
_LEAST_SENSITIVITY = 1e-3
"""What a layer may lose at least, so that of layers that lose nothing the largest goes first."""

Progress = Callable[[str, int, int], None]
"""Called with a phase, what of it is done, and how much there is of it."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What layers in int8 lose on the images of the choice.

    Attributes:
        drop: AP lost; on few images much of it is chance.
        disagreement: part, 0 to 1, of the float model's own detections that is lost.
        float_ap: AP of the float model.
    """

    drop: float
    disagreement: float
    float_ap: float

    @property
    def said(self) -> float:
        """AP that is lost, as the disagreement says it: AP times its square.

        Small disturbances of scores and boxes win as many pairs as they lose, so that AP falls with their
        square. ``docs/explanation/quantization.md`` has what was measured.
        """
        return self.float_ap * max(self.disagreement, 0.0) ** 2

    def within(self, max_drop: float) -> bool:
        """Whether a choice passes."""
        # By AP alone, the choice among many would be the one that was lucky on these images.
        return self.drop <= max_drop and MARGIN * self.said <= max_drop


def time_left(spent_s: float, longest_s: float, budget_s: float) -> float:
    """Part of a time budget, without what one more measurement and the report take.

    Args:
        spent_s: seconds since the start.
        longest_s: of the longest measurement so far.
        budget_s: seconds that all of it may take.
    """
    # The report predicts as many images as a measurement, with the float file and with the chosen one.
    return 1 - (spent_s + 3 * longest_s) / budget_s


class Trial(Protocol):
    """Measures what layers in int8 lose."""

    def loss(self, layers: Sequence[Layer]) -> Loss:
        """On all images of the choice."""

    def disagreement(self, layers: Sequence[Layer]) -> float:
        """Part, 0 to 1, of the float model's own detections that is lost, on a few of them."""

    def time_left(self) -> float:
        """Part, 1 to 0, of the time that is left."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Attributes:
        layers: that go to int8, in the order of the graph; none where even the best one loses too much.
        loss: on the images of the choice; ``None`` without layers.
        sensitivity: disagreement of each layer that was measured alone, by name; empty where all pass.
        complete: whether all was tried, or the time ran out.
    """

    layers: tuple[Layer, ...]
    loss: Loss | None
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    complete: bool = True


def choose_layers(
    layers: Sequence[Layer],
    trial: Trial,
    max_drop: float,
    *,
    progress: Progress = lambda _phase, _done, _steps: None,
) -> Choice:
    """The layers that go to int8.

    All, where they pass. Else each is measured alone, the largest first, as long as there is time; one that
    was not measured stays in float, which costs least of the small ones. Sorted by what they lose for a byte,
    the longest beginning that passes is found by bisection; then the others are tried one by one, the largest
    first.

    Args:
        layers: that can go, in the order of the graph.
        trial: measures.
        max_drop: AP that may be lost.
        progress: told of each measurement.
    """
    search = _Search(layers, trial, max_drop)
    progress("all layers", 0, 1)
    loss = trial.loss(layers)
    progress("all layers", 1, 1)
    if loss.within(max_drop):
        return Choice(tuple(layers), loss)
    sensitivity = _measure_alone(layers, trial, progress)
    order = sorted(
        (layer for layer in layers if layer.name in sensitivity),
        key=lambda one: max(sensitivity[one.name], _LEAST_SENSITIVITY) / one.weight_bytes,
    )
    search.bisect(order, progress)
    search.extend(order, progress)
    complete = search.complete and len(sensitivity) == len(layers)
    return Choice(search.layers(), search.loss, sensitivity, complete)


def _measure_alone(layers: Sequence[Layer], trial: Trial, progress: Progress) -> dict[str, float]:
    found: dict[str, float] = {}
    by_size = sorted(layers, key=lambda one: -one.weight_bytes)
    for done, layer in enumerate(by_size):
        progress("each layer alone", done, len(layers))
        if trial.time_left() < 1 - _SENSITIVITY:
            break
        found[layer.name] = trial.disagreement([layer])
    progress("each layer alone", len(layers), len(layers))
    return found


class _Search:
    """The best choice so far."""

    def __init__(self, layers: Sequence[Layer], trial: Trial, max_drop: float) -> None:
        self._all, self._trial, self._max_drop = layers, trial, max_drop
        self._chosen: set[str] = set()
        self.loss: Loss | None = None
        self.complete = True

    def layers(self) -> tuple[Layer, ...]:
        """The choice, in the order of the graph."""
        return self._ordered(self._chosen)

    def bisect(self, order: Sequence[Layer], progress: Progress) -> None:
        """Find the longest beginning that passes, as if one that is longer lost more."""
        low, high = 0, len(order)
        steps = high.bit_length()
        for step in range(steps):
            progress("how many layers", step, steps)
            if low >= high or self._out_of_time():
                break
            middle = (low + high + 1) // 2
            if self._passes({layer.name for layer in order[:middle]}):
                low = middle
            else:
                high = middle - 1
        progress("how many layers", steps, steps)

    def extend(self, order: Sequence[Layer], progress: Progress) -> None:
        """Add each layer that is left, if the choice passes with it."""
        left = sorted((o for o in order if o.name not in self._chosen), key=lambda one: -one.weight_bytes)
        for done, layer in enumerate(left):
            progress("one layer more", done, len(left))
            if self._out_of_time():
                break
            self._passes(self._chosen | {layer.name})
        progress("one layer more", len(left), len(left))

    def _passes(self, names: set[str]) -> bool:
        loss = self._trial.loss(self._ordered(names))
        if not loss.within(self._max_drop):
            return False
        self._chosen, self.loss = names, loss
        return True

    def _ordered(self, names: set[str]) -> tuple[Layer, ...]:
        return tuple(layer for layer in self._all if layer.name in names)

    def _out_of_time(self) -> bool:
        if self._trial.time_left() > 0:
            return False
        self.complete = False
        return True
