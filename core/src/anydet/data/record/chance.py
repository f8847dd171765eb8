"""Random choices about a record that neither its place in a run nor other records change."""

from __future__ import annotations

import hashlib

import numpy as np


def record_generator(seed: int, key: str) -> np.random.Generator:
    """A generator that depends on a run's seed and a record's key alone."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def record_chance(seed: int, key: str, purpose: str) -> float:
    """A number in [0, 1), uniform over keys, that depends on seed, key and purpose alone.

    Args:
        seed: of the run.
        key: of the record, or of what it belongs to.
        purpose: what is chosen by it. Choices of one seed for two purposes are independent: a sample of a
            data set must not be of those images alone that would go into its first part.
    """
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{key}".encode()).digest()
    # 53 bits are what a float64 holds, so that the largest is still below 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
