"""Weights that have a row a class, moved to a model of other classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_PARTS = ("class_embed", "enc_score_head")


def take_rows(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], theirs: Sequence[str], ours: Sequence[str]
) -> dict[str, Tensor]:
    """``state`` for a model of classes ``ours``.

    Args:
        state: weights of a model of classes ``theirs``.
        own: weights of the model that takes them; rows of classes that only it knows stay.
        theirs: names of the classes of ``state``.
        ours: names of the classes of ``own``.
    """
    if tuple(theirs) == tuple(ours):
        return dict(state)
    pairs = [(new, theirs.index(name)) for new, name in enumerate(ours) if name in theirs]
    return {
        key: _moved(own[key], tensor, pairs) if _of_classes(key, own) else tensor
        for key, tensor in state.items()
    }


def _of_classes(key: str, own: Mapping[str, Tensor]) -> bool:
    return key in own and any(part in key for part in _PARTS)


def _moved(own: Tensor, theirs: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    joined = own.clone()
    if pairs:
        new, old = torch.tensor(pairs).unbind(dim=1)
        joined[new] = theirs[old]
    return joined
