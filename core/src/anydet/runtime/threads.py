"""How many threads a runtime gets."""

from __future__ import annotations

import os

from anydet.errors import OptionError

_MOST = 64
"""More than there are processors is slower, yet a recipe of a larger machine shall run on a smaller one."""


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settled_threads(given: int | None) -> int:
    """The ``threads`` option, by default one a processor.

    Raises ``OptionError`` where it is beyond any use: ONNX Runtime starts each of them, and ends the process
    where the system has no more.
    """
    there = processors()
    if given is not None and given > max(_MOST, there):
        raise OptionError(
            f"threads={given} are too many: this process has {there} processor{'s' * (there != 1)}",
            fix=f"use --option threads={there}, or leave it out: one a processor is the default",
        )
    return given or there
