"""What ``torchrun`` puts into the environment; read without importing torch."""

from __future__ import annotations

import os


def is_main_process() -> bool:
    """Whether this process prints and writes: the only one, or rank 0 under ``torchrun``."""
    return int(os.environ.get("RANK", "0")) == 0


def process_count() -> int:
    """Processes that train together; 1 without ``torchrun``."""
    return int(os.environ.get("WORLD_SIZE", "1"))
