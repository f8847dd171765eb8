"""Each check is one function: its docstring is what it holds, its asserts say what to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from anydet.testing.checks import (
    behavior,
    capabilities,
    features,
    images,
    results,
    self_supervised,
    training,
    ttt,
)

if TYPE_CHECKING:
    from anydet.testing.subject import Subject

CHECKS: Mapping[str, Callable[[Subject], None]] = {
    check.__name__: check
    for module in (results, images, behavior, capabilities, ttt, features, self_supervised, training)
    for check in module.CHECKS
}
"""Name -> check, in the order in which they are run."""
