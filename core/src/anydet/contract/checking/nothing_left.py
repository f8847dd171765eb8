"""The error of a repair that would keep nothing of a file: an empty file that is valid is no repair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anydet.contract.hints import hint_values
from anydet.errors import ContractError


def nothing_left(path: Path, why: Sequence[str]) -> ContractError:
    """What to raise before anything is written; ``why`` has a line for each thing that cannot be kept."""
    return ContractError.of(
        [f"{path}: nothing of it can be kept, and nothing was written", *why],
        fix=f"{hint_values(why)}write the predictions again, as COCO results, label files with confidences "
        "or another form that is read",
    )
