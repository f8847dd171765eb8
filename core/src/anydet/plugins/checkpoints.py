"""Which file of weights a path means: a file itself, or the best one of a run's folder."""

from __future__ import annotations

from pathlib import Path

IN_A_RUN = ("checkpoints/best.pt", "best.pt", "checkpoints/last.pt", "checkpoint.pt")
"""Checkpoints below the folder of a run, the one to predict with first."""


def find_weights(path: Path | str) -> Path | None:
    """The file that ``AdapterSettings.checkpoint`` means; ``None`` where there is none."""
    path = Path(path)
    files = [path / name for name in IN_A_RUN] if path.is_dir() else [path]
    return next((file for file in files if file.is_file()), None)
