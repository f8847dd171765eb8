"""What an adapter is held to."""

from __future__ import annotations

from anydet.testing.checks.adapters import (
    behavior,
    capabilities,
    features,
    images,
    results,
    self_supervised,
    training,
    ttt,
)
from anydet.testing.kit import checks_of

_MODULES = (results, images, behavior, capabilities, ttt, features, self_supervised, training)
CHECKS = checks_of(*(check for module in _MODULES for check in module.CHECKS))
"""Name -> check, in the order in which they are run."""
