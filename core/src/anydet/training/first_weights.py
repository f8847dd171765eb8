"""``start_from``: a model begins with the weights of another one, rows of classes and states by name.

The one rule for all model families. A row of a class goes to the class of the same name, wherever it stands
in either list; classes that only the new model knows keep the rows that it was built with. Everything else
is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anydet.errors import TrainingError
from anydet.text import WORD, listed
from anydet.training.model import NamedRows, TorchModel
from anydet.training.weights import load_weights

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Names:
    """What a model tells apart, in the order of its rows; () where nobody knows the names.

    Attributes:
        classes: names of classes.
        states: names of states.
    """

    classes: Sequence[str] = ()
    states: Sequence[str] = ()

    def of(self, rows: NamedRows) -> tuple[str, ...]:
        """Those that the rows have."""
        return tuple(self.classes if rows.kind == "classes" else self.states)


@dataclass(frozen=True, slots=True)
class FirstWeights:
    """What a model began with.

    Attributes:
        source: file or publisher, for messages.
        theirs: names of the weights that were taken.
        ours: names of the model.
        fresh: names of the model's tensors that are random as a whole.
        partly: names of those that have random rows, of new names.
    """

    source: str
    theirs: Names = Names()
    ours: Names = Names()
    fresh: frozenset[str] = frozenset()
    partly: frozenset[str] = frozenset()

    @property
    def line(self) -> str:
        """What was taken, as one line: ``5 of 7 classes from best.pt; new: cat, dog``."""
        parts = [self._counted("classes", self.ours.classes, self.theirs.classes)]
        if self.ours.states:
            parts.append(self._counted("states", self.ours.states, self.theirs.states))
        heads = dict.fromkeys(".".join(name.split(".")[:2]) for name in sorted(self.fresh))
        if heads:
            parts.append(f"not in it: {listed(list(heads), _SHOWN, quotes=False, longest=WORD)}")
        return "; ".join(parts)

    def _counted(self, kind: str, ours: Sequence[str], theirs: Sequence[str]) -> str:
        new = [name for name in ours if name not in theirs]
        source = f" from {self.source}" if kind == "classes" else ""
        found = f"{len(ours) - len(new)} of {len(ours)} {kind}{source}"
        if not theirs:
            return f"{found}, which names none"
        return f"{found}; new: {listed(new, _SHOWN, quotes=False, longest=WORD)}" if new else found


def start_from(
    model: TorchModel,
    state: Mapping[str, Tensor],
    *,
    source: str,
    theirs: Names,
    ours: Names,
    optional: Sequence[str] = (),
) -> FirstWeights:
    """Put the weights of another model of the family into a model.

    Args:
        model: as it was built; what it keeps of itself is random.
        state: state dictionary of the other model.
        source: where it is from, for messages.
        theirs: names of the rows of ``state``.
        ours: names of the rows of ``model``.
        optional: beginnings of names of tensors that not every model of the family has, or that depend on
            the data in other ways than by names; those that are missing, or do not fit, stay random.

    Raises:
        TrainingError: anything else does not fit; or classes differ, and the model does not say which rows
            are theirs.
    """
    rows, own = model.named_rows(), model.state_dict()
    _require_rows(rows, theirs, ours, source=source)
    taken, partly = {}, set()
    for key, tensor in state.items():
        may_differ = key.startswith(tuple(optional))
        if key not in own and may_differ:
            continue
        if key in rows and key in own and _joinable(own[key], tensor, rows[key].axis):
            names = rows[key], theirs.of(rows[key]), ours.of(rows[key])
            taken[key] = join_rows(own[key], tensor, *names, what=f"{source}: {key}")
            if set(names[2]) - set(names[1]):
                partly.add(key)
        elif not (may_differ and own[key].shape != tensor.shape):
            taken[key] = tensor
    fresh = {key for key in own if key not in taken and key.startswith(tuple(optional))}
    load_weights(model, {**taken, **{key: own[key] for key in fresh}}, source=source)
    return FirstWeights(source, theirs, ours, frozenset(fresh), frozenset(partly))


def _require_rows(rows: Mapping[str, NamedRows], theirs: Names, ours: Names, *, source: str) -> None:
    if rows or tuple(theirs.classes) == tuple(ours.classes):
        return
    raise TrainingError(
        f"{source}: its classes are {_names(theirs.classes)}, those to learn {_names(ours.classes)}, and the "
        "model does not say which of its rows are of which class",
        fix="give the data set the same classes in the same order, or start without --checkpoint",
    )


def _names(names: Iterable[str]) -> str:
    return listed(list(names), _SHOWN, quotes=False, longest=WORD) or "unknown"


def _joinable(own: Tensor, tensor: Tensor, axis: int) -> bool:
    """Whether two tensors differ by their number of rows at most."""

    def others(one: Tensor) -> list[int]:
        return [size for i, size in enumerate(one.shape) if i != axis]

    return own.ndim == tensor.ndim > axis and others(own) == others(tensor)


def join_rows(
    own: Tensor, tensor: Tensor, rows: NamedRows, theirs: Sequence[str], ours: Sequence[str], *, what: str
) -> Tensor:
    """``own`` with the rows of ``tensor`` whose names it has, and with those that have none.

    Args:
        own: tensor of a model.
        tensor: of another model, of the same size but for its rows.
        rows: where rows of names are in both.
        theirs: names of the rows of ``tensor``.
        ours: names of the rows of ``own``.
        what: the tensor, for messages.

    Raises ``TrainingError`` where one of them has too few rows.
    """
    if rows.blocks > 1 and not any(one.shape[rows.axis] % rows.blocks for one in (own, tensor)):
        single = replace(rows, blocks=1)
        pairs_of_blocks = zip(
            own.chunk(rows.blocks, rows.axis), tensor.chunk(rows.blocks, rows.axis), strict=True
        )
        return torch.cat(
            [join_rows(*pair, single, theirs, ours, what=what) for pair in pairs_of_blocks], rows.axis
        )
    beside = rows.before + rows.after
    for one, names in ((tensor, theirs), (own, ours)):
        # There may be more: a head of states has rows of states that no label has.
        if one.shape[rows.axis] < beside + rows.each * len(names):
            raise TrainingError(
                f"{what} has {one.shape[rows.axis]} rows, fewer than {rows.each} for each of {len(names)} "
                f"{rows.kind} and {beside} beside",
                fix="give a checkpoint as 'anydet train' wrote it",
            )
    pairs = [(row, row) for row in range(rows.before)]
    pairs += [(-row, -row) for row in range(1, rows.after + 1)]
    places = {name: at for at, name in reversed(list(enumerate(theirs)))}
    for position, name in enumerate(ours):
        if name in places:
            to, of = (rows.before + rows.each * at for at in (position, places[name]))
            pairs += [(to + row, of + row) for row in range(rows.each)]
    joined = own.clone()
    if pairs:
        to_rows, of_rows = torch.tensor(pairs, device=own.device).unbind(dim=1)
        moved = tensor.to(own).movedim(rows.axis, 0)[of_rows.to(tensor.device)]
        joined.movedim(rows.axis, 0)[to_rows % own.shape[rows.axis]] = moved
    return joined
