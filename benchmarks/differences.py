"""How evaluators' numbers and arrays differ from those of one of them; a line each.

    python benchmarks/differences.py FOLDER REFERENCE NAME...

``FOLDER`` holds what ``contestants.py`` wrote: ``NAME.json`` and, where it gives arrays, ``NAME.npz``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Print the lines."""
    folder, reference, *names = sys.argv[1:]
    for name in names:
        print("reference" if name == reference else describe(Path(folder), name, reference))


def describe(folder: Path, name: str, reference: str) -> str:
    """Whether numbers and arrays are equal, or by how much they are off."""
    numbers, expected = (
        np.array(json.loads((folder / f"{who}.json").read_text())["numbers"]) for who in (name, reference)
    )
    off = np.abs(numbers - expected).max()
    text = "numbers equal" if off == 0 else f"numbers off by {off:.1e}"
    if not (folder / f"{name}.npz").exists():
        return text
    found, truth = np.load(folder / f"{name}.npz"), np.load(folder / f"{reference}.npz")
    worst = max(np.abs(found[key].reshape(truth[key].shape) - truth[key]).max() for key in truth.files)
    return text + (", arrays bit-equal" if worst == 0 else f", arrays off by {worst:.1e}")


if __name__ == "__main__":
    main()
