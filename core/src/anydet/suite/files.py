"""Files of a suite, held against the protocol before anything is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anydet.contract.reading.load import meta_of
from anydet.contract.reading.shards import prediction_files
from anydet.errors import EvaluationError
from anydet.suite.protocol import Mismatch, Protocol
from anydet.text import counted, quoted


@dataclass(frozen=True, slots=True)
class Held:
    """A file that was held against the protocol.

    Attributes:
        path: the file.
        meta: what it says of itself.
        mismatches: all of them allowed.
    """

    path: Path
    meta: Mapping[str, Any]
    mismatches: tuple[Mismatch, ...]


def hold(folder: Path | str, protocol: Protocol) -> tuple[Held, ...]:
    """Files of a folder or a pattern that keep a protocol; no detection is looked at.

    Args:
        folder: with predictions files, or a pattern of them, or one file.
        protocol: what their meta is held against.

    Raises:
        EvaluationError: some do not keep it; lists every file with every condition.
        ContractError: there is no file, or one cannot be read.
    """
    held = []
    for path in prediction_files(folder):
        meta = meta_of(path)
        held.append(Held(path, meta, protocol.mismatches(path, meta)))
    wrong = [f"{one.path}: {miss}" for one in held for miss in one.mismatches if not miss.allowed]
    if wrong:
        files = len({one.path for one in held if any(not miss.allowed for miss in one.mismatches)})
        raise EvaluationError(
            f"{counted(files, 'file')} of {len(held)} under other conditions than protocol "
            f"{quoted(protocol.name)}",
            details=wrong,
            fix="export them again with --wrap under these conditions, or let one pass with --allow KEY or "
            "--allow FILE:KEY",
        )
    return tuple(held)
