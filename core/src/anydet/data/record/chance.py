"""Random choices about a record that neither its place in a run nor other records change."""

from __future__ import annotations

import hashlib

import numpy as np


def record_generator(seed: int, key: str) -> np.random.Generator:
    """A generator that depends on a run's seed and a record's key alone."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
