"""The words of ``train_minimal.py`` as those of ``anydet train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def as_train_words(words: Sequence[str]) -> list[str]:
    """``--config FILE`` as the CONFIG that ``anydet train`` takes; all else stays as it is.

    A file that is not there is one of this package by its name: ``configs/base.json`` is ``base``.
    """
    config: list[str] = []
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name != "--config" or not (equals or left):
            rest.append(word)
            continue
        path = Path(value if equals else left.pop(0))
        config = [str(path) if path.is_file() else path.stem]
    return ["train", *config, "--adapter", "rtdetr_pose", *rest]
