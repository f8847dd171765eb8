"""Folds with evenly distributed labels.

Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the Stratification of Multi-Label Data", algorithm 1, which is
called iterative stratification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.types import BoolArray, FloatArray, IntArray


def stratify(labels: BoolArray, fractions: Sequence[float], seed: int = 0) -> IntArray:
    """The fold of each example, so that every label is distributed by the requested fractions.

    The label that is left on the fewest examples is distributed first; each example goes where that label is
    most wanted, then where examples are most wanted, then at random.

    Args:
        labels: (N, L) which labels each example has.
        fractions: of all examples that each of F folds is to have; they add up to 1.
        seed: decides ties.

    Returns:
        (N,) int64 folds 0..F-1.
    """
    rng = np.random.default_rng(seed)
    parts = np.asarray(fractions, np.float64)
    wanted = len(labels) * parts
    wanted_of = labels.sum(axis=0)[:, None] * parts
    folds = np.full(len(labels), -1, np.int64)
    order = rng.permutation(len(labels))
    while (folds < 0).any():
        left = order[folds[order] < 0]
        counts = labels[left].sum(axis=0)
        if not counts.any():
            rare, chosen = None, left
        else:
            # The rarest label first: later there may be no examples left that could balance it.
            rare = int(np.where(counts > 0, counts, len(labels) + 1).argmin())
            chosen = left[labels[left, rare]]
        for example in chosen.tolist():
            # lexsort's last key comes first: the demand for the label, then for examples, then chance.
            keys = (rng.random(len(parts)), wanted, wanted if rare is None else wanted_of[rare])
            fold = int(np.lexsort(keys)[-1])
            folds[example] = fold
            wanted[fold] -= 1
            wanted_of[labels[example], fold] -= 1
    return folds


def stratification_error(labels: BoolArray, folds: IntArray, fractions: Sequence[float]) -> float:
    """Mean over labels and folds of the distance between a label's fraction in a fold and the requested one.

    Labels that no example has do not count; 0 without any.
    """
    counts: FloatArray = np.stack(
        [labels[folds == fold].sum(axis=0) for fold in range(len(fractions))], axis=1
    )
    present = counts.sum(axis=1) > 0
    found = counts[present] / counts[present].sum(axis=1, keepdims=True)
    return float(np.abs(found - np.asarray(fractions)).mean()) if present.any() else 0.0
